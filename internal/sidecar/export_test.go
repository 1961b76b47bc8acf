// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"context"
	"net/http"
	"reflect"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/serve/offer"
)

// What only tests need: parts that can be looked at alone, and what shows that something went on and was not made anew.
var (
	NumberOf  = numberOf
	ProjectOf = projectOf
)

// Fetch is what Run does beside serving. It asks no socket, and so runs by a test's own clock.
func (s *Sidecar) Fetch(ctx context.Context) { s.fetch(ctx) }

// Sources are those of crossings that one plan names.
func (s *Sidecar) Sources(ctx context.Context, crossings ...config.Crossing) (all []stile.Source, err error) {
	b := s.newBuilder()
	for _, c := range crossings {
		made, err := b.parts(ctx, c)
		if err != nil {
			return nil, err
		}
		all = append(all, made.source)
	}
	return all, nil
}

// Google is a crossing as a metadata server knows it.
func (s *Sidecar) Google(name string) *offer.Google {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.google(s.held[name], config.Endpoint{GCE: name})
}

// Writer is what writes the files of now.
func (s *Sidecar) Writer() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files
}

// Start has a Writer write, as Run does at its beginning.
func Start(ctx context.Context, writer any) {
	if f, ok := writer.(*files); ok {
		f.start(ctx)
	}
}

// Writes reports whether a Writer writes.
func Writes(writer any) bool {
	f, ok := writer.(*files)
	if !ok || f == nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.done:
		return false
	default:
		return f.cancel != nil
	}
}

// Stop ends what Start began.
func Stop(writer any) {
	if f, ok := writer.(*files); ok {
		_ = f.stop()
	}
}

// HintOf is what mends an error.
func HintOf(err error) string { return hintOf(err) }

// Further is how many crossings are held that were made for a question. Nobody may ask one meanwhile.
func Further(s *Sidecar) int { return reflect.ValueOf(s.further).Elem().FieldByName("entries").Len() }

// Reach has reach called before a disk is asked for what is at a path. It is set before there is a plan.
func Reach(s *Sidecar, reach func(path string)) { s.disk.reach = reach }

// Handler is what answers at a listener, to be asked without a socket.
func Handler(s *Sidecar, listener string) http.Handler {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listeners[listener].Handler
}
