// SPDX-License-Identifier: Apache-2.0

// Package awstrust reads AWS IAM policy documents and evaluates them as AWS does: role trust policies with [ParseTrust],
// permission and session policies with [ParseIdentity]. A [Decision] says what was decided and, statement by statement, why.
//
//	policy, err := awstrust.ParseTrust(document)
//	decision := policy.Evaluate(awstrust.Request{
//		Principal: awstrust.Principal{Kind: awstrust.Federated, ID: "accounts.google.com"},
//		Action:    "sts:AssumeRoleWithWebIdentity",
//		Context:   map[string][]string{"accounts.google.com:aud": {"104857600000000000001"}},
//	})
//
// The rules are those of the IAM User Guide, chapter "IAM JSON policy reference". Where the guide is silent, this package
// takes these readings:
//
//   - A key with several values under an operator without ForAnyValue or ForAllValues matches when any value does; a
//     negated operator then matches when no value does.
//   - ForAnyValue on an absent key is false and ForAllValues is true, for negated operators too.
//   - For ForAnyValue, ForAllValues and Null, a key that holds nothing but empty strings counts as absent.
//   - A request value that an operator cannot read (a number that is none, an ARN that is none) equals nothing, so a
//     negated operator accepts it.
//   - A variable without a value and without a default spoils what it stands in: the value matches nothing, and a
//     negated operator, NotResource included, does not match either. The value of a variable is literal, never a wildcard.
//   - BinaryEquals takes the request's value in base64, as the policy does.
//   - Under Deny, NotPrincipal spares a caller only when it lists the caller's account as well, and for a role session the role.
//   - The ARN of a role holds its path, the ARN of a session does not: arn:aws:iam::A:role/PATH/NAME matches every
//     arn:aws:sts::A:assumed-role/NAME/SESSION. Role names are unique within an account whatever their path, so no other
//     role can be meant. AWS itself stores the role's unique id, and so forgets a role that is deleted and made anew.
package awstrust

// A Policy is a policy document that was found well-formed. It does not change, and many goroutines may use it.
type Policy struct {
	statements []statement
}

// The kinds of principal.
const (
	AWS       = "AWS"       // an account, a user, a role session
	Federated = "Federated" // an identity provider, which vouches for the caller
	Service   = "Service"   // an AWS service
	Anonymous = "Anonymous" // nobody in particular: the request is unsigned
)

// A Principal is who makes a request.
type Principal struct {
	Kind string // one of the kinds above
	// ID is, by kind: the caller's ARN (arn:aws:sts::111122223333:assumed-role/NAME/SESSION, arn:aws:iam::111122223333:user/NAME);
	// the provider as a trust policy names it (accounts.google.com, arn:aws:iam::111122223333:oidc-provider/HOST);
	// the service (ec2.amazonaws.com); nothing.
	ID string
}

// A Request is what a policy is asked about.
type Request struct {
	Principal Principal // ignored by permission and session policies, whose principal is whoever they are attached to
	Action    string    // "sts:AssumeRole"
	Resource  string    // an ARN; ignored by trust policies, whose resource is the role they are attached to

	// Context holds the condition keys of the request and their values, at least one each; letter case in a key does
	// not count. A key that is left out is absent: nothing is derived from Principal.
	Context map[string][]string
}

// A Decision is what one policy says about one request. When neither field is set the policy is silent, which AWS
// takes for no unless another policy allows it.
type Decision struct {
	Allowed      bool
	ExplicitDeny bool   // a Deny statement matched; no other policy can outweigh it
	Statement    string // the statement that decided, by Sid or as "statement 1"; empty when none did

	// Reasons has one line per statement, in the order of the document: for a statement that does not apply the first
	// thing that keeps it from applying, with the values wanted and found, for one that does what made it match.
	Reasons []string
}

// A statement is one member of Statement.
type statement struct {
	number     int // from 1
	sid        string
	deny       bool
	principals *principals // nil in identity policies
	actions    selection
	resources  *selection // nil in trust policies
	clauses    []clause
}

// A selection is Action, NotAction, Resource or NotResource.
type selection struct {
	element string
	not     bool
	want    []pattern
}
