// SPDX-License-Identifier: Apache-2.0

package documents

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"

	firestore "cloud.google.com/go/firestore/apiv1"
	"gocloud.dev/docstore/gcpfirestore"
	"gocloud.dev/gcp"

	"github.com/stile-project/stile"
)

var firestorePath = regexp.MustCompile(`^projects/[^/]+/databases/[^/]+/documents/[^/]+(/[^/]+/[^/]+)*$`)

func openFirestore(ctx context.Context, u *url.URL) (*Store, error) {
	path := u.Host + u.Path
	if !firestorePath.MatchString(path) {
		return nil, misused(u.Scheme, "write firestore://projects/P/databases/(default)/documents/COLLECTION", "it names no collection")
	}
	if err := only(u, "name_field"); err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx) // tokens are asked for with this context as long as the store lives
	var tokens gcp.TokenSource
	if os.Getenv("FIRESTORE_EMULATOR_HOST") == "" {
		credentials, err := gcp.DefaultCredentials(ctx)
		if err != nil {
			return nil, noIdentity(u.Scheme, err)
		}
		tokens = credentials.TokenSource
	}
	client, _, err := gcpfirestore.Dial(ctx, tokens)
	if err != nil {
		return nil, noIdentity(u.Scheme, err)
	}
	client.CallOptions = &firestore.CallOptions{} // none: they would retry
	key := cmp.Or(u.Query().Get("name_field"), "name")
	docs, err := gcpfirestore.OpenCollection(client, path, key, nil)
	if err != nil {
		return nil, misused(u.Scheme, "", "docstore does not take the collection")
	}
	return &Store{
		place: "Firestore", table: &collection{docs, key},
		close: func() error { return errors.Join(docs.Close(), client.Close()) },
		hint:  "give this identity roles/datastore.user, and see that the database exists and is in Native mode; for Datastore mode write datastore://",
	}, nil
}

func noIdentity(scheme string, err error) error {
	return &stile.Error{Op: "open the document database of a " + scheme + " URL", Hint: "gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS",
		Err: fmt.Errorf("%w: %s", stile.ErrNoIdentity, words(err))}
}
