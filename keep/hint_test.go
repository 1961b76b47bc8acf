// SPDX-License-Identifier: Apache-2.0

package keep_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
)

// What a failed exchange is logged with tells what mends it, whether a credential is held or not.
func TestHintIsLogged(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		var log bytes.Buffer
		target := &issuer{life: time.Hour}
		target.failWith(&stile.Error{Op: "exchange", Err: stile.ErrRefused, Hint: "mend it"})
		k := kept(t, target, keep.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		if _, err := k.Credential(t.Context()); err == nil {
			t.Fatal("it did not fail")
		}
		synctest.Wait()
		if got := log.String(); !strings.Contains(got, `msg="exchange failed" hint="mend it" error=`) {
			t.Errorf("logged %s", got)
		}
		target.mend()
		time.Sleep(time.Minute)
		token(t, k)
		target.failWith(fmt.Errorf("wrapped: %w", &stile.Error{Op: "exchange", Err: stile.ErrTemporary, Hint: "mend that"}))
		synctest.Wait()
		log.Reset()
		for range 59 {
			time.Sleep(time.Minute)
			token(t, k)
		}
		synctest.Wait()
		if got := log.String(); !strings.Contains(got, `msg="exchange failed, the held credential is still valid" hint="mend that" expires=`) {
			t.Errorf("logged %s", got)
		}
		target.failWith(stile.ErrTemporary)
		synctest.Wait()
		log.Reset()
		time.Sleep(5 * time.Minute)
		if _, err := k.Credential(t.Context()); err == nil {
			t.Fatal("it did not fail")
		}
		synctest.Wait()
		if got := log.String(); got == "" || strings.Contains(got, "hint") {
			t.Errorf("logged %s", got)
		}
	})
}
