// SPDX-License-Identifier: Apache-2.0

// Package config reads what names a crossing and gives one neutral description of it: [Parse] reads a stile.yaml,
// [ParseExternalAccount] an external_account file as Google's libraries know it, [ParseAWSProfile] a profile of the
// AWS configuration files. [WriteExternalAccount] and [SetAWSProfile] write the latter two. Nothing here opens a file or
// asks a cloud; the program turns a [Crossing] into a source and a target.
//
//	file, err := config.Parse("stile.yaml", data)
//	crossing, err := file.Crossing("warehouse")
//
// Everything read is checked for its shape, and every problem is reported with file, line and column, all of them at
// once (see [Problems]). No problem quotes a value: the file may be someone's secret.
package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stile-project/stile"
)

// A File is a stile.yaml.
type File struct {
	Version   int                 `json:"version"` // always 1
	Crossings map[string]Crossing `json:"crossings"`
	Store     *Store              `json:"store,omitempty"` // where its crossings' credentials are kept; nil: a folder on this machine
	Serve     *Serve              `json:"serve,omitempty"` // what stile serve does; nil: nothing is said

	name  string
	names []string
}

// Names lists the crossings in the order of the file.
func (f *File) Names() []string { return slices.Clone(f.names) }

// Crossing finds a crossing by name. The empty name finds the only crossing of a file that has one. The error wraps
// [stile.ErrMisuse] and says which names there are.
func (f *File) Crossing(name string) (Crossing, error) {
	if name == "" && len(f.names) == 1 {
		name = f.names[0]
	}
	if c, ok := f.Crossings[name]; ok {
		return c, nil
	}
	all := strings.Join(f.names[:min(len(f.names), 10)], ", ")
	if len(f.names) > 10 {
		all += ", …"
	}
	if name == "" {
		return Crossing{}, fmt.Errorf("%w: %s has %d crossings, say which: %s", stile.ErrMisuse, f.name, len(f.names), all)
	}
	if near := nearest(name, slices.Collect(maps.Keys(f.Crossings))); near != "" {
		return Crossing{}, fmt.Errorf("%w: %s has no crossing %q: did you mean %q?", stile.ErrMisuse, f.name, name, near)
	}
	return Crossing{}, fmt.Errorf("%w: %s has no crossing %q: it has %s", stile.ErrMisuse, f.name, name, all)
}

// A Crossing is one source and one target.
type Crossing struct {
	Name string `json:"-"` // the key in stile.yaml, the AWS profile's name, or "external_account"
	From From   `json:"from"`
	To   To     `json:"to"`

	// Origin is the path or URL that the crossing was read from, without credentials and query.
	Origin string `json:"-"`

	// Warnings say what was read and has no effect, one sentence each. A stile.yaml gives none: there it is an error.
	Warnings []string `json:"-"`
}

// From is the workload's own identity. Exactly one field is set.
type From struct {
	AWS  *FromAWS  `json:"aws,omitempty"`
	GCP  *FromGCP  `json:"gcp,omitempty"`
	OIDC *FromOIDC `json:"oidc,omitempty"`
}

// The values of [FromAWS] Proof.
const (
	ProofSignedRequest = "signed_request" // a signed, unsent GetCallerIdentity request
	ProofJWT           = "jwt"            // a token that AWS issues: sts:GetWebIdentityToken
)

// FromAWS is an AWS identity, wherever the AWS SDK finds credentials. The zero FromAWS says nothing more.
type FromAWS struct {
	Profile       string       `json:"profile,omitempty"`         // of the AWS configuration files; empty: AWS_PROFILE, then "default"
	Region        string       `json:"region,omitempty"`          // whose STS vouches for the identity; empty: the environment, then the machine's own
	AssumeRole    []AssumeRole `json:"assume_role,omitempty"`     // the roles to become first, each from the one before, at most 5; empty: none
	FIPS          bool         `json:"fips,omitempty"`            // use the region's sts-fips host
	Proof         string       `json:"proof,omitempty"`           // [ProofSignedRequest] or [ProofJWT], which OIDC providers want; empty: [ProofSignedRequest]
	AllowNodeRole bool         `json:"allow_node_role,omitempty"` // in a pod, take the node's identity where the pod has none of its own

	// External holds the metadata URLs of an external_account file; nil otherwise.
	External *ExternalAWS `json:"external_account,omitempty"`
}

// AssumeRole is a role that the workload assumes within AWS before it crosses.
// Source of the limits: AWS STS API, AssumeRole.
type AssumeRole struct {
	Role           string            `json:"role"`                   // arn:PARTITION:iam::ACCOUNT:role/NAME
	SessionName    string            `json:"session_name,omitempty"` // 2 to 64 of letters, digits and _+=,.@-
	ExternalID     string            `json:"external_id,omitempty"`
	Duration       Duration          `json:"duration,omitempty"`        // 15m to 12h, from the second role on to 1h; 0 leaves it to STS
	Tags           map[string]string `json:"tags,omitempty"`            // of the session, at most 50
	TransitiveTags []string          `json:"transitive_tags,omitempty"` // keys of Tags that the sessions made from this one have as well
	SourceIdentity string            `json:"source_identity,omitempty"` // who is behind the session, 2 to 64 of letters, digits and _+=,.@-
}

// ExternalAWS is credential_source of an external_account file. Each URL is empty where the file gave none, and
// points to the instance metadata address or a host that the caller allowed.
type ExternalAWS struct {
	RegionURL       string `json:"region_url,omitempty"`               // answers an availability zone
	URL             string `json:"url,omitempty"`                      // answers the role's name; its credentials are one level below
	VerificationURL string `json:"regional_cred_verification_url"`     // GetCallerIdentity at AWS STS; may hold {region}
	IMDSv2TokenURL  string `json:"imdsv2_session_token_url,omitempty"` // empty: the metadata service is asked the old way, without a token
}

// FromGCP is a Google identity: the ID token of a service account. It comes from the metadata server unless one of
// KeyFile, Impersonate, SignJWT and ApplicationDefault is set.
type FromGCP struct {
	Audience       string `json:"audience,omitempty"`        // what the ID token is made out to; the role's trust policy must want the same
	ServiceAccount string `json:"service_account,omitempty"` // "default" or an e-mail that the machine carries; empty: "default"
	Format         string `json:"format,omitempty"`          // "standard" or "full"; empty: the source's own choice

	KeyFile            string              `json:"key_file,omitempty"`            // the path of a service-account key, the thing that crossings do away with
	Impersonate        *Impersonate        `json:"impersonate,omitempty"`         // generateIdToken of the IAM Credentials API
	SignJWT            *SignJWT            `json:"sign_jwt,omitempty"`            // signJwt of the IAM Credentials API, then the token endpoint
	ApplicationDefault *ApplicationDefault `json:"application_default,omitempty"` // what gcloud auth application-default login left on a developer's machine
}

// Impersonate is a service account whose ID token the machine's own identity asks for.
type Impersonate struct {
	ServiceAccount string   `json:"service_account"`
	Delegates      []string `json:"delegates,omitempty"`     // service accounts on the way to ServiceAccount, in order
	IncludeEmail   bool     `json:"include_email,omitempty"` // put the service account's e-mail in the token
}

// SignJWT is a service account that signs for the machine's own identity.
type SignJWT struct {
	ServiceAccount string   `json:"service_account"`
	Delegates      []string `json:"delegates,omitempty"` // service accounts on the way to ServiceAccount, in order
}

// ApplicationDefault is a person's sign-in, or whatever else the application default credentials are.
type ApplicationDefault struct {
	// ServiceAccount is whom the person impersonates: a person's own ID token is for no audience of one's choice.
	ServiceAccount string `json:"service_account,omitempty"`
}

// To is the identity wanted in the other cloud. Exactly one field is set.
type To struct {
	GCP   *ToGCP   `json:"gcp,omitempty"`
	AWS   *ToAWS   `json:"aws,omitempty"`
	Token *ToToken `json:"token,omitempty"`
}

// ToGCP is a Google identity behind a workload identity pool or a workforce pool.
type ToGCP struct {
	// Provider is projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER, or
	// locations/LOCATION/workforcePools/POOL/providers/PROVIDER.
	Provider string `json:"provider"`

	ServiceAccount       string    `json:"service_account,omitempty"`        // whom to impersonate; empty: the federated identity itself
	Delegates            []string  `json:"delegates,omitempty"`              // service accounts on the way to ServiceAccount, in order
	Scopes               []string  `json:"scopes,omitempty"`                 // empty: the target's own choice
	Lifetime             Duration  `json:"lifetime,omitempty"`               // of the impersonated access token, 1m to 12h; 0 leaves it to Google
	IDToken              *IDToken  `json:"id_token,omitempty"`               // nil: an access token
	Boundary             *Boundary `json:"boundary,omitempty"`               // the most that the access token can do; nil: no bound
	QuotaProject         string    `json:"quota_project,omitempty"`          // billed instead of the credential's own project
	WorkforceUserProject string    `json:"workforce_user_project,omitempty"` // charged for a person of a workforce pool
	UniverseDomain       string    `json:"universe_domain,omitempty"`        // empty: googleapis.com
	MTLS                 bool      `json:"mtls,omitempty"`                   // use the hosts that take a client certificate

	// TokenURL and ImpersonationURL come from an external_account file only. They point to Google, in the file's
	// universe, or to a host that the caller allowed. Empty: Google's own.
	TokenURL         string `json:"token_url,omitempty"`
	ImpersonationURL string `json:"service_account_impersonation_url,omitempty"`
}

// IDToken asks for an ID token in place of an access token.
type IDToken struct {
	Audience     string `json:"audience"`
	IncludeEmail bool   `json:"include_email,omitempty"` // put the service account's e-mail in the token
}

// ToAWS is an AWS role, assumed with a web identity token.
type ToAWS struct {
	Role        string    `json:"role"`                   // arn:PARTITION:iam::ACCOUNT:role/NAME
	Region      string    `json:"region,omitempty"`       // whose STS is asked; empty: the environment decides
	SessionName string    `json:"session_name,omitempty"` // 2 to 64 of letters, digits and _+=,.@-; empty: made from the identity
	Duration    Duration  `json:"duration,omitempty"`     // 15m to the role's maximum, at most 12h; 0 leaves it to STS
	Policy      string    `json:"policy,omitempty"`       // a session policy in JSON, at most 2048 characters
	PolicyARNs  []string  `json:"policy_arns,omitempty"`  // managed policies that narrow the session, at most 10
	Then        *NextRole `json:"then,omitempty"`         // a further role, assumed with the session of Role; nil: none
	FIPS        bool      `json:"fips,omitempty"`         // use the region's sts-fips host
	DualStack   bool      `json:"dual_stack,omitempty"`   // use the region's host that answers by IPv6 too
	STSEndpoint string    `json:"sts_endpoint,omitempty"` // an STS URL, at AWS or at a host that the caller allowed; empty: the region's own
}

// NextRole is a role that is assumed with another role's session. AWS ends such a session after an hour.
// Source: IAM User Guide, role chaining.
type NextRole struct {
	Role        string            `json:"role"`                   // arn:PARTITION:iam::ACCOUNT:role/NAME
	SessionName string            `json:"session_name,omitempty"` // 2 to 64 of letters, digits and _+=,.@-; empty: that of the first session
	ExternalID  string            `json:"external_id,omitempty"`
	Duration    Duration          `json:"duration,omitempty"` // 15m to 1h; 0 leaves it to STS
	Policy      string            `json:"policy,omitempty"`   // a session policy in JSON, at most 2048 characters
	Tags        map[string]string `json:"tags,omitempty"`     // of the session, at most 50
}

// ToToken is the subject token itself, for a service that takes tokens of the source's issuer.
type ToToken struct {
	Audience string `json:"audience"` // whom the token is made out to
}
