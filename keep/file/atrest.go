// SPDX-License-Identifier: Apache-2.0

package file

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep/seal"
)

// A Keyring holds one secret text for the user. Package keep/file/keyring has that of the operating system.
type Keyring interface {
	// Get returns what was last set. It fails with [ErrNoKey] where nothing was, with [ErrNoKeyring] where there is no
	// keyring, and with any other error where there is one that does not do its work.
	Get() (stile.Secret, error)
	// Set replaces it.
	Set(stile.Secret) error
}

var (
	// ErrNoKey is what [Keyring].Get fails with where nothing was set.
	ErrNoKey = errors.New("no key in the keyring")
	// ErrNoKeyring is what a [Keyring] fails with where the machine has none, which is nothing to be noted.
	ErrNoKeyring = errors.New("no keyring here")
)

const (
	// defaultWait is how long a keyring may take: half of what a keeper gives each call.
	defaultWait = 500 * time.Millisecond
	keyringLock = "keyring" + lockEnd
)

// atRest finds out once whether and with what to encrypt.
type atRest struct {
	ring Keyring
	wait time.Duration
	lock string
	log  *slog.Logger

	start, end sync.Once
	done       chan struct{}
	found      seal.Sealer // once done: nil for a keyring that is not to be used
}

// sealer waits until the keyring has answered, or is given up. It returns nil where nothing is encrypted. A keyring
// that never answers holds one goroutine.
func (a *atRest) sealer(ctx context.Context) (seal.Sealer, error) {
	if a == nil {
		return nil, nil
	}
	a.start.Do(func() {
		late := time.AfterFunc(a.wait, func() { a.settle(nil, fmt.Errorf("it did not answer within %v", a.wait)) })
		ctx, cancel := context.WithTimeout(context.Background(), a.wait)
		go func() {
			defer cancel()
			found, err := a.agree(ctx)
			late.Stop()
			a.settle(found, err)
		}()
	})
	select {
	case <-a.done:
		return a.found, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("gave up waiting for the keyring: %w", context.Cause(ctx))
	}
}

func (a *atRest) settle(found seal.Sealer, err error) {
	a.end.Do(func() {
		if err != nil && !errors.Is(err, ErrNoKeyring) {
			a.log.Warn("keyring not used, credentials are kept in files that are not encrypted", slog.String("error", err.Error()))
		}
		a.found = found
		close(a.done)
	})
}

// agree reads the keyring's key, and makes one where there is none. Of the processes that use this folder one makes it,
// and the others wait for it. Two folders may each make one at the same moment; then the later stays, and what was
// encrypted with the earlier counts as absent.
func (a *atRest) agree(ctx context.Context) (seal.Sealer, error) {
	wrapper, err := a.read()
	if err == nil {
		return seal.Envelope(wrapper), nil
	}
	if !errors.Is(err, ErrNoKey) {
		return nil, err
	}
	lock, err := waitLock(ctx, a.lock)
	if err != nil {
		return nil, err
	}
	defer lock.Unlock() //nolint:errcheck // the process's end unlocks as well
	if wrapper, err = a.read(); err == nil {
		return seal.Envelope(wrapper), nil
	}
	if !errors.Is(err, ErrNoKey) {
		return nil, err
	}
	if err := a.ring.Set(seal.NewLocalKey()); err != nil {
		return nil, err
	}
	if wrapper, err = a.read(); err != nil { // what it holds now is what others will find
		return nil, err
	}
	return seal.Envelope(wrapper), nil
}

// read takes a text that is no key for none.
func (a *atRest) read() (seal.Wrapper, error) {
	text, err := a.ring.Get()
	if err != nil {
		return nil, err
	}
	wrapper, err := seal.ParseLocalKey(text)
	if err != nil {
		return nil, ErrNoKey
	}
	return wrapper, nil
}
