// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net/http"
	"os"
	"runtime"
	"strconv"

	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/serve"
)

// onlyThisUser is who may ask exec's endpoint: programs of the user who runs stile. Nobody is named where the system does
// not tell whose program asks: then a bearer token keeps others out where the crossing leads into AWS, and nothing where it
// leads into Google Cloud.
func (p *program) onlyThisUser(ctx context.Context, c config.Crossing) []string {
	if runtime.GOOS != "linux" { // as docs/serve.md says
		return nil
	}
	id := os.Geteuid()
	if p.tellsUsers(ctx, uint32(id)) { //nolint:gosec // the number of a user on Linux
		return []string{strconv.Itoa(id)}
	}
	if c.To.GCP != nil {
		p.warn("this system does not tell whose program asks: while the command runs, programs of every user of this machine get the credential that ask for it")
	}
	return nil
}

// tellsUsers reports whether the kernel tells that a program of this user's is just that. Some sandboxes have their own
// kernel, which cannot. It is found by asking a listener that is for this user alone.
func (p *program) tellsUsers(ctx context.Context, id uint32) bool {
	s := serve.New(serve.Options{})
	ctx, end := context.WithCancel(ctx)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(ctx) // what it cannot do is seen by asking
	}()
	defer func() { end(); <-served }()
	const name = "users"
	if err := s.Listen(ctx, []serve.Listener{{Name: name, Address: anyPort, Handler: http.NotFoundHandler(), AllowUsers: []uint32{id}}}); err != nil {
		return true // the endpoint itself will fail likewise, and say why
	}
	at := s.Addresses()[name]
	if len(at) == 0 { // stile was told to end
		return true
	}
	code, _, err := adminPlace{address: at[0].String(), program: p}.ask(ctx, "/")
	return err != nil || code != http.StatusForbidden
}
