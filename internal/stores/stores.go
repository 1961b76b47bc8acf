// SPDX-License-Identifier: Apache-2.0

// Package stores makes the store that a stile.yaml describes. It is the one place that knows every engine and every key
// service, and the build decides which of them a program links: the lean one has what is small, and with the tag "full"
// comes what links the clouds' SDKs:
//
//	store, closeStore, err := stores.Open(ctx, file.Store, around)
package stores

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/keep/file"
	"github.com/stile-project/stile/keep/memcache"
	"github.com/stile-project/stile/keep/redis"
	"github.com/stile-project/stile/keep/seal"
	"github.com/stile-project/stile/keep/shared"
)

// Surroundings are what a store takes from the process, beside its description.
type Surroundings struct {
	// Lookup reads the environment. Required.
	Lookup func(string) (string, bool)
	// Keyring seals files. Nil: they are only readable by their owner.
	Keyring file.Keyring
	// Log hears what is passed over. Required.
	Log *slog.Logger
}

// Open makes the store that d describes, and what closes it. The store is nil where d says that there is none. It fails
// with [stile.ErrMisuse] for what cannot work as it is described, or is not in this build. Files are looked at; a
// network is asked by DynamoDB alone, and bounded by ctx.
func Open(ctx context.Context, d config.Store, around Surroundings) (keep.Store, func() error, error) {
	switch {
	case d.URL == config.StoreNone:
		return nil, func() error { return nil }, nil
	case !d.IsShared():
		store, err := OpenFiles(around)
		if err != nil {
			return nil, nil, err
		}
		return store, func() error { return nil }, nil
	}
	store, closers, err := share(ctx, d)
	if err != nil {
		_ = closers.close() // what failed is said already
		return nil, nil, at(d.Place, err)
	}
	return store, closers.close, nil
}

// OpenFiles takes the user's own folder into use.
func OpenFiles(around Surroundings) (*file.Store, error) {
	dir, err := file.DefaultDir(around.Lookup)
	if err != nil {
		return nil, err
	}
	options := []file.Option{file.WithLogger(around.Log)}
	if around.Keyring != nil {
		options = append(options, file.WithKeyring(around.Keyring, 0))
	}
	return file.Open(dir, options...)
}

// closers close in the order that is the reverse of opening.
type closers []func() error

func (c closers) close() error {
	var errs []error
	for i := len(c) - 1; i >= 0; i-- {
		errs = append(errs, c[i]())
	}
	return errors.Join(errs...)
}

func share(ctx context.Context, d config.Store) (_ keep.Store, open closers, err error) {
	var wrappers []seal.Wrapper
	for _, name := range append([]string{d.Key}, d.OldKeys...) {
		wrapper, closeKey, err := openKey(ctx, name)
		if err != nil {
			return nil, open, err
		}
		wrappers, open = append(wrappers, wrapper), append(open, closeKey)
	}
	backend, closeBackend, err := openBackend(ctx, d)
	if err != nil {
		return nil, open, err
	}
	var options []shared.Option
	if d.Namespace != "" {
		options = append(options, shared.Namespace(d.Namespace))
	}
	if d.Share == config.ShareRole {
		options = append(options, shared.SameRole())
	}
	return shared.New(backend, seal.Envelope(wrappers[0], wrappers[1:]...), options...), append(open, closeBackend), nil
}

func openBackend(ctx context.Context, d config.Store) (shared.Backend, func() error, error) {
	switch d.Engine() {
	case "Redis":
		return openRedis(d)
	case "Memcached":
		return openMemcached(d)
	case "":
		return nil, nil, &stile.Error{Op: "open the store", Err: fmt.Errorf("%w: its URL is of no kind that is known", stile.ErrMisuse)}
	}
	return openDatabase(ctx, d)
}

func openRedis(d config.Store) (shared.Backend, func() error, error) {
	options, err := redis.Parse(d.URL)
	if err != nil {
		return nil, nil, err
	}
	options.PasswordFile = d.PasswordFile
	if options.TLS != nil {
		options.TLS.CAFile = d.CAFile
	}
	redis.Quiet()
	client, err := redis.Open(options)
	if err != nil {
		return nil, nil, err
	}
	return client, client.Close, nil
}

func openMemcached(d config.Store) (shared.Backend, func() error, error) {
	options, err := memcache.Parse(d.URL)
	if err != nil {
		return nil, nil, err
	}
	if options.TLS != nil {
		options.TLS.CAFile = d.CAFile
	}
	client, err := memcache.Open(options)
	if err != nil {
		return nil, nil, err
	}
	return client, client.Close, nil
}

// openKey finds what wraps the keys of kept credentials: a file's key, or that of a key service.
func openKey(ctx context.Context, name string) (seal.Wrapper, func() error, error) {
	path, isFile := strings.CutPrefix(name, "file://")
	if isFile || !strings.Contains(name, "://") {
		wrapper, err := seal.ReadLocalKey(path)
		return wrapper, func() error { return nil }, err
	}
	return openService(ctx, name)
}

// at says where the store is described.
func at(place string, err error) error {
	if place == "" {
		return err
	}
	placed := fmt.Errorf("%s: %w", place, err)
	var told *stile.Error
	if errors.As(err, &told) {
		return &stile.Error{Op: "open the store", Hint: told.Hint, Err: placed}
	}
	return &stile.Error{Op: "open the store", Err: placed}
}

// Links are what a build has.
type Links struct {
	Build  string   `json:"build"` // "lean" or "full"
	Stores []string `json:"stores"`
	Keys   []string `json:"keys"` // what seals
}

// Linked tells what this build has.
func Linked() Links {
	return Links{Build: build, Stores: append([]string{"file", "redis", "memcached"}, moreStores...), Keys: append([]string{"keyring", "file"}, moreKeys...)}
}
