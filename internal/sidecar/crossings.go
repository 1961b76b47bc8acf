// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/assemble"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/serve/ecs"
	"github.com/stile-project/stile/serve/imds"
	"github.com/stile-project/stile/serve/offer"
	togcp "github.com/stile-project/stile/to/gcp"
)

// idTokenAge has ID tokens be young: Google's Go library takes what a metadata server gives for good for an hour from
// then on. Source: cloud.google.com/go/auth, credentials/idtoken, compute.go.
const idTokenAge = time.Minute

// held is a crossing that is served.
type held struct {
	config   config.Crossing
	source   stile.Source
	crossing stile.Crossing
	keeper   *keep.Keeper
	around   assemble.Surroundings // further crossings of the same source ask through the same client
}

// A builder builds crossings. Those with one description of their source share it: ten thousand of them are one search
// for AWS credentials, and one client.
type builder struct {
	s       *Sidecar
	sources map[string]stile.Source
	around  map[string]assemble.Surroundings
}

// build makes what a plan names, of what is held where that is the same.
func (s *Sidecar) build(ctx context.Context, p Plan) (map[string]*held, error) {
	b := s.newBuilder()
	s.mu.Lock()
	before := s.held
	s.mu.Unlock()
	next := map[string]*held{}
	var wrong []error
	for _, name := range wanted(p.Serve) {
		c, ok := p.Crossings[name]
		if !ok {
			wrong = append(wrong, misuse("serve the crossings", "", "there is no crossing %q", name))
			continue
		}
		made, err := b.parts(ctx, c)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("crossing %s: %w", name, err))
			continue
		}
		next[name] = s.holdOn(before[name], c, made)
	}
	if len(wrong) == 0 {
		return next, nil
	}
	for name, h := range next {
		if before[name] == nil || before[name].keeper != h.keeper {
			h.keeper.Close()
		}
	}
	return nil, errors.Join(wrong...)
}

// holdOn goes on with what is held if that is the same crossing.
func (s *Sidecar) holdOn(old *held, c config.Crossing, made parts) *held {
	crossing := stile.Cross(made.source, made.target)
	if old != nil {
		described := reflect.DeepEqual(old.config, c)
		if old.crossing.Key() == crossing.Key() || described && !crossing.Keyed() && !old.crossing.Keyed() {
			if described {
				return old
			}
			return &held{c, made.source, old.crossing, old.keeper, made.around}
		}
	}
	memory := s.memory
	if !s.o.Shared && !crossing.Keyed() { // a store would refuse it, and a keeper would warn of that
		memory = s.alone
	}
	return &held{c, made.source, crossing, memory.Keep(crossing, termsOf(c)), made.around}
}

func termsOf(c config.Crossing) keep.Terms {
	terms := keep.Terms{Name: c.Name}
	if c.To.AWS != nil {
		terms.Floor = max(ecs.Floor, imds.Floor)
	}
	return terms
}

// wanted are the crossings that a plan names, each once, in its order.
func wanted(p config.Serve) []string {
	var names []string
	seen := map[string]bool{}
	add := func(name string) {
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	for _, e := range p.Endpoints {
		for _, name := range e.Crossings() {
			add(name)
		}
	}
	for _, f := range p.Files {
		add(f.Crossing)
	}
	return names
}

func (s *Sidecar) newBuilder() *builder {
	return &builder{s: s, sources: map[string]stile.Source{}, around: map[string]assemble.Surroundings{}}
}

// parts are what a crossing is made of.
type parts struct {
	source stile.Source
	target stile.Target
	around assemble.Surroundings
}

func (b *builder) parts(ctx context.Context, c config.Crossing) (made parts, err error) {
	if made.around, err = b.surroundings(c.From); err != nil {
		return made, err
	}
	if made.source, err = b.source(ctx, made.around, c); err != nil {
		return made, err
	}
	made.target, err = made.around.Target(c)
	return made, err
}

// surroundings are those of AWS, where the SDK has a client of its own, and of everything else.
func (b *builder) surroundings(from config.From) (assemble.Surroundings, error) {
	kind := "other"
	if from.AWS != nil {
		kind = "aws"
	}
	if around, ok := b.around[kind]; ok {
		return around, nil
	}
	around, err := b.s.o.Around(from)
	if err != nil {
		return assemble.Surroundings{}, err
	}
	b.around[kind] = around
	return around, nil
}

func (b *builder) source(ctx context.Context, around assemble.Surroundings, c config.Crossing) (stile.Source, error) {
	key, ok := sharedBy(c)
	if source := b.sources[key]; ok && source != nil {
		return source, nil
	}
	source, err := around.Source(ctx, c)
	if err == nil && ok {
		b.sources[key] = source
	}
	return source, err
}

// sharedBy is all that package assemble makes a source of. Headers are secrets, which no text holds: a source with
// headers is shared with nobody.
func sharedBy(c config.Crossing) (string, bool) {
	if c.From.OIDC != nil && c.From.OIDC.URL != nil {
		return "", false
	}
	text, err := json.Marshal(c.From)
	if err != nil {
		return "", false
	}
	account := ""
	if c.To.GCP != nil {
		account = c.To.GCP.ServiceAccount
	}
	if c.From.OIDC == nil {
		return string(text), true
	}
	return fmt.Sprintf("%s %t %q", text, c.To.AWS != nil, account), true
}

// offered is the crossing as endpoints know it.
func (s *Sidecar) offered(h *held, e config.Endpoint) offer.Crossing {
	if to := h.config.To.AWS; to != nil {
		role := to.Role
		if to.Then != nil {
			role = to.Then.Role
		}
		return offer.Crossing{Name: h.config.Name, AWS: &offer.AWS{Session: h.keeper, RoleARN: role, Region: s.o.Region(to.Region)}}
	}
	return offer.Crossing{Name: h.config.Name, Google: s.google(h, e)}
}

func (s *Sidecar) google(h *held, e config.Endpoint) *offer.Google {
	to := h.config.To.GCP
	g := &offer.Google{Email: to.ServiceAccount, Scopes: to.Scopes, Project: e.Project, ProjectNumber: e.ProjectNumber, Zone: e.Zone, Universe: to.UniverseDomain}
	if g.ProjectNumber == "" {
		g.ProjectNumber = numberOf(to.Provider)
	}
	if g.Project == "" {
		g.Project = projectOf(to.ServiceAccount)
	}
	g.AccessToken = func(scopes []string) (stile.Supplier, error) {
		if len(scopes) == 0 {
			return h.keeper, nil
		}
		if err := allowed(scopes, to.Scopes); err != nil {
			return nil, err
		}
		return s.also(h, func(to *config.ToGCP) { to.Scopes = scopes }, 0)
	}
	// An ID token lets its holder be the account wherever one is asked for, whatever bounds the access tokens.
	if to.ServiceAccount != "" && to.Boundary == nil {
		g.IDToken = func(audience string) (stile.Supplier, error) {
			return s.also(h, func(to *config.ToGCP) {
				to.IDToken = &config.IDToken{Audience: audience, IncludeEmail: true}
				to.Scopes, to.Lifetime = nil, 0
			}, idTokenAge)
		}
	}
	return g
}

// allowed refuses scopes that the crossing was not given. One for all of Google Cloud, as by default, bounds nothing.
func allowed(asked, given []string) error {
	if len(given) == 0 || slices.Contains(given, togcp.CloudPlatform) {
		return nil
	}
	for _, scope := range asked {
		if !slices.Contains(given, scope) {
			return misuse("ask for a token", "ask for no scopes, or add this one to the crossing's", "the crossing's scopes are %s, and %.200q is not among them", strings.Join(given, ", "), scope)
		}
	}
	return nil
}

// also keeps a further crossing of the same source, with a target that is a little different. Whoever asked closes it. It
// goes through the client of the crossing itself: anyone may ask for one audience after another, and a client of its own
// for each of them is a pool of connections and a set of certificates that nobody closes.
func (s *Sidecar) also(h *held, change func(*config.ToGCP), age time.Duration) (stile.Supplier, error) {
	c := h.config
	to := *c.To.GCP
	change(&to)
	c.To.GCP = &to
	target, err := h.around.Target(c)
	if err != nil {
		return nil, err
	}
	return s.further.Keep(s.turns.inTurn(h.source, target), keep.Terms{Name: c.Name, Age: age}), nil
}

// numberOf is the project's number in projects/NUMBER/…; a workforce pool's provider has none.
func numberOf(provider string) string {
	rest, ok := strings.CutPrefix(provider, "projects/")
	if !ok {
		return ""
	}
	number, _, _ := strings.Cut(rest, "/")
	return number
}

// projectOf is the project in NAME@PROJECT.iam.gserviceaccount.com. Google's own accounts have other domains, and one
// in a project of a domain (NAME@PROJECT.DOMAIN.iam.gserviceaccount.com) is not plain.
func projectOf(account string) string {
	_, domain, _ := strings.Cut(account, "@")
	project, ok := strings.CutSuffix(domain, ".iam.gserviceaccount.com")
	if !ok || strings.Contains(project, ".") {
		return ""
	}
	return project
}

func misuse(op, hint, format string, args ...any) error {
	return &stile.Error{Op: op, Hint: hint, Err: fmt.Errorf("%w: %s", stile.ErrMisuse, fmt.Sprintf(format, args...))}
}
