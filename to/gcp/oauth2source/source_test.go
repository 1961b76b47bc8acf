// SPDX-License-Identifier: Apache-2.0

package oauth2source_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/to/gcp/oauth2source"
)

type supplier struct {
	kind  stile.Kind
	asked int
}

func (s *supplier) Credential(context.Context) (stile.Credential, error) {
	s.asked++
	return stile.Credential{Kind: s.kind, Token: stile.NewSecret("token"), Expires: time.Now().Add(time.Hour)}, nil
}

// TestCachesAskAgainInTime puts oauth2's own cache in between, as oauth2.NewClient does.
func TestCachesAskAgainInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kept := &supplier{kind: stile.KindAccessToken}
		cache := oauth2.ReuseTokenSource(nil, oauth2source.TokenSource(t.Context(), kept))
		for _, step := range []struct {
			wait  time.Duration
			asked int
		}{{0, 1}, {54 * time.Minute, 1}, {2 * time.Minute, 2}} {
			time.Sleep(step.wait)
			if token, err := cache.Token(); err != nil || token.AccessToken != "token" || token.TokenType != "Bearer" {
				t.Fatalf("got %v, %v", token, err)
			}
			if kept.asked != step.asked {
				t.Errorf("asked %d times, want %d", kept.asked, step.asked)
			}
		}
	})
}

func TestSessionIsNoToken(t *testing.T) {
	t.Parallel()
	if _, err := oauth2source.TokenSource(t.Context(), &supplier{kind: stile.KindAWSSession}).Token(); !errors.Is(err, stile.ErrMisuse) {
		t.Errorf("got %v, want misuse", err)
	}
}
