// SPDX-License-Identifier: Apache-2.0

package outlet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-project/stile"
)

func profileOf(i int) (name string, c stile.Credential) {
	c = sessionOf(fmt.Sprint("ASIA", i))
	c.Expires = time.Now().Add(time.Hour)
	return fmt.Sprint("p", i), c
}

// However many profiles wait for one file, it is written once for all; what is wrong with one is that one's.
func TestWhoWritesWritesForAll(t *testing.T) {
	t.Parallel()
	const many = 50
	path := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(path, []byte("[p7]\naws_access_key_id = AKIAMINE\n"), OwnerOnly); err != nil {
		t.Fatal(err)
	}
	if err := mark(path); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSheet()
		s.turn <- struct{}{}
		infos, failed := make([]os.FileInfo, many), make([]error, many)
		var writers sync.WaitGroup
		for i := range many {
			writers.Go(func() {
				f := File{Path: path, Form: FormProfile}
				var c stile.Credential
				f.Profile, c = profileOf(i)
				odd := i == 8 // not as the others want it: by itself
				infos[i], _, failed[i] = s.write(f)(t.Context(), c, stile.Credential{}, odd)
			})
		}
		synctest.Wait()
		<-s.turn
		writers.Wait()
		for i := range many {
			switch {
			case i == 7:
				if !errors.Is(failed[i], stile.ErrMisuse) || !strings.Contains(failed[i].Error(), "not stile's") || !strings.Contains(failed[i].Error(), "profile p7") {
					t.Errorf("somebody's profile: %v", failed[i])
				}
			case failed[i] != nil:
				t.Errorf("%d: %v", i, failed[i])
			case i != 8 && !os.SameFile(infos[i], infos[0]):
				t.Errorf("%d was written by itself", i)
			}
		}
		got, err := os.ReadFile(path)
		if n := strings.Count(string(got), "aws_access_key_id = ASIA"); err != nil || n != many-1 || !strings.HasPrefix(string(got), "[p7]\naws_access_key_id = AKIAMINE\n") {
			t.Errorf("%d profiles, %v", n, err)
		}
	})
}

// Profiles of one file wait for no rest after each other's writes.
func TestManyProfiles(t *testing.T) {
	t.Parallel()
	const many = 250
	path := filepath.Join(t.TempDir(), "credentials")
	synctest.Test(t, func(t *testing.T) {
		var kept []Kept
		for i := range many {
			name, c := profileOf(i)
			kept = append(kept, Kept{File: File{Path: path, Form: FormProfile, Profile: name}, Supplier: always(c)})
		}
		var mu sync.Mutex
		var troubles []string
		files, err := NewFiles(kept, Options{Report: func(s Status) {
			mu.Lock()
			defer mu.Unlock()
			if s.Err != nil {
				troubles = append(troubles, s.Err.Error())
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		began := time.Now()
		go func() { ended <- files.Run(ctx) }()
		<-files.Written()
		if took := time.Since(began); took > many*spread {
			t.Errorf("took %s", took)
		}
		cancel()
		if err := <-ended; err != nil || len(troubles) > 0 {
			t.Errorf("%v, %q", err, troubles)
		}
	})
}
