// SPDX-License-Identifier: Apache-2.0

package fromoidc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/stile-project/stile"
)

// Environment is a [stile.Source] that takes a token from an environment variable. It cannot choose the audience, so it
// checks it. White space around the token is dropped.
type Environment struct {
	// Name is the variable's. Required.
	Name string
	// Type is what the token is presented as. Empty: [stile.TokenTypeJWT].
	Type stile.TokenType
	// Audience is whom the token is made out to, where that is another name than the target's own. Empty: the target's.
	Audience string
	// InsecureSkipAudience takes a token whatever it is made out to, and one that is no JWT. The far side still checks.
	InsecureSkipAudience bool
	// Lookup finds variables. Nil: os.LookupEnv.
	Lookup func(string) (string, bool)
	// Clock tells whether the token is still good. Nil: time.Now.
	Clock func() time.Time
}

// CacheKey covers the variable, and of what it holds now what a renewed token has as well: one name may hold different
// tokens in different environments. Without a token it is the zero Key.
func (e *Environment) CacheKey() stile.Key {
	value, _ := lookup(e.Lookup)(e.Name)
	token, ok := stableIn([]byte(value), "")
	if !ok {
		return stile.Key{}
	}
	return stile.NewKey("from/oidc environment", e.Name, token, string(e.Type), e.Audience, strconv.FormatBool(e.InsecureSkipAudience))
}

// SubjectToken takes the variable's token and checks that it is for audience.
func (e *Environment) SubjectToken(_ context.Context, audience string) (stile.SubjectToken, error) {
	return e.subjectToken(audience, "set the variable "+e.Name, "have the token issued for that audience, or say as the source's audience what the far side allows")
}

func (e *Environment) subjectToken(audience, setHint, audienceHint string) (stile.SubjectToken, error) {
	p := proof{op: "take the token from the environment", from: "the variable " + e.Name, audience: cmp.Or(e.Audience, audience),
		skip: e.InsecureSkipAudience, typ: e.Type, now: now(e.Clock), kinds: found, hint: audienceHint}
	p.kinds.expired = stile.ErrNoIdentity // a process's environment does not renew itself
	switch {
	case e.Name == "":
		return stile.SubjectToken{}, &stile.Error{Op: p.op, Err: fmt.Errorf("%w: no variable", stile.ErrMisuse), Hint: "name the variable that holds the token"}
	case p.audience == "":
		return stile.SubjectToken{}, noAudience(p.op)
	}
	value, ok := lookup(e.Lookup)(e.Name)
	switch {
	case !ok:
		return stile.SubjectToken{}, p.fail(stile.ErrNoIdentity, setHint, errors.New("it is not set"))
	case strings.TrimSpace(value) == "":
		return stile.SubjectToken{}, p.fail(stile.ErrNoIdentity, setHint, errors.New("it is set, to nothing"))
	}
	return p.subjectToken(value)
}

func lookup(f func(string) (string, bool)) func(string) (string, bool) {
	if f == nil {
		return os.LookupEnv
	}
	return f
}
