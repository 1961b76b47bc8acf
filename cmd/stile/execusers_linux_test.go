// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stile-project/stile/config"
)

// stranger is a user id that is not ours.
const stranger = 54321

// askedBy asks as a user's program would: a socket is its maker's. The user is the thread's, which ends with this.
func askedBy(t *testing.T, uid uintptr, req *http.Request) int {
	t.Helper()
	code := make(chan int)
	go func() {
		defer close(code)
		runtime.LockOSThread() // and never unlocked
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETFSUID, uid, 0, 0); errno != 0 {
			t.Error(errno)
			return
		}
		transport := &http.Transport{DisableKeepAlives: true}
		conn, err := (&net.Dialer{}).DialContext(req.Context(), "tcp", req.URL.Host) // here: net/http would dial in another thread
		if err != nil {
			t.Error(err)
			return
		}
		transport.DialContext = func(context.Context, string, string) (net.Conn, error) { return conn, nil }
		res, err := transport.RoundTrip(req)
		if err != nil {
			t.Error(err)
			return
		}
		_ = res.Body.Close()
		code <- res.StatusCode
	}()
	return <-code
}

// What a command finds is for its own user: another one's program is turned away, also where it has all that the command has.
func TestExecAnswersItsOwnUserAlone(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can ask as another user")
	}
	for crossing, where := range map[string]string{"images": "$AWS_CONTAINER_CREDENTIALS_FULL_URI", "warehouse": "http://$GCE_METADATA_HOST/computeMetadata/v1/instance/service-accounts/default/token"} {
		t.Run(crossing, func(t *testing.T) {
			t.Parallel()
			w := execWorkload(t, map[string]string{"wait.sh": `echo "` + where + ` $AWS_CONTAINER_AUTHORIZATION_TOKEN" > next; mv next where; until test -e on; do sleep 0.01; done` + "\n"})
			cmd := away(t, w, "stile", "exec", crossing, "--", "sh", "wait.sh")
			var told bytes.Buffer
			cmd.Stderr = &told
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			req := asCommand(t, filepath.Join(w.folder, "where"))
			for uid, want := range map[uintptr]int{0: http.StatusOK, stranger: http.StatusForbidden} {
				if got := askedBy(t, uid, req.Clone(t.Context())); got != want {
					t.Errorf("user %d got %d, want %d", uid, got, want)
				}
			}
			if err := os.WriteFile(filepath.Join(w.folder, "on"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if got := ending(t, cmd); got != "exit status 0" || told.Len() > 0 {
				t.Errorf("%s: %q", got, told.String())
			}
		})
	}
}

// asCommand is the request that a command makes which wrote down where, and by which token.
func asCommand(t *testing.T, where string) *http.Request {
	t.Helper()
	for late := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		data, err := os.ReadFile(filepath.Clean(where))
		if err != nil && time.Now().Before(late) {
			continue
		}
		address, token, _ := strings.Cut(strings.TrimSpace(string(data)), " ")
		at, failed := url.Parse(address)
		if err != nil || failed != nil {
			t.Fatal(err, failed)
		}
		return &http.Request{Method: http.MethodGet, URL: at, Header: http.Header{"Metadata-Flavor": {"Google"}, "Authorization": {token}}}
	}
}

func TestWhoMayAskExec(t *testing.T) {
	t.Parallel()
	var told bytes.Buffer
	p := &program{stderr: &told, env: os.Getenv, timeout: time.Minute}
	me := strconv.Itoa(os.Geteuid())
	for name, c := range map[string]config.Crossing{"aws": {Name: "a", To: config.To{AWS: &config.ToAWS{}}}, "gcp": {Name: "g", To: config.To{GCP: &config.ToGCP{}}}} {
		if got := p.onlyThisUser(t.Context(), c); !slices.Equal(got, []string{me}) {
			t.Errorf("%s: %q may ask, want %q", name, got, me)
		}
	}
	if told.Len() > 0 {
		t.Error(told.String())
	}
	if p.tellsUsers(t.Context(), stranger) {
		t.Error("this program is said to be another user's")
	}
	ended, end := context.WithCancel(t.Context())
	end()
	p.tellsUsers(ended, stranger)
}
