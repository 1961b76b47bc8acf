// SPDX-License-Identifier: Apache-2.0

package ecs

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-project/stile"
)

// TestTokenFileOnADiskThatHangs: however many ask, each is told in a second, and few threads hang. When the disk is back
// the token counts again; what the calls that hung have seen does not.
func TestTokenFileOnADiskThatHangs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("token-1")
	synctest.Test(t, func(t *testing.T) {
		b, err := newBearer(Options{TokenFile: path, Clock: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		var hangs atomic.Pointer[chan struct{}]
		var hanging, most atomic.Int64
		b.stat = func(path string) (os.FileInfo, error) {
			info, err := os.Stat(path)
			if back := hangs.Load(); back != nil {
				if n := hanging.Add(1); n > most.Load() {
					most.Store(n)
				}
				<-*back
				hanging.Add(-1)
			}
			return info, err
		}
		admits := func(token string) (bool, error) {
			r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
			r.Header.Set("Authorization", token)
			return b.admits(r)
		}
		let := func(token string, want bool) {
			t.Helper()
			if ok, err := admits(token); err != nil || ok != want {
				t.Errorf("%s: %t, %v", token, ok, err)
			}
		}
		let("token-1", true)
		back := make(chan struct{})
		hangs.Store(&back)
		let("token-1", true) // a moment ago it was right
		time.Sleep(time.Minute)
		for range 20 {
			start := time.Now()
			var all sync.WaitGroup
			for _, token := range []string{"token-1", "token-2", "token-1", "guessed"} {
				for range 10 {
					all.Go(func() {
						ok, err := admits(token)
						if ok || !errors.Is(err, stile.ErrTemporary) || !strings.Contains(err.Error(), "the file system does not answer within 1s") {
							t.Errorf("%s: %t, %v", token, ok, err)
						}
					})
				}
			}
			all.Wait()
			if took := time.Since(start); took != time.Second {
				t.Errorf("it took %s", took)
			}
		}
		if n := most.Load(); n != looksAtOnce {
			t.Errorf("%d calls hung at once, want %d", n, looksAtOnce)
		}
		hangs.Store(nil)
		write("token-2")
		close(back)
		synctest.Wait()
		let("token-2", true)
		let("token-1", false)
		if n := hanging.Load(); n != 0 {
			t.Errorf("%d calls hang still", n)
		}
	})
}
