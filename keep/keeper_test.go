// SPDX-License-Identifier: Apache-2.0

package keep_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
)

var anyone = stile.SourceFunc(func(context.Context, string) (stile.SubjectToken, error) {
	return stile.SubjectToken{Value: stile.NewSecret("subject")}, nil
})

// issuer is a target whose credentials live for life and take a moment to get.
type issuer struct {
	life  time.Duration
	takes time.Duration
	fail  atomic.Pointer[error]
	made  atomic.Int64
}

func (*issuer) Audience() string { return "anyone" }

func (i *issuer) Exchange(ctx context.Context, _ stile.SubjectToken) (stile.Credential, error) {
	select {
	case <-time.After(i.takes):
	case <-ctx.Done():
		return stile.Credential{}, ctx.Err()
	}
	if err := i.fail.Load(); err != nil {
		return stile.Credential{}, *err
	}
	n := i.made.Add(1)
	return stile.Credential{Kind: stile.KindAccessToken, Token: stile.NewSecret(fmt.Sprint("token ", n)), Expires: time.Now().Add(i.life)}, nil
}

func TestKeeperExchangesOnceForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		target := &issuer{life: time.Hour, takes: time.Second}
		keeper := keep.New(stile.Cross(anyone, target))
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if cred, err := keeper.Credential(t.Context()); err != nil || cred.Token.Reveal() != "token 1" {
					t.Errorf("got %q, %v", cred.Token.Reveal(), err)
				}
			})
		}
		all.Wait()
		if n := target.made.Load(); n != 1 {
			t.Errorf("%d exchanges, want 1", n)
		}
	})
}

func TestKeeperHandsOutAtLeastTheFloor(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		life, wait time.Duration
		exchanges  int64
	}{
		"long before the floor":               {time.Hour, 30 * time.Minute, 1},
		"just at the floor":                   {time.Hour, 55 * time.Minute, 1},
		"just under it":                       {time.Hour, 55*time.Minute + time.Second, 2},
		"past its expiry":                     {time.Hour, 2 * time.Hour, 2},
		"a whole life under the floor, young": {4 * time.Minute, time.Minute, 1},
		"a whole life under the floor, old":   {4 * time.Minute, 3 * time.Minute, 2},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				target := &issuer{life: c.life}
				keeper := keep.New(stile.Cross(anyone, target))
				for range 2 {
					cred, err := keeper.Credential(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					if left := time.Until(cred.Expires); left < min(keep.DefaultFloor, c.life/2) {
						t.Errorf("handed out with %s left", left)
					}
					time.Sleep(c.wait)
				}
				if n := target.made.Load(); n != c.exchanges {
					t.Errorf("%d exchanges, want %d", n, c.exchanges)
				}
			})
		})
	}
}

func TestKeeperCancelledCallerFailsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		target := &issuer{life: time.Hour, takes: 10 * time.Second}
		keeper := keep.New(stile.Cross(anyone, target))
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := keeper.Credential(impatient); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the impatient caller got %v, want its own deadline", err)
			}
		})
		synctest.Wait() // the impatient one leads the exchange
		all.Go(func() {
			if _, err := keeper.Credential(t.Context()); err != nil {
				t.Errorf("the patient caller got %v", err)
			}
		})
		all.Wait()
		if n := target.made.Load(); n != 1 {
			t.Errorf("%d exchanges, want 1", n)
		}
	})
}

func TestKeeperServesLastGoodUntilItsExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		target := &issuer{life: time.Hour}
		keeper := keep.New(stile.Cross(anyone, target))
		first, err := keeper.Credential(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		outage := error(&stile.Error{Op: "exchange", Status: 503, Err: stile.ErrTemporary})
		target.fail.Store(&outage)
		time.Sleep(time.Hour - time.Second)
		if cred, err := keeper.Credential(t.Context()); err != nil || cred.Token != first.Token {
			t.Errorf("a second before expiry: got %v, want the last good credential", err)
		}
		time.Sleep(time.Second)
		if _, err := keeper.Credential(t.Context()); !errors.Is(err, stile.ErrTemporary) {
			t.Errorf("at expiry: got %v, want the outage itself", err)
		}
	})
}

func TestKeeperRefusesCredentialsDeadOnArrival(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		keeper := keep.New(stile.Cross(anyone, &issuer{life: -time.Second}))
		if _, err := keeper.Credential(t.Context()); !errors.Is(err, stile.ErrTemporary) {
			t.Errorf("got %v, want a refusal to hand out a dead credential", err)
		}
	})
}

// keyed is a source that shares what it obtains with equal sources.
type keyed struct{ stile.SourceFunc }

func (keyed) CacheKey() stile.Key { return stile.NewKey("test source") }

type audienceTarget struct {
	audience string
	made     *atomic.Int64
}

func (a audienceTarget) Audience() string    { return "provider" }
func (a audienceTarget) CacheKey() stile.Key { return stile.NewKey("test target", a.audience) }
func (a audienceTarget) Exchange(context.Context, stile.SubjectToken) (stile.Credential, error) {
	a.made.Add(1)
	return stile.Credential{Kind: stile.KindIDToken, Token: stile.NewSecret("for " + a.audience), Expires: time.Now().Add(time.Hour)}, nil
}

func TestMemorySharesExactlyEqualCrossings(t *testing.T) {
	t.Parallel()
	memory, made := keep.NewMemory(), new(atomic.Int64)
	for range 3 {
		for _, audience := range []string{"https://a.example", "https://b.example"} {
			keeper := keep.New(stile.Cross(keyed{anyone}, audienceTarget{audience, made}), keep.In(memory))
			cred, err := keeper.Credential(t.Context())
			if err != nil || cred.Token.Reveal() != "for "+audience {
				t.Fatalf("for %s: got %q, %v", audience, cred.Token.Reveal(), err)
			}
		}
	}
	if n := made.Load(); n != 2 {
		t.Errorf("%d exchanges, want one for each audience", n)
	}
}

func TestMemorySharesNothingWithoutKeys(t *testing.T) {
	t.Parallel()
	memory, target := keep.NewMemory(), &issuer{life: time.Hour}
	for range 2 {
		if _, err := keep.New(stile.Cross(anyone, target), keep.In(memory)).Credential(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := target.made.Load(); n != 2 {
		t.Errorf("%d exchanges, want 2: nothing says that the two crossings are equal", n)
	}
}
