// SPDX-License-Identifier: Apache-2.0

package keep_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
)

// locked is a log that may be read while it is written.
type locked struct {
	mu sync.Mutex
	to bytes.Buffer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.Write(b)
}

// take gives what was logged since it was last asked.
func (l *locked) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.to.Reset()
	return l.to.String()
}

// What a failed exchange is logged with tells what mends it, whether a credential is held or not.
func TestHintIsLogged(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		var log locked
		target := &issuer{life: time.Hour}
		target.failWith(&stile.Error{Op: "exchange", Err: stile.ErrRefused, Hint: "mend it"})
		k := kept(t, target, keep.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		if _, err := k.Credential(t.Context()); err == nil {
			t.Fatal("it did not fail")
		}
		synctest.Wait()
		if got := log.take(); !strings.Contains(got, `msg="exchange failed" hint="mend it" error=`) {
			t.Errorf("logged %s", got)
		}
		target.mend()
		time.Sleep(time.Minute)
		token(t, k)
		target.failWith(fmt.Errorf("wrapped: %w", &stile.Error{Op: "exchange", Err: stile.ErrTemporary, Hint: "mend that"}))
		synctest.Wait()
		log.take()
		for range 59 {
			time.Sleep(time.Minute)
			token(t, k)
		}
		synctest.Wait()
		if got := log.take(); !strings.Contains(got, `msg="exchange failed, the held credential is still valid" hint="mend that" expires=`) {
			t.Errorf("logged %s", got)
		}
		target.failWith(stile.ErrTemporary)
		synctest.Wait()
		log.take()
		time.Sleep(5 * time.Minute)
		if _, err := k.Credential(t.Context()); err == nil {
			t.Fatal("it did not fail")
		}
		synctest.Wait()
		if got := log.take(); got == "" || strings.Contains(got, "hint") {
			t.Errorf("logged %s", got)
		}
	})
}
