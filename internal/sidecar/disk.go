// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/serve"
)

// diskPatience is how long a file system has for an answer. One on a network may never give it, and nothing can end the
// call: what made it goes on by itself.
const diskPatience = 5 * time.Second

var errHangs = errors.New("the file system does not answer")

// A disk is where files are. Its zero value is ready for use.
type disk struct {
	reach func(path string) // nil but in tests: it may hang, as a file system does

	mu    sync.Mutex
	stuck map[string]bool // what is asked still, past its time
}

// ask has work done on what is at path, and fails with errHangs where that takes longer than patience, and at once for as
// long as it still does: asking again and again must not pile up threads that hang.
func (d *disk) ask(path string, patience time.Duration, work func() (found, error)) (found, error) {
	type answer struct {
		found
		error
	}
	var a answer
	d.mu.Lock()
	stuck := d.stuck[path]
	d.mu.Unlock()
	if stuck {
		return found{}, hangs(path, patience)
	}
	answered := make(chan answer, 1)
	go func() {
		d.at(path)
		value, err := work()
		d.mu.Lock()
		delete(d.stuck, path)
		answered <- answer{value, err}
		d.mu.Unlock()
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case a = <-answered:
		return a.found, a.error
	case <-timer.C:
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case a = <-answered: // just in time
		return a.found, a.error
	default:
	}
	if d.stuck == nil {
		d.stuck = map[string]bool{}
	}
	d.stuck[path] = true
	return found{}, hangs(path, patience)
}

func (d *disk) at(path string) {
	if d.reach != nil {
		d.reach(path)
	}
}

func hangs(path string, patience time.Duration) error {
	return &stile.Error{Op: "reach " + path, Hint: "see whether a network disk is away: ls -l " + path,
		Err: fmt.Errorf("%w: %w within %s", stile.ErrTemporary, errHangs, patience)}
}

// readable has the certificates of listeners that will be opened read once. The server reads them again, with a lock that
// its status needs too.
func (s *Sidecar) readable(all map[string]*listener) error {
	s.mu.Lock()
	before := s.listeners
	s.mu.Unlock()
	for name, l := range all {
		if was := before[name]; l.TLS == nil || was != nil && was.TLS != nil && was.Address == l.Address {
			continue
		}
		_, err := s.disk.ask(l.TLS.CertFile, diskPatience, func() (found, error) { return found{}, tryPair(*l.TLS) })
		if errors.Is(err, errHangs) {
			return err
		}
	}
	return nil
}

// tryPair reads both files. What is wrong with them is the server's to tell.
func tryPair(files serve.TLS) error {
	_, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
	return err
}
