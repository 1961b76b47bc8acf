// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stile-project/stile/serve"
)

// answer is what the admin of a server answers.
func answer(t *testing.T, s *serve.Server, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	s.Admin().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestUnreadyForAnotherReason(t *testing.T) {
	t.Parallel()
	var lines []string
	s := serve.New(serve.Options{Unready: func() []string { return lines }})
	defer func() { _ = s.Close() }()
	if code, body := answer(t, s, "/readyz"); code != http.StatusOK || !s.Report().Ready {
		t.Errorf("%d %s", code, body)
	}
	lines = []string{"images: the file\n/a is waiting", "b"}
	if code, body := answer(t, s, "/readyz"); code != http.StatusServiceUnavailable || body != "images: the file /a is waiting\nb\n" || s.Report().Ready {
		t.Errorf("%d %s", code, body)
	}
}

func TestFilesInMetrics(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := serve.New(serve.Options{Clock: func() time.Time { return now }, Files: func() []serve.FileStatus {
		return []serve.FileStatus{{Crossing: "images", Path: "/a", Profile: "p", Ready: true, Expires: now.Add(time.Minute)}, {Crossing: "visa", Path: `/b"`, Failures: 3}}
	}})
	defer func() { _ = s.Close() }()
	_, body := answer(t, s, "/metrics")
	_, got, _ := strings.Cut(body, "# HELP stile_file_ready")
	got, _, _ = strings.Cut(got, "# HELP process_start")
	const want = ` Whether the file holds a credential that is valid.
# TYPE stile_file_ready gauge
stile_file_ready{crossing="images",file="/a",profile="p"} 1
stile_file_ready{crossing="visa",file="/b\"",profile=""} 0
# HELP stile_file_expires_in_seconds How long the credential in the file lives from now.
# TYPE stile_file_expires_in_seconds gauge
stile_file_expires_in_seconds{crossing="images",file="/a",profile="p"} 60
# HELP stile_file_failures Attempts to renew the file that failed since the last that did not.
# TYPE stile_file_failures gauge
stile_file_failures{crossing="images",file="/a",profile="p"} 0
stile_file_failures{crossing="visa",file="/b\"",profile=""} 3
`
	if got != want {
		t.Errorf("got %s", got)
	}
	none := serve.New(serve.Options{})
	defer func() { _ = none.Close() }()
	if _, body := answer(t, none, "/metrics"); strings.Contains(body, "stile_file") {
		t.Error("it tells of files, and there are none")
	}
}

func TestFilesInTheAudit(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var audit bytes.Buffer
	s := serve.New(serve.Options{Clock: func() time.Time { return now }, Audit: serve.JSON(&audit)})
	s.Wrote(serve.FileWrite{Crossing: "images", What: "AWS session", Path: "/a", Profile: "p", Expires: now.Add(time.Hour)})
	s.Wrote(serve.FileWrite{Crossing: "visa", What: strings.Repeat("x", 1000), Path: "/b", Expires: now})
	if _, body := answer(t, s, "/metrics"); !strings.Contains(body, `stile_credentials_total{endpoint="file",result="ok"} 2`) {
		t.Errorf("%s", body)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want := `{"time":"2026-01-02T03:04:05Z","level":"INFO","msg":"credential handed out","endpoint":"file","crossing":"images","what":"AWS session","expires":"2026-01-02T04:04:05Z","path":"/a","profile":"p"}
{"time":"2026-01-02T03:04:05Z","level":"INFO","msg":"credential handed out","endpoint":"file","crossing":"visa","what":"` + strings.Repeat("x", 512) + `…","expires":"2026-01-02T03:04:05Z","path":"/b"}
`
	if got := audit.String(); got != want {
		t.Errorf("got %s", got)
	}
	silent := serve.New(serve.Options{})
	silent.Wrote(serve.FileWrite{})
	if err := silent.Close(); err != nil {
		t.Error(err)
	}
}
