// SPDX-License-Identifier: Apache-2.0

package awscreds_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/to/aws/awscreds"
)

// supplier counts how often it is asked.
type supplier struct {
	kind  stile.Kind
	life  time.Duration
	asked int
	err   error
}

func (s *supplier) Credential(context.Context) (stile.Credential, error) {
	s.asked++
	return stile.Credential{Kind: s.kind, Expires: time.Now().Add(s.life), Session: stile.Session{AccessKeyID: "ASIA",
		SecretAccessKey: stile.NewSecret("secret"), SessionToken: stile.NewSecret("token"), AccountID: "111122223333"}}, s.err
}

// TestSDKAsksAgainInTime puts the SDK's own cache in between, as config.LoadDefaultConfig does.
func TestSDKAsksAgainInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kept := &supplier{kind: stile.KindAWSSession, life: time.Hour}
		cache := aws.NewCredentialsCache(awscreds.Provider(kept))
		for _, step := range []struct {
			wait  time.Duration
			asked int
		}{{0, 1}, {54 * time.Minute, 1}, {2 * time.Minute, 2}} {
			time.Sleep(step.wait)
			creds, err := cache.Retrieve(t.Context())
			if err != nil || creds.SessionToken != "token" || creds.AccountID != "111122223333" {
				t.Fatalf("got account %q, %v", creds.AccountID, err)
			}
			if kept.asked != step.asked {
				t.Errorf("asked %d times, want %d", kept.asked, step.asked)
			}
		}
	})
}

func TestProviderPassesOnWhatFails(t *testing.T) {
	t.Parallel()
	outage := errors.New("outage")
	if _, err := awscreds.Provider(&supplier{err: outage}).Retrieve(t.Context()); !errors.Is(err, outage) {
		t.Errorf("got %v", err)
	}
	if _, err := awscreds.Provider(&supplier{kind: stile.KindIDToken}).Retrieve(t.Context()); !errors.Is(err, stile.ErrMisuse) {
		t.Errorf("an ID token: got %v, want misuse", err)
	}
}
