// SPDX-License-Identifier: Apache-2.0

package documents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"time"

	"gocloud.dev/gcp"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/remote"
)

var datastorePath = regexp.MustCompile(`^projects/([^/]+)/databases/([^/]+)/kinds/([^/]+)$`)

func openDatastore(ctx context.Context, u *url.URL) (*Store, error) {
	parts := datastorePath.FindStringSubmatch(u.Host + u.Path)
	if parts == nil {
		return nil, misused(u.Scheme, "write datastore://projects/P/databases/(default)/kinds/KIND", "it names no kind")
	}
	if err := only(u, "name_field"); err != nil {
		return nil, err
	}
	k := &kind{project: parts[1], database: parts[2], kind: parts[3]}
	if k.database == "(default)" {
		k.database = "" // as this API has it
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	k.client, k.base = &http.Client{Transport: transport}, "https://datastore.googleapis.com"
	if host := os.Getenv("DATASTORE_EMULATOR_HOST"); host != "" {
		k.base = "http://" + host
	} else {
		credentials, err := gcp.DefaultCredentials(context.WithoutCancel(ctx))
		if err != nil {
			return nil, noIdentity(u.Scheme, err)
		}
		authorized, err := gcp.NewHTTPClient(transport, credentials.TokenSource)
		if err != nil {
			return nil, noIdentity(u.Scheme, err)
		}
		k.client = &authorized.Client
	}
	return &Store{
		place: "Datastore", table: k, close: func() error { transport.CloseIdleConnections(); return nil },
		hint: "give this identity roles/datastore.user, and see that the database exists and is in Datastore mode; for Native mode write firestore://",
	}, nil
}

// A kind is a table of a database in Datastore mode. Its revisions are the versions of entities.
// Source: Cloud Datastore API v1, projects.lookup and projects.commit.
type kind struct {
	client                  *http.Client
	base                    string
	project, database, kind string
}

type (
	partition struct {
		Project  string `json:"projectId"`
		Database string `json:"databaseId,omitempty"`
	}
	element struct {
		Kind string `json:"kind"`
		Name string `json:"name"`
	}
	entityKey struct {
		Partition partition `json:"partitionId"`
		Path      []element `json:"path"`
	}
	property struct {
		Blob      *[]byte `json:"blobValue,omitempty"`
		Text      string  `json:"stringValue,omitempty"`
		Integer   string  `json:"integerValue,omitempty"` // 64 bits as JSON has them
		Time      string  `json:"timestampValue,omitempty"`
		Unindexed bool    `json:"excludeFromIndexes,omitempty"`
	}
	entity struct {
		Key        entityKey           `json:"key"`
		Properties map[string]property `json:"properties"`
	}
	// A mutation is one of its first four fields. With a base it is made of that version alone.
	mutation struct {
		Insert   *entity    `json:"insert,omitempty"`
		Update   *entity    `json:"update,omitempty"`
		Upsert   *entity    `json:"upsert,omitempty"`
		Delete   *entityKey `json:"delete,omitempty"`
		Base     any        `json:"baseVersion,omitempty"`
		Conflict string     `json:"conflictResolutionStrategy,omitempty"`
	}
)

func (k *kind) put(ctx context.Context, name string, e entry) error {
	return k.commit(ctx, mutation{Upsert: k.entity(name, e)})
}

func (k *kind) create(ctx context.Context, name string, e entry) error {
	return k.commit(ctx, mutation{Insert: k.entity(name, e)})
}

func (k *kind) replace(ctx context.Context, name string, e entry, revision any) error {
	return k.commit(ctx, mutation{Update: k.entity(name, e), Base: revision, Conflict: "FAIL"})
}

func (k *kind) remove(ctx context.Context, name string, revision any) error {
	key := k.key(name)
	return k.commit(ctx, mutation{Delete: &key, Base: revision, Conflict: "FAIL"})
}

// stamp has nothing to do: every entity has a version.
func (k *kind) stamp(context.Context, string) error { return nil }

func (k *kind) get(ctx context.Context, name string) (entry, any, error) {
	body, err := k.call(ctx, "lookup", map[string]any{"keys": []entityKey{k.key(name)}, "readOptions": map[string]any{"readConsistency": "STRONG"}})
	if err != nil {
		return entry{}, nil, err
	}
	return found(body)
}

// found reads the answer to a lookup of one key.
func found(body []byte) (entry, any, error) {
	var answer struct {
		Found []struct {
			Entity struct {
				Properties map[string]json.RawMessage `json:"properties"`
			} `json:"entity"`
			Version string `json:"version"`
		} `json:"found"`
		Missing []json.RawMessage `json:"missing"`
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Found)+len(answer.Missing) != 1 || len(answer.Found) == 1 && answer.Found[0].Version == "" {
		return entry{}, nil, errMalformed // deferred keys too: one key is not too many
	}
	if len(answer.Found) == 0 {
		return entry{}, nil, errMissing
	}
	one := answer.Found[0]
	read := func(field string) property {
		var p property
		if json.Unmarshal(one.Entity.Properties[field], &p) != nil {
			return property{} // of another type, and so not ours
		}
		return p
	}
	var e entry
	if blob := read(valueField).Blob; blob != nil {
		e.value = *blob
	}
	e.holder = read(holderField).Text
	if n, err := strconv.ParseInt(read(expiresField).Integer, 10, 64); err == nil {
		e.expires = time.Unix(n, 0)
	}
	return e, one.Version, nil
}

var errMalformed = &stile.Error{Cloud: "Datastore", Err: fmt.Errorf("%w: the answer is not one of this API", stile.ErrTemporary)}

// commit makes one mutation. A conflict is an error of the newer engine, and a word in the answer of the older.
func (k *kind) commit(ctx context.Context, m mutation) error {
	body, err := k.call(ctx, "commit", map[string]any{"mode": "NON_TRANSACTIONAL", "mutations": []mutation{m}})
	var said *stile.Error
	if errors.As(err, &said) {
		switch {
		case said.Code == "ALREADY_EXISTS", said.Code == "ABORTED", m.Base != nil && (said.Code == "FAILED_PRECONDITION" || said.Code == "NOT_FOUND"):
			return errConflict
		}
	}
	if err != nil {
		return err
	}
	var answer struct {
		Results []struct {
			Conflict bool `json:"conflictDetected"`
		} `json:"mutationResults"`
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Results) != 1 {
		return errMalformed
	}
	if answer.Results[0].Conflict {
		return errConflict
	}
	return nil
}

// call makes one request.
func (k *kind) call(ctx context.Context, method string, ask map[string]any) ([]byte, error) {
	if k.database != "" {
		ask["databaseId"] = k.database
	}
	body, err := json.Marshal(ask)
	if err != nil {
		return nil, err
	}
	q := remote.Request{
		Op: method, Cloud: "Datastore", Method: http.MethodPost, URL: k.base + "/v1/projects/" + url.PathEscape(k.project) + ":" + method, Body: body,
		Header: http.Header{"Content-Type": {"application/json"}},
	}
	if k.database != "" { // named databases are found by a header, not by the path
		q.Header.Set("X-Goog-Request-Params", "project_id="+url.QueryEscape(k.project)+"&database_id="+url.QueryEscape(k.database))
	}
	r, err := remote.Do(ctx, k.client, q)
	if err != nil {
		return nil, err
	}
	if r.OK() {
		return r.Body, nil
	}
	var said struct {
		Error struct {
			Status  string `json:"status"`
			Message string `json:"message"`
		} `json:"error"`
	}
	_ = json.Unmarshal(r.Body, &said) // an error that cannot be read is one all the same
	return nil, q.Refusal(r, said.Error.Status, said.Error.Message, "")
}

func (k *kind) key(name string) entityKey {
	return entityKey{Partition: partition{k.project, k.database}, Path: []element{{k.kind, name}}}
}

func (k *kind) entity(name string, e entry) *entity {
	properties := map[string]property{
		expiresField:   {Integer: strconv.FormatInt(e.expires.Unix(), 10), Unindexed: true},
		expiresAtField: {Time: e.expires.UTC().Format(time.RFC3339Nano)},
	}
	if e.holder != "" {
		properties[holderField] = property{Text: e.holder, Unindexed: true}
	} else {
		properties[valueField] = property{Blob: &e.value, Unindexed: true}
	}
	return &entity{Key: k.key(name), Properties: properties}
}
