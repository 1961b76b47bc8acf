// SPDX-License-Identifier: Apache-2.0

package house_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// drawn is a graph from lines such as "./from/aws: . fmt": a package and what it imports. A name without a dot in its
// first element is of the standard library.
func drawn(lines ...string) graph {
	g := graph{}
	for _, line := range lines {
		name, imports, _ := strings.Cut(line, ":")
		g[name] = listed{ImportPath: name, Imports: strings.Fields(imports)}
		for _, to := range g[name].Imports {
			first, _, _ := strings.Cut(to, "/")
			if _, known := g[to]; !known {
				g[to] = listed{ImportPath: to, Standard: !strings.Contains(first, ".")}
			}
		}
	}
	return g
}

// Every rule is shown one import that it must report.
func TestBrokenArrowsAreReported(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lines []string
		want  string // how the report begins
	}{
		"an SDK in the words":             {[]string{".: github.com/aws/aws-sdk-go-v2/aws"}, ". links github.com/aws/aws-sdk-go-v2/aws (. -> github.com/aws/aws-sdk-go-v2/aws): "},
		"the words know a package":        {[]string{".: ./internal/remote"}, ". links ./internal/remote ("},
		"a source knows a target":         {[]string{"./from/aws/awschain: ./to/gcp"}, "./from/aws/awschain links ./to/gcp ("},
		"a source knows the keeper":       {[]string{"./from/oidc: ./keep"}, "./from/oidc links ./keep ("},
		"a target knows a source":         {[]string{"./to/gcp: ./from/aws"}, "./to/gcp links ./from/aws ("},
		"by way of another package":       {[]string{"./from/gcp: ./internal/remote", "./internal/remote: ./to/aws"}, "./from/gcp links ./to/aws (./from/gcp -> ./internal/remote -> ./to/aws): "},
		"the keeper knows a cloud":        {[]string{"./keep: . golang.org/x/sync/singleflight ./to/aws"}, "./keep links ./to/aws ("},
		"the keeper takes a client":       {[]string{"./keep: github.com/redis/go-redis/v9"}, "./keep links github.com/redis/go-redis/v9 ("},
		"an outlet knows the keeper":      {[]string{"./outlet: ./keep"}, "./outlet links ./keep ("},
		"the file format takes an SDK":    {[]string{"./config: github.com/aws/aws-sdk-go-v2/config"}, "./config links github.com/aws/aws-sdk-go-v2/config ("},
		"the exchange's client takes one": {[]string{"./internal/remote: golang.org/x/oauth2"}, "./internal/remote links golang.org/x/oauth2 ("},
		"the lab knows a source":          {[]string{"./lab/aws: ./from/aws"}, "./lab/aws links ./from/aws ("},
		"the lab knows the words":         {[]string{"./lab: ."}, "./lab links . ("},
		"the lab knows the file format":   {[]string{"./lab/stage: ./config"}, "./lab/stage links ./config ("},
		"the lab knows the client":        {[]string{"./lab/gcp: ./internal/remote"}, "./lab/gcp links ./internal/remote ("},
		"a policy engine knows the lab":   {[]string{"./trust/aws: ./lab/oidc"}, "./trust/aws links ./lab/oidc ("},
		"a policy engine knows the other": {[]string{"./trust/gcp: ./trust/aws"}, "./trust/gcp links ./trust/aws ("},
		"signing takes the whole chain":   {[]string{"./from/aws: github.com/aws/aws-sdk-go-v2/config"}, "./from/aws links github.com/aws/aws-sdk-go-v2/config ("},
		"the role takes credentials":      {[]string{"./to/aws: github.com/aws/aws-sdk-go-v2/credentials/stscreds"}, "./to/aws links github.com/aws/aws-sdk-go-v2/credentials/stscreds ("},
		"metadata takes Google's client":  {[]string{"./from/gcp: cloud.google.com/go/compute/metadata"}, "./from/gcp links cloud.google.com/go/compute/metadata ("},
		"any token takes gRPC":            {[]string{"./from/oidc: google.golang.org/grpc"}, "./from/oidc links google.golang.org/grpc ("},
		"the exchange takes Google's":     {[]string{"./to/gcp: cloud.google.com/go/auth"}, "./to/gcp links cloud.google.com/go/auth ("},
		"an adapter takes both clouds":    {[]string{"./to/gcp/googleauth: github.com/aws/aws-sdk-go-v2/aws"}, "./to/gcp/googleauth links github.com/aws/aws-sdk-go-v2/aws ("},
		"AWS takes Google's":              {[]string{"./to/aws/awscreds: google.golang.org/api/option"}, "./to/aws/awscreds links google.golang.org/api/option ("},
		"traces take the SDK":             {[]string{"./traces: go.opentelemetry.io/otel/sdk/trace"}, "./traces links go.opentelemetry.io/otel/sdk/trace ("},
		"traces take the process's own":   {[]string{"./traces: go.opentelemetry.io/otel"}, "./traces links go.opentelemetry.io/otel ("},
		"traces know the endpoints":       {[]string{"./traces: ./serve"}, "./traces links ./serve ("},
		"the sidecar takes OpenTelemetry": {[]string{"./internal/sidecar: ./traces", "./traces: go.opentelemetry.io/otel/trace"}, "./internal/sidecar links go.opentelemetry.io/otel/trace ("},
		"running knows a crossing":        {[]string{"./internal/process: ./internal/sidecar"}, "./internal/process links ./internal/sidecar ("},
		"the program takes OpenTelemetry": {[]string{"./cmd/stile: go.opentelemetry.io/otel/trace"}, "./cmd/stile links go.opentelemetry.io/otel/trace ("},
		"the program takes the lab":       {[]string{"./cmd/stile: ./lab/stage"}, "./cmd/stile links ./lab/stage ("},
		"the program takes gRPC":          {[]string{"./cmd/stile: google.golang.org/grpc"}, "./cmd/stile links google.golang.org/grpc ("},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := drawn(c.lines...)
			for _, r := range slices.Concat(arrows, directions) {
				for _, line := range r.broken(g) {
					if strings.HasPrefix(line, c.want) {
						return
					}
				}
			}
			t.Errorf("%s breaks no rule, want a line that begins %q", c.lines, c.want)
		})
	}
}

func TestBrokenIsExact(t *testing.T) {
	t.Parallel()
	r := rule{of: []string{"./a/..."}, never: []string{"./..."}, except: []string{"./a/...", "./c"}, why: "because"}
	for name, c := range map[string]struct {
		lines, want []string
	}{
		"kept":                        {[]string{"./a: fmt ./c", "./a/b: ./a example.com/x", "./c: fmt"}, nil},
		"another's links are its own": {[]string{"./a: fmt", "./d: ./e"}, nil},
		"a name that only begins so":  {[]string{"./a: fmt", "./ab: ./e"}, nil},
		"twice":                       {[]string{"./a: ./e", "./a/b: ./a"}, []string{"./a links ./e (./a -> ./e): because", "./a/b links ./e (./a/b -> ./a -> ./e): because"}},
		"behind what is allowed":      {[]string{"./a: ./c", "./c: ./e"}, []string{"./a links ./e (./a -> ./c -> ./e): because"}},
		"nothing left to judge":       {[]string{"./d: ./e"}, []string{"no package is ./a/... any more: mend this rule with the tree: because"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, r.broken(drawn(c.lines...))); diff != "" {
				t.Errorf("broken rules (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadGraph(t *testing.T) {
	t.Parallel()
	const out = `{"ImportPath":"fmt","Standard":true}
{"ImportPath":"github.com/stile-project/stile","Imports":["fmt"]}
{"ImportPath":"github.com/stile-project/stile/keep","Imports":["fmt","github.com/stile-project/stile"]}
{"ImportPath":"github.com/stile-project/stiles"}`
	g, err := readGraph(strings.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{".", "./keep"}, g.house()); diff != "" {
		t.Errorf("packages of the project (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string][]string{".": {"./keep", "."}}, g.links("./keep")); diff != "" {
		t.Errorf("links of keep (-want +got):\n%s", diff)
	}
	if _, err := readGraph(strings.NewReader(out[:40])); err == nil {
		t.Error("a list that was cut short was read without an error")
	}
}
