// SPDX-License-Identifier: Apache-2.0

package outlet

import (
	"context"
	"errors"
	"io/fs"
	"sync"

	"github.com/stile-project/stile"
)

// A sheet is a file of profiles that are kept fresh. Whoever writes one of them writes those of all who wait, so that
// hundreds do not wait for each other.
type sheet struct {
	turn chan struct{} // of who writes
	seen watch         // for who has the turn

	mu      sync.Mutex
	waiting []*entry
}

func newSheet() *sheet { return &sheet{turn: make(chan struct{}, 1)} }

// An entry is one profile that is to be written.
type entry struct {
	file       File
	makeFolder bool
	renew      func(old []byte) ([]byte, error)
	written    chan struct{} // closed once what follows is known

	info   fs.FileInfo
	news   change
	failed error // of renew
	err    error
}

// write is [File.write] for a file of the sheet. It fails with [unrested] where it would have to wait for other programs.
func (s *sheet) write(f File) func(ctx context.Context, c, before stile.Credential, makeFolder bool) (fs.FileInfo, change, error) {
	return func(ctx context.Context, c, before stile.Credential, makeFolder bool) (fs.FileInfo, change, error) {
		e := &entry{file: f, makeFolder: makeFolder, written: make(chan struct{})}
		var err error
		if e.renew, err = f.renewal(c, before, &e.news); err != nil {
			return nil, change{}, err
		}
		s.mu.Lock()
		s.waiting = append(s.waiting, e)
		s.mu.Unlock()
		select {
		case <-e.written:
		case s.turn <- struct{}{}:
			if all := s.take(e); len(all) > 0 {
				s.writeAll(ctx, all)
			}
			<-s.turn
		}
		if e.err != nil {
			return nil, change{}, f.fail("write the credential to", e.err)
		}
		return e.info, e.news, nil
	}
}

// take gives all who wait and want the file as e does; none if e has been written.
func (s *sheet) take(e *entry) (all []*entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-e.written:
		return nil
	default:
	}
	want := e.file
	var others []*entry
	for _, one := range s.waiting {
		want.Profile = one.file.Profile
		if one.file == want && one.makeFolder == e.makeFolder {
			all = append(all, one)
		} else {
			others = append(others, one)
		}
	}
	s.waiting = others
	return all
}

// writeAll fails for one whose profile cannot be set, and for all where the file cannot be written.
func (s *sheet) writeAll(ctx context.Context, all []*entry) {
	info, err := all[0].file.replaceOnce(ctx, &s.seen, func(old []byte) ([]byte, error) {
		var failed error
		good := 0
		for _, e := range all {
			fresh, err := e.renew(old)
			if e.failed = err; err != nil {
				failed = err
				continue
			}
			old = fresh
			good++
		}
		if good > 0 {
			failed = nil
		}
		return old, failed
	}, all[0].makeFolder)
	if err == nil {
		s.seen = watch{known: info}
	}
	_, busy := errors.AsType[unrested](err) // and what renew said of it says nothing
	for _, e := range all {
		e.info, e.err = info, err
		if e.failed != nil && !busy {
			e.err = e.failed
		}
		close(e.written)
	}
}
