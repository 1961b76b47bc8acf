// SPDX-License-Identifier: Apache-2.0

package shared_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/keep/shared"
	"github.com/stile-project/stile/keep/shared/storetest"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	for list, want := range map[string]string{
		"a":                  "a:7",
		"a:1":                "a:1",
		"a,b.example:2":      "a:7 b.example:2",
		"10.0.0.1,[::1]":     "10.0.0.1:7 [::1]:7",
		"[fe80::1]:65535":    "[fe80::1]:65535",
		"under_score-dash:3": "under_score-dash:3",
	} {
		if got, err := shared.Addresses(list, "7"); err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: got %v, %v; want %s", list, got, err, want)
		}
	}
	for _, list := range []string{"", ",", "a,", ":1", "a:", "a:0", "a:65536", "a:-1", "a:+1", "a:hunter2", "u:hunter2@a", "hunter2@a:1", "::1", "[a]", "[10.0.0.1]:1", "[::1", "::1]",
		"a b", "a/b", strings.Repeat("a", 254)} {
		if got, err := shared.Addresses(list, "7"); !errors.Is(err, stile.ErrMisuse) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, %v; want ErrMisuse", list, got, err)
		}
	}
}

func FuzzAddresses(f *testing.F) {
	for _, list := range []string{"a,b:1", "[::1]:2", "u:p@a"} {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list string) {
		got, err := shared.Addresses(list, "7")
		if err != nil {
			return
		}
		for _, one := range got {
			if _, _, err := net.SplitHostPort(one); err != nil {
				t.Errorf("%q: %q is no address: %v", list, one, err)
			}
		}
		if again, err := shared.Addresses(strings.Join(got, ","), "1"); err != nil || strings.Join(again, " ") != strings.Join(got, " ") {
			t.Errorf("%q reads as %v, and that as %v, %v", list, got, again, err)
		}
	})
}

func TestTLSFiles(t *testing.T) {
	t.Parallel()
	good := storetest.Certificates(t)
	good.ServerName = "cache.example.test"
	config, err := good.Config()
	if err != nil || config.RootCAs == nil || config.GetClientCertificate == nil || config.ServerName != good.ServerName || config.MinVersion < tls.VersionTLS12 {
		t.Errorf("got %v, %v", config, err)
	}
	plain, err := shared.TLS{}.Config()
	if err != nil || plain.RootCAs != nil || plain.GetClientCertificate != nil || plain.InsecureSkipVerify {
		t.Errorf("with nothing given: got %v, %v", plain, err)
	}
	foul := filepath.Join(t.TempDir(), "foul.pem")
	if err := os.WriteFile(foul, []byte("-----BEGIN hunter2-----\nhunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	other := storetest.Certificates(t)
	for name, files := range map[string]shared.TLS{
		"authorities that are not there": {CAFile: foul + "x"},
		"authorities that are none":      {CAFile: foul},
		"a certificate alone":            {CertFile: good.CertFile},
		"a key alone":                    {KeyFile: good.KeyFile},
		"a key that is not there":        {CertFile: good.CertFile, KeyFile: foul + "x"},
		"a key that is none":             {CertFile: good.CertFile, KeyFile: foul},
		"another's key":                  {CertFile: good.CertFile, KeyFile: other.KeyFile},
	} {
		if config, err := files.Config(); !errors.Is(err, stile.ErrMisuse) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, %v; want ErrMisuse", name, config, err)
		}
	}
}

// A certificate that was replaced is shown from the next connection on.
func TestCertificateIsReadEachTime(t *testing.T) {
	t.Parallel()
	files, next := storetest.Certificates(t), storetest.Certificates(t)
	config, err := files.Config()
	if err != nil {
		t.Fatal(err)
	}
	before, err := config.GetClientCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{next.CertFile: files.CertFile, next.KeyFile: files.KeyFile} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	after, err := config.GetClientCertificate(nil)
	if err != nil || string(after.Certificate[0]) == string(before.Certificate[0]) {
		t.Errorf("the old certificate is still shown: %v", err)
	}
}

// tardy is a context whose deadline has passed and that has not noticed yet.
type tardy struct{ context.Context } //nolint:containedctx // it is one

func (tardy) Deadline() (time.Time, bool) { return time.Now(), true }

func TestFault(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Hour))
	defer cancel()
	patient, cancel := keep.Patience(t.Context(), 0)
	defer cancel()
	ours := &stile.Error{Op: "read the password", Err: stile.ErrMisuse}
	for _, c := range []struct {
		name  string
		ctx   context.Context //nolint:containedctx // a case
		err   error
		is    error
		words string
	}{
		{"the caller has gone", ended, errors.New("hunter2"), context.Canceled, "gave up waiting"},
		{"the deadline has passed", late, os.ErrDeadlineExceeded, context.DeadlineExceeded, "gave up waiting"},
		{"the engine has had its time", patient, net.ErrClosed, context.DeadlineExceeded, "gave up waiting"},
		{"the connection was first to notice", tardy{t.Context()}, os.ErrDeadlineExceeded, context.DeadlineExceeded, "gave up waiting"},
		{"our own", t.Context(), fmt.Errorf("hunter2: %w", ours), stile.ErrMisuse, "read the password"},
		{"the network", t.Context(), fmt.Errorf("hunter2: %w", &net.OpError{Op: "dial", Err: errors.New("refused")}), stile.ErrTemporary, "dial: refused"},
		{"a certificate", t.Context(), &tls.CertificateVerificationError{Err: errors.New("unknown authority")}, stile.ErrTemporary, "unknown authority"},
		{"no TLS", t.Context(), tls.RecordHeaderError{Msg: "hunter2"}, stile.ErrTemporary, "does not speak TLS"},
		{"a limit of ours", t.Context(), context.DeadlineExceeded, stile.ErrTemporary, "no answer in time"},
		{"the end", t.Context(), fmt.Errorf("hunter2: %w", io.ErrUnexpectedEOF), stile.ErrTemporary, "closed the connection"},
		{"closed here", t.Context(), net.ErrClosed, stile.ErrTemporary, "closed here"},
		{"anything else", t.Context(), errors.New("can't parse hunter2"), stile.ErrTemporary, "no answer of such a server"},
	} {
		err := shared.Fault(c.ctx, "load", "an engine", c.err)
		var told *stile.Error
		if !errors.Is(err, c.is) || !errors.As(err, &told) || !strings.Contains(err.Error(), c.words) || strings.Contains(fmt.Sprintf("%v %s", err, told.Hint), "hunter2") {
			t.Errorf("%s: got %v; want it to be %v, and to say %s", c.name, err, c.is, c.words)
		}
	}
}
