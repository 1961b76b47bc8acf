// SPDX-License-Identifier: Apache-2.0

//go:build unix

package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/keep/seal"
	"github.com/stile-project/stile/keep/shared"
)

const (
	absentAsks = "STILE_TEST_ABSENT" // the address that the process asks; set in it alone
	absentTime = 300 * time.Millisecond
)

// Absent holds the engine to this: a process that gets no processor for longer than the store's deadline, whenever an
// answer comes, finds what is kept all the same. The test that calls it starts itself anew as that process, so it does
// nothing else; serve gives the address of a server.
func Absent(t *testing.T, serve func() string, join func(t *testing.T, address string) shared.Backend) {
	t.Helper()
	if address := os.Getenv(absentAsks); address != "" {
		memory := keep.NewMemory(keep.WithStore(shared.New(join(t, address), seal.Plain), absentTime))
		defer memory.Close()
		cred, err := memory.Keep(kept(), keep.Terms{}).Credential(t.Context())
		if err != nil || cred.Token.Reveal() != "kept" {
			t.Errorf("got %v, %v", cred, err)
		}
		return
	}
	address := serve()
	store := shared.New(join(t, address), seal.Plain)
	key, err := store.Key(t.Context(), kept())
	if err == nil {
		err = store.Save(t.Context(), key, record("kept", time.Hour))
	}
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, "-test.run=^"+t.Name()+"$") //nolint:gosec // G204: this very test
	cmd.Stdout, cmd.Stderr = &said, &said
	started := make(chan struct{})
	cmd.Env = append(os.Environ(), absentAsks+"="+stopping(t, address, &Process{t: t, cmd: cmd}, started))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	close(started)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, &said)
	}
}

// stopping stands before a server, and has the process stop while an answer comes, and for longer than it has.
func stopping(t *testing.T, server string, p *Process, started <-chan struct{}) (address string) {
	t.Helper()
	return listen(t, func(ctx context.Context, client net.Conn) {
		far, err := (&net.Dialer{}).DialContext(ctx, "tcp", server)
		if err != nil {
			return
		}
		defer func() { _ = far.Close() }()
		var both sync.WaitGroup
		defer both.Wait()
		both.Go(func() {
			defer func() { _ = far.Close() }()
			_, _ = io.Copy(far, client) // until either has gone
		})
		var buffer [4 << 10]byte
		for {
			n, err := far.Read(buffer[:])
			if err != nil {
				return
			}
			<-started
			p.Freeze()
			_, err = client.Write(buffer[:n])
			select {
			case <-time.After(absentTime * 3 / 2):
			case <-ctx.Done():
			}
			p.Thaw()
			if err != nil {
				return
			}
		}
	})
}

// kept is a crossing that cannot be made: it is kept, or nothing comes of it.
func kept() stile.Crossing { return stile.Cross(nobody{}, nothing{}) }

type nobody struct{}

func (nobody) CacheKey() stile.Key { return stile.NewKey("storetest") }

func (nobody) Identity(context.Context, string, bool) (stile.Key, error) {
	return stile.NewKey("storetest"), nil
}

func (nobody) SubjectToken(context.Context, string) (stile.SubjectToken, error) {
	return stile.SubjectToken{}, errors.New("it was not taken from the store")
}

type nothing struct{}

func (nothing) CacheKey() stile.Key { return stile.NewKey("storetest") }
func (nothing) Audience() string    { return "anyone" }
func (nothing) Exchange(context.Context, stile.SubjectToken) (stile.Credential, error) {
	return stile.Credential{}, errors.New("it was not taken from the store")
}
