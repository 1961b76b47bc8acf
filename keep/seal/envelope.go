// SPDX-License-Identifier: Apache-2.0

package seal

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
)

const (
	// maxSeals and maxAge bound one data key. The nonces of AES-256-GCM are random, and NIST SP 800-38D, section 8.3,
	// allows 2^32 of them under one key.
	maxSeals = 1 << 20
	maxAge   = 24 * time.Hour

	// maxOpened bounds the data keys of others that are held unwrapped: as many as write to one store within a day.
	maxOpened = 64

	// wrapTimeout bounds a call to a wrapper that every caller has given up on.
	wrapTimeout = 10 * time.Second
)

// Envelope seals with AES-256-GCM under a data key that current has wrapped, and opens what current or any of the older
// wrappers wrapped: to rotate, make the new wrapper current, and drop the old one once what it sealed has expired.
//
// A process makes a data key at its first Seal, has it wrapped, and uses it for a day or 2^20 seals. The keys of others
// are unwrapped once and held, up to 64 of them, so a key service is asked once for each process that seals. What is
// sealed opens under its own cache key alone.
func Envelope(current Wrapper, older ...Wrapper) Sealer {
	e := &envelope{now: time.Now}
	for _, w := range slices.Insert(older[:len(older):len(older)], 0, current) {
		e.wrappers = append(e.wrappers, labelled{w, labelOf(w)})
	}
	return e
}

type envelope struct {
	wrappers []labelled // the first one seals
	now      func() time.Time
	flight   singleflight.Group

	mu      sync.Mutex
	sealing *dataKey
	opened  []dataKey // what was used last stands last
}

type labelled struct {
	Wrapper
	label label
}

// A dataKey is a key that seals credentials, and how it is written in front of them.
type dataKey struct {
	aead  cipher.AEAD
	head  header
	id    [sha256.Size]byte
	made  time.Time
	seals int
}

// Seal asks the wrapper only where there is no data key, or where that is worn out.
func (e *envelope) Seal(ctx context.Context, key stile.Key, r keep.Record) ([]byte, error) {
	text, err := Marshal(key, r)
	if err != nil {
		return nil, err
	}
	data, err := e.sealingKey(ctx)
	if err != nil {
		return nil, &stile.Error{Op: "seal the credential", Err: err}
	}
	sealed := seal(data, key.String(), text)
	if len(sealed) > MaxSize {
		return nil, tooLong(len(sealed))
	}
	return sealed, nil
}

// Open asks a wrapper only for a data key that it does not hold, and only where the bytes are whole and for this key.
func (e *envelope) Open(ctx context.Context, key stile.Key, sealed []byte) (keep.Record, error) {
	return e.openNamed(ctx, key.String(), sealed)
}

func (e *envelope) openNamed(ctx context.Context, name string, sealed []byte) (keep.Record, error) {
	head, rest, err := split(name, sealed)
	if err != nil {
		return keep.Record{}, absent(err)
	}
	data, err := e.openingKey(ctx, head)
	if err != nil {
		return keep.Record{}, &stile.Error{Op: "open the kept credential", Err: err}
	}
	text, err := open(data, head, name, rest)
	if err != nil {
		return keep.Record{}, absent(err)
	}
	return unmarshal(name, text)
}

// sealingKey is the process's own data key. However many wait for a new one, it is wrapped once.
func (e *envelope) sealingKey(ctx context.Context) (dataKey, error) {
	for {
		if data, ok := e.takeSealing(); ok {
			return data, nil
		}
		_, err := e.once(ctx, "seal", func(ctx context.Context) (dataKey, error) {
			if data, ok := e.peekSealing(); ok {
				return data, nil
			}
			return e.newKey(ctx)
		})
		if err != nil {
			return dataKey{}, err
		}
	}
}

func (e *envelope) takeSealing() (dataKey, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.usable() {
		return dataKey{}, false
	}
	e.sealing.seals++
	return *e.sealing, true
}

func (e *envelope) peekSealing() (dataKey, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.usable() {
		return dataKey{}, false
	}
	return *e.sealing, true
}

func (e *envelope) usable() bool {
	return e.sealing != nil && e.sealing.seals < maxSeals && e.now().Sub(e.sealing.made) < maxAge
}

func (e *envelope) newKey(ctx context.Context) (dataKey, error) {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // it never fails
	aead, err := newAEAD(key)
	if err != nil {
		return dataKey{}, err
	}
	current := e.wrappers[0]
	if current.Wrapper == nil {
		return dataKey{}, fmt.Errorf("%w: seal.Envelope has no wrapper", stile.ErrMisuse)
	}
	wrapped, err := current.Encrypt(ctx, key)
	clear(key)
	if err != nil {
		return dataKey{}, fmt.Errorf("wrapping a data key: %w", err)
	}
	if len(wrapped) == 0 || len(wrapped) > maxWrapped {
		return dataKey{}, fmt.Errorf("wrapping a data key: %d bytes came back, want 1 to %d", len(wrapped), maxWrapped)
	}
	head := header{label: current.label, wrapped: slices.Clone(wrapped)}
	data := dataKey{aead: aead, head: head, id: head.id(), made: e.now()}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sealing = &data
	e.hold(data)
	return data, nil
}

// openingKey is the data key that head speaks of. However many wait for it, it is unwrapped once.
func (e *envelope) openingKey(ctx context.Context, head header) (dataKey, error) {
	id := head.id()
	if data, ok := e.held(id); ok {
		return data, nil
	}
	return e.once(ctx, string(id[:]), func(ctx context.Context) (dataKey, error) {
		if data, ok := e.held(id); ok {
			return data, nil
		}
		key, err := e.unwrap(ctx, head)
		if err != nil {
			return dataKey{}, err
		}
		aead, err := newAEAD(key)
		clear(key)
		if err != nil {
			return dataKey{}, err
		}
		data := dataKey{aead: aead, id: id}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.hold(data)
		return data, nil
	})
}

// unwrap asks the wrappers that bear head's label, in order. Only if each of them knows that the key is not its own is
// there nothing to be had.
func (e *envelope) unwrap(ctx context.Context, head header) ([]byte, error) {
	var failed []error
	for _, w := range e.wrappers {
		if w.label != head.label || w.Wrapper == nil {
			continue
		}
		key, err := w.Decrypt(ctx, slices.Clone(head.wrapped))
		if err == nil && len(key) == keySize {
			return key, nil
		}
		if err != nil && !errors.Is(err, keep.ErrAbsent) {
			failed = append(failed, err)
		}
	}
	if len(failed) > 0 {
		return nil, fmt.Errorf("unwrapping its data key: %w", errors.Join(failed...))
	}
	return nil, fmt.Errorf("%w: none of the keys here is the one that it was sealed with", keep.ErrAbsent)
}

// held looks for a data key that is unwrapped already.
func (e *envelope) held(id [sha256.Size]byte) (dataKey, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := slices.IndexFunc(e.opened, func(d dataKey) bool { return d.id == id })
	if i < 0 {
		return dataKey{}, false
	}
	data := e.opened[i]
	e.opened = append(slices.Delete(e.opened, i, i+1), data)
	return data, true
}

// hold keeps a data key unwrapped. The one that was not used for longest makes room.
func (e *envelope) hold(data dataKey) {
	if len(e.opened) == maxOpened {
		e.opened = slices.Delete(e.opened, 0, 1)
	}
	e.opened = append(e.opened, data)
}

// once runs f once for all who wait under name. One caller giving up fails alone.
func (e *envelope) once(ctx context.Context, name string, f func(context.Context) (dataKey, error)) (dataKey, error) {
	done := e.flight.DoChan(name, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wrapTimeout)
		defer cancel()
		return f(ctx)
	})
	select {
	case <-ctx.Done():
		return dataKey{}, fmt.Errorf("gave up waiting for the key that wraps data keys: %w", context.Cause(ctx))
	case result := <-done:
		if result.Err != nil {
			return dataKey{}, result.Err
		}
		return result.Val.(dataKey), nil
	}
}
