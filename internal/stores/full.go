// SPDX-License-Identifier: Apache-2.0

//go:build full

package stores

import (
	"context"

	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/keep/documents"
	"github.com/stile-project/stile/keep/kms"
	"github.com/stile-project/stile/keep/seal"
	"github.com/stile-project/stile/keep/shared"
)

const build = "full"

var (
	moreStores = []string{"firestore", "datastore", "dynamodb"}
	moreKeys   = []string{"awskms", "gcpkms", "hashivault"}
)

func openDatabase(ctx context.Context, d config.Store) (shared.Backend, func() error, error) {
	store, err := documents.Open(ctx, d.URL)
	if err != nil {
		return nil, nil, err
	}
	return store, store.Close, nil
}

func openService(ctx context.Context, name string) (seal.Wrapper, func() error, error) {
	key, err := kms.Open(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	return key, key.Close, nil
}
