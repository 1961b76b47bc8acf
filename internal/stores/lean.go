// SPDX-License-Identifier: Apache-2.0

//go:build !full

package stores

import (
	"context"
	"fmt"
	"strings"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/keep/seal"
	"github.com/stile-project/stile/keep/shared"
)

const build = "lean"

var moreStores, moreKeys []string

func openDatabase(_ context.Context, d config.Store) (shared.Backend, func() error, error) {
	return nil, nil, notLinked(d.Engine())
}

func openService(_ context.Context, name string) (seal.Wrapper, func() error, error) {
	scheme, _, _ := strings.Cut(name, "://")
	what, known := map[string]string{"awskms": "AWS KMS", "gcpkms": "Cloud KMS", "hashivault": "Vault"}[scheme]
	if !known {
		return nil, nil, &stile.Error{Op: "open the key", Err: fmt.Errorf("%w: its URL is of no kind that is known", stile.ErrMisuse)}
	}
	return nil, nil, notLinked(what)
}

func notLinked(what string) error {
	return &stile.Error{Op: "find " + what, Err: fmt.Errorf("%w: %s is not in this build; the full build has it: go build -tags full ./cmd/stile", stile.ErrMisuse, what)}
}
