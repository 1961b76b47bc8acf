// SPDX-License-Identifier: Apache-2.0

package outlet

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-project/stile"
)

// What was fresh when the disk was asked may be dead when it answers.
func TestSlowDiskTakesNothingDead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	synctest.Test(t, func(t *testing.T) {
		cred := stile.Credential{Kind: stile.KindIDToken, Token: stile.NewSecret("one"), Expires: time.Now().Add(2 * time.Second)}
		files, err := NewFiles([]Kept{{File: File{Path: path}, Supplier: always(cred)}}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		files.disks.reach = func(string) { <-time.After(3 * time.Second) }
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- files.Run(ctx) }()
		pauseFor(3500 * time.Millisecond)
		if s := files.Status()[0]; s.Err == nil || !strings.Contains(s.Err.Error(), "expired before the disk took it") || !s.Disk {
			t.Errorf("%+v", s)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("it was written: %v", err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
