// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/stile-project/stile"
)

// A pair is a certificate and its key, read again when either file has changed.
type pair struct {
	files TLS
	log   *slog.Logger
	name  string

	mu    sync.Mutex
	good  *tls.Certificate
	stamp [2]stamp // of the files when they were last read
}

// A stamp tells one version of a file from the next.
type stamp struct {
	changed time.Time
	size    int64
	info    os.FileInfo // for the file's own number: one that was renamed into place may have its size and its second
}

func (s stamp) is(other stamp) bool {
	if s.info == nil || other.info == nil {
		return s.info == nil && other.info == nil
	}
	return s.changed.Equal(other.changed) && s.size == other.size && os.SameFile(s.info, other.info)
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size(), info}
}

// load reads both files. What they hold is never quoted.
func (p *pair) load() error {
	// The stamps come first: what is replaced while it is read is read again.
	p.stamp = [2]stamp{stampOf(p.files.CertFile), stampOf(p.files.KeyFile)}
	read, err := tls.LoadX509KeyPair(p.files.CertFile, p.files.KeyFile)
	if err != nil {
		return &stile.Error{Op: "read the certificate of listener " + p.name, Hint: "check " + p.files.CertFile + " and " + p.files.KeyFile + ": both PEM, and the key the certificate's own",
			Err: fmt.Errorf("%w: %w", stile.ErrMisuse, err)}
	}
	p.good = &read
	return nil
}

// certificate is asked at each handshake, next to which looking at two files costs nothing.
func (p *pair) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stamp[0].is(stampOf(p.files.CertFile)) && p.stamp[1].is(stampOf(p.files.KeyFile)) {
		return p.good, nil
	}
	if err := p.load(); err != nil {
		p.log.Error("the new certificate is no good, and the one before stays in use", slog.String("listener", p.name), slog.String("error", err.Error()))
	} else {
		p.log.Info("a new certificate is in use", slog.String("listener", p.name), slog.Time("until", p.good.Leaf.NotAfter))
	}
	return p.good, nil
}
