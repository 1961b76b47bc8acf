// SPDX-License-Identifier: Apache-2.0

package awstrust

import (
	"fmt"
	"strings"
	"testing"
)

const (
	session = "arn:aws:sts::111122223333:assumed-role/etl/task-7"
	user    = "arn:aws:iam::111122223333:user/team/ann"
	root    = "arn:aws:iam::111122223333:root"
)

func TestPrincipals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, principal string
		caller          Principal
		want            bool
	}{
		{"account, session", `{"AWS":"111122223333"}`, Principal{AWS, session}, true},
		{"account, user", `{"AWS":"111122223333"}`, Principal{AWS, user}, true},
		{"account as ARN, session", `{"AWS":"arn:aws:iam::111122223333:root"}`, Principal{AWS, session}, true},
		{"account as ARN, root", `{"AWS":"arn:aws:iam::111122223333:root"}`, Principal{AWS, root}, true},
		{"other account", `{"AWS":"999999999999"}`, Principal{AWS, session}, false},
		{"second of a list", `{"AWS":["999999999999","111122223333"]}`, Principal{AWS, session}, true},
		{"role, its session", `{"AWS":"arn:aws:iam::111122223333:role/etl"}`, Principal{AWS, session}, true},
		{"role with a path, its session", `{"AWS":"arn:aws:iam::111122223333:role/a/b/etl"}`, Principal{AWS, session}, true},
		{"role of another name", `{"AWS":"arn:aws:iam::111122223333:role/etl2"}`, Principal{AWS, session}, false},
		{"role named as the path", `{"AWS":"arn:aws:iam::111122223333:role/etl/x"}`, Principal{AWS, session}, false},
		{"role, letter case counts", `{"AWS":"arn:aws:iam::111122223333:role/ETL"}`, Principal{AWS, session}, false},
		{"role of another account", `{"AWS":"arn:aws:iam::999999999999:role/etl"}`, Principal{AWS, session}, false},
		{"role, a user of that name", `{"AWS":"arn:aws:iam::111122223333:role/ann"}`, Principal{AWS, user}, false},
		{"the role's own ARN", `{"AWS":"arn:aws:iam::111122223333:role/a/etl"}`, Principal{AWS, "arn:aws:iam::111122223333:role/a/etl"}, true},
		{"session", `{"AWS":"arn:aws:sts::111122223333:assumed-role/etl/task-7"}`, Principal{AWS, session}, true},
		{"another session", `{"AWS":"arn:aws:sts::111122223333:assumed-role/etl/task-8"}`, Principal{AWS, session}, false},
		{"user", `{"AWS":"arn:aws:iam::111122223333:user/team/ann"}`, Principal{AWS, user}, true},
		{"user without the path", `{"AWS":"arn:aws:iam::111122223333:user/ann"}`, Principal{AWS, user}, false},
		{"federated user", `{"AWS":"arn:aws:sts::111122223333:federated-user/bo"}`, Principal{AWS, "arn:aws:sts::111122223333:federated-user/bo"}, true},
		{"China", `{"AWS":"arn:aws-cn:iam::111122223333:role/etl"}`, Principal{AWS, "arn:aws-cn:sts::111122223333:assumed-role/etl/s"}, true},
		{"id of a deleted role", `{"AWS":"AROAEXAMPLE1234567890"}`, Principal{AWS, session}, false},
		{"anyone in AWS, session", `{"AWS":"*"}`, Principal{AWS, session}, true},
		{"anyone in AWS, anonymous", `{"AWS":"*"}`, Principal{Kind: Anonymous}, true},
		{"anyone in AWS, federated", `{"AWS":"*"}`, Principal{Federated, "accounts.google.com"}, false},
		{"anyone, session", `"*"`, Principal{AWS, session}, true},
		{"anyone, federated", `"*"`, Principal{Federated, "accounts.google.com"}, true},
		{"anyone, service", `"*"`, Principal{Service, "ec2.amazonaws.com"}, true},
		{"anyone, anonymous", `"*"`, Principal{Kind: Anonymous}, true},
		{"account, anonymous", `{"AWS":"111122223333"}`, Principal{Kind: Anonymous}, false},
		{"Google", `{"Federated":"accounts.google.com"}`, Principal{Federated, "accounts.google.com"}, true},
		{"Google, another provider", `{"Federated":"accounts.google.com"}`, Principal{Federated, "graph.facebook.com"}, false},
		{"provider", `{"Federated":"arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"}`,
			Principal{Federated, "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"}, true},
		{"provider with another path", `{"Federated":"arn:aws:iam::111122223333:oidc-provider/sts.windows.net/T/"}`,
			Principal{Federated, "arn:aws:iam::111122223333:oidc-provider/sts.windows.net/T"}, false},
		{"service", `{"Service":["ecs.amazonaws.com","ec2.amazonaws.com"]}`, Principal{Service, "ec2.amazonaws.com"}, true},
		{"service, federated of that name", `{"Service":"accounts.google.com"}`, Principal{Federated, "accounts.google.com"}, false},
		{"mixed", `{"Service":"ec2.amazonaws.com","Federated":"accounts.google.com"}`, Principal{Federated, "accounts.google.com"}, true},
		{"caller with no ARN", `{"AWS":"111122223333"}`, Principal{AWS, "111122223333"}, true},
		{"caller with an empty ID", `{"AWS":"111122223333"}`, Principal{Kind: AWS}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := mustTrust(t, fmt.Sprintf(`{"Statement":{"Effect":"Allow","Action":"sts:*","Principal":%s}}`, tt.principal))
			if got := p.Evaluate(Request{Principal: tt.caller, Action: "sts:AssumeRole"}).Allowed; got != tt.want {
				t.Errorf("%s with %v: got %v, want %v", tt.principal, tt.caller, got, tt.want)
			}
		})
	}
}

func TestNotPrincipalUnderAllow(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, principal string
		caller          Principal
		want            bool
	}{
		{"listed role", `{"AWS":"arn:aws:iam::111122223333:role/etl"}`, Principal{AWS, session}, false},
		{"another role", `{"AWS":"arn:aws:iam::111122223333:role/other"}`, Principal{AWS, session}, true},
		{"listed account", `{"AWS":"111122223333"}`, Principal{AWS, session}, false},
		{"another kind", `{"AWS":"111122223333"}`, Principal{Federated, "accounts.google.com"}, true},
		{"listed provider", `{"Federated":"accounts.google.com"}`, Principal{Federated, "accounts.google.com"}, false},
		{"everyone", `"*"`, Principal{AWS, session}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := mustTrust(t, fmt.Sprintf(`{"Statement":{"Effect":"Allow","Action":"sts:*","NotPrincipal":%s}}`, tt.principal))
			if got := p.Evaluate(Request{Principal: tt.caller, Action: "sts:AssumeRole"}).Allowed; got != tt.want {
				t.Errorf("%s with %v: got %v, want %v", tt.principal, tt.caller, got, tt.want)
			}
		})
	}
}

func TestNotPrincipalUnderDeny(t *testing.T) {
	t.Parallel()
	const role = "arn:aws:iam::111122223333:role/etl"
	for _, tt := range []struct {
		name   string
		list   []string
		caller Principal
		denied bool
		reason string
	}{
		{"role and account", []string{role, root}, Principal{AWS, session}, false, "NotPrincipal leaves out the caller"},
		{"session, role and account", []string{session, role, root}, Principal{AWS, session}, false, ""},
		{"role alone", []string{role}, Principal{AWS, session}, true, "but not its account 111122223333"},
		{"account alone", []string{root}, Principal{AWS, session}, true, "but not its role etl"},
		{"session alone", []string{session}, Principal{AWS, session}, true, "but not its account 111122223333 and role etl"},
		{"another", []string{"arn:aws:iam::111122223333:role/x"}, Principal{AWS, session}, true, "does not list the caller"},
		{"user and account", []string{user, "111122223333"}, Principal{AWS, user}, false, ""},
		{"user alone", []string{user}, Principal{AWS, user}, true, "but not its account"},
		{"account's root", []string{root}, Principal{AWS, root}, false, ""},
		{"anyone in AWS", []string{"*"}, Principal{AWS, session}, false, ""},
		{"another kind of caller", []string{root}, Principal{Federated, "accounts.google.com"}, true, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			list := `["` + strings.Join(tt.list, `","`) + `"]`
			p := mustTrust(t, `{"Statement":{"Effect":"Deny","Action":"sts:*","NotPrincipal":{"AWS":`+list+`}}}`)
			d := p.Evaluate(Request{Principal: tt.caller, Action: "sts:AssumeRole"})
			if d.ExplicitDeny != tt.denied || !strings.Contains(d.Reasons[0], tt.reason) {
				t.Errorf("got %+v, want denied %v and a reason with %q", d, tt.denied, tt.reason)
			}
		})
	}
}

// TestIdentityPoliciesIgnoreTheCaller: whoever a permission policy is attached to is its principal.
func TestIdentityPoliciesIgnoreTheCaller(t *testing.T) {
	t.Parallel()
	p := mustIdentity(t, `{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}}`)
	for _, caller := range []Principal{{}, {AWS, session}, {Federated, "accounts.google.com"}} {
		if !p.Evaluate(Request{Principal: caller, Action: "sts:AssumeRole"}).Allowed {
			t.Errorf("%v: refused", caller)
		}
	}
}
