// SPDX-License-Identifier: Apache-2.0

package awstrust

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// principals is the value of Principal or NotPrincipal.
type principals struct {
	element string
	not     bool
	deny    bool // of a Deny statement, where NotPrincipal asks for more
	every   bool // "*"
	named   []named
}

// A named is one principal of the list.
type named struct {
	kind    string // AWS, Federated or Service
	text    string // as written
	account string // 12 digits; of AWS principals only, and empty for "*" and for unique ids
	role    string // the name without its path; of roles only
	whole   bool   // the account itself, for every principal in it
}

func (p *parser) parsePrincipals(n node, element string) (*principals, error) {
	who := &principals{element: element, not: element == "NotPrincipal"}
	switch {
	case n.kind == kindString && n.text == "*":
		who.every = true
		return who, nil
	case n.kind != kindObject:
		return nil, p.fail(n, element, `want "*" or an object with AWS, Federated or Service`)
	case len(n.members) == 0:
		return nil, p.fail(n, element, "the object is empty")
	}
	if err := p.knownMembers(n, element, []string{AWS, Federated, Service}); err != nil {
		return nil, err
	}
	for _, m := range n.members {
		err := p.eachString(m.value, element+" "+m.name, func(item node) error {
			one, err := parseNamed(m.name, item.text)
			if err != nil {
				return p.fail(item, element+" "+m.name, "%s: %v", quote(item.text), err)
			}
			who.named = append(who.named, one)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return who, nil
}

var (
	accountID = regexp.MustCompile(`^[0-9]{12}$`)
	uniqueID  = regexp.MustCompile(`^A[A-Z0-9]{15,127}$`)
	hostName  = regexp.MustCompile(`^[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+$`)

	principalARN = regexp.MustCompile(`^arn:aws(?:-[a-z]+)*:(iam|sts)::([0-9]{12}):(root|(?:user|role)/(?:[!-~]*/)?[\w+=,.@-]+|assumed-role/[\w+=,.@-]+/[\w+=,.@-]+|federated-user/[\w+=,.@-]+)$`)
	providerARN  = regexp.MustCompile(`^arn:aws(?:-[a-z]+)*:iam::[0-9]{12}:(?:oidc-provider|saml-provider)/[!-~]+$`)
)

// builtIn are the identity providers that need no ARN (IAM User Guide, "AWS JSON policy elements: Principal").
var builtIn = []string{"accounts.google.com", "cognito-identity.amazonaws.com", "cognito-identity-us-gov.amazonaws.com", "graph.facebook.com", "www.amazon.com"}

func parseNamed(kind, text string) (named, error) {
	switch {
	case text == "*" && kind == AWS:
		return named{kind: kind, text: text}, nil
	case strings.ContainsAny(text, "*?"):
		return named{}, errors.New("no wildcards here: name the principal in full and narrow it with a Condition")
	case kind == AWS:
		return parseAWS(text)
	case kind == Service && !hostName.MatchString(text):
		return named{}, errors.New("want the name of a service, such as ec2.amazonaws.com")
	case kind == Federated && strings.HasPrefix(text, "https://"):
		return named{}, errors.New("no https:// here: want accounts.google.com, or the ARN of an oidc-provider")
	case kind == Federated && !slices.Contains(builtIn, text) && !providerARN.MatchString(text):
		return named{}, errors.New("want accounts.google.com or another provider built in, or arn:aws:iam::ACCOUNT:oidc-provider/HOST")
	}
	return named{kind: kind, text: text}, nil
}

func parseAWS(text string) (named, error) {
	one := named{kind: AWS, text: text}
	if accountID.MatchString(text) {
		one.account, one.whole = text, true
		return one, nil
	}
	if uniqueID.MatchString(text) {
		return one, nil
	}
	m := principalARN.FindStringSubmatch(text)
	if m == nil || (m[1] == "sts") != (strings.HasPrefix(m[3], "assumed-role/") || strings.HasPrefix(m[3], "federated-user/")) {
		return one, errors.New("want an account of 12 digits or the ARN of an account, a user, a role or a session")
	}
	one.account, one.whole = m[2], m[3] == "root"
	if path, ok := strings.CutPrefix(m[3], "role/"); ok {
		one.role = path[strings.LastIndexByte(path, '/')+1:]
	}
	return one, nil
}

// A caller is what the ARN of an AWS principal tells.
type caller struct {
	arn, account string
	role         string // of a role's session
}

func parseCaller(arn string) caller {
	c := caller{arn: arn}
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 {
		return c
	}
	c.account = parts[4]
	if session, ok := strings.CutPrefix(parts[5], "assumed-role/"); ok && parts[2] == "sts" {
		c.role, _, _ = strings.Cut(session, "/")
	}
	return c
}

// covers reports whether have is the principal named, or one of those it stands for.
func (n named) covers(have Principal) bool {
	if n.kind != AWS {
		return n.kind == have.Kind && n.text == have.ID
	}
	if n.text == "*" {
		return have.Kind == AWS || have.Kind == Anonymous
	}
	return have.Kind == AWS && (n.coversAccount(have.ID) || n.coversSelf(have.ID))
}

func (n named) coversAccount(arn string) bool {
	return n.whole && n.account == parseCaller(arn).account
}

// coversSelf leaves accounts aside: the very ARN, or the role of the session.
func (n named) coversSelf(arn string) bool {
	return n.text == arn || n.coversRole(arn)
}

func (n named) coversRole(arn string) bool {
	c := parseCaller(arn)
	return n.role != "" && n.role == c.role && n.account == c.account
}

// admit reports whether the statement is about the caller, and if not why.
func (p *principals) admit(have Principal) (ok bool, why string) {
	if !p.not {
		ok = p.every || p.covered(have)
		if !ok {
			why = p.unnamed(have)
		}
		return ok, why
	}
	spared := p.every || p.covered(have)
	if p.deny && have.Kind == AWS && !p.every {
		spared = len(p.unlisted(have.ID)) == 0
	}
	if spared {
		why = fmt.Sprintf("NotPrincipal leaves out the caller, %s", have)
	}
	return !spared, why
}

func (p *principals) covered(have Principal) bool {
	return slices.ContainsFunc(p.named, func(n named) bool { return n.covers(have) })
}

// unlisted is what NotPrincipal under Deny would have to list as well to spare the caller: every principal that the
// caller acts through, which is the account, and then the user or the role.
func (p *principals) unlisted(arn string) []string {
	var lacking []string
	c := parseCaller(arn)
	has := func(covers func(named) bool) bool {
		return slices.ContainsFunc(p.named, func(n named) bool { return n.text == "*" || covers(n) })
	}
	if !has(func(n named) bool { return n.coversAccount(arn) }) {
		lacking = append(lacking, "account "+c.account)
	}
	switch {
	case strings.HasSuffix(arn, ":root"):
	case c.role != "":
		if !has(func(n named) bool { return n.coversRole(arn) }) {
			lacking = append(lacking, "role "+c.role)
		}
	case !has(func(n named) bool { return n.text == arn }):
		lacking = append(lacking, arn)
	}
	return lacking
}

// String names the principal as messages do.
func (p Principal) String() string {
	if p.Kind == Anonymous || p.ID == "" {
		return "an anonymous caller"
	}
	return fmt.Sprintf("%s %s", p.Kind, shorten(p.ID))
}
