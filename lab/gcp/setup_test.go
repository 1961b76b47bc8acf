// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"strings"
	"testing"
)

// What Google refuses when a thing is made, the lab refuses, and says what it wants.
func TestSetupRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	oidcWith := func(change func(*Provider)) error {
		p := Provider{Project: testProject, Pool: "oidc-pool", ID: "more", Issuer: testIssuer, Mapping: map[string]string{"google.subject": "assertion.sub"}}
		change(&p)
		return w.AddProvider(p)
	}
	sa := func(project, name string) error { _, err := w.AddServiceAccount(project, name); return err }
	fn := func(region, name string) error { _, err := w.AddFunction(testProject, region, name); return err }
	key := func(email string) error { _, err := w.Key(email); return err }
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"project id":               {w.AddProject("Demo", "1"), "project id"},
		"project number":           {w.AddProject("demo-two", "x"), "project number"},
		"project twice":            {w.AddProject(testProject, "7"), "taken"},
		"project number twice":     {w.AddProject("demo-two", testNumber), "taken"},
		"account name":             {sa(testProject, "etl"), "6 to 30"},
		"account of no project":    {sa("none-proj", "etl-reader"), "no project"},
		"account twice":            {sa(testProject, "etl-reader"), "exists"},
		"short pool id":            {w.AddPool(testProject, "aws"), "4 to 32"},
		"reserved pool id":         {w.AddPool(testProject, "gcp-pool"), "gcp-"},
		"pool twice":               {w.AddPool(testProject, "aws-pool"), "exists"},
		"pool of no project":       {w.AddPool("none-proj", "aws-pool"), "no project"},
		"disabling no pool":        {w.SetPoolDisabled(testProject, "none", true), "no pool"},
		"provider of two kinds":    {oidcWith(func(p *Provider) { p.AWSAccount = testAccount }), "not both"},
		"provider of no kind":      {oidcWith(func(p *Provider) { p.Issuer = "" }), "not both"},
		"AWS account":              {oidcWith(func(p *Provider) { p.Issuer, p.AWSAccount = "", "1234" }), "12 digits"},
		"issuer without TLS":       {oidcWith(func(p *Provider) { p.Issuer = "http://issuer.example" }), "https"},
		"a shared issuer":          {oidcWith(func(p *Provider) { p.Issuer = "https://token.actions.githubusercontent.com" }), "condition"},
		"eleven audiences":         {oidcWith(func(p *Provider) { p.AllowedAudiences = make([]string, 11) }), "at most 10"},
		"an empty audience":        {oidcWith(func(p *Provider) { p.AllowedAudiences = []string{""} }), "1 to 256"},
		"no mapping":               {oidcWith(func(p *Provider) { p.Mapping = nil }), "google.subject"},
		"a mapping that is no CEL": {oidcWith(func(p *Provider) { p.Mapping = map[string]string{"google.subject": "("} }), "mapping"},
		"a provider of no pool":    {oidcWith(func(p *Provider) { p.Pool = "none" }), "no pool"},
		"grant on nothing":         {w.Grant("buckets/none", "roles/storage.admin", "allUsers"), "no resource"},
		"grant of no role":         {w.Grant("buckets/demo-bucket", "roles/none", "allUsers"), "no role"},
		"a role of another kind":   {w.Grant("buckets/demo-bucket", impersonate, roleMember), "not supported"},
		"a member of no kind":      {w.Grant("buckets/demo-bucket", "roles/storage.admin", testARN), "member"},
		"a member with no project": {w.Grant("buckets/demo-bucket", "roles/storage.admin", "principalSet://iam.googleapis.com/x"), "member"},
		"an account of nobody":     {w.Grant("buckets/demo-bucket", "roles/storage.admin", "serviceAccount:x@y"), "does not exist"},
		"revoking what is not":     {w.Revoke("buckets/demo-bucket", "roles/storage.admin", "allUsers"), "no such binding"},
		"bucket name":              {w.AddBucket(testProject, "No"), "bucket name"},
		"bucket twice":             {w.AddBucket(testProject, "demo-bucket"), "exists"},
		"bucket of no project":     {w.AddBucket("none-proj", "more-bucket"), "no project"},
		"object in no bucket":      {w.PutObject("none", "x", nil), "no bucket"},
		"object name":              {w.PutObject("demo-bucket", "", nil), "object name"},
		"function region":          {fn("europe", "greet"), "region"},
		"function name":            {fn("europe-west1", "Greet"), "name"},
		"key of nobody":            {key("x@y"), "no service account"},
		"long tokens of nobody":    {w.AllowLongTokens("x@y"), "no service account"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one that says %q", name, c.err, c.want)
		}
	}
}
