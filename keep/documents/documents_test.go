// SPDX-License-Identifier: Apache-2.0

package documents_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gocloud.dev/docstore/memdocstore"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/keep/documents"
	"github.com/stile-project/stile/keep/shared"
	"github.com/stile-project/stile/keep/shared/storetest"
)

const (
	native   = "firestore://projects/stile/databases/(default)/documents/credentials"
	entities = "datastore://projects/stile/databases/(default)/kinds/credentials"
)

// alike are clocks that are one clock: leases need not be waited for longer than they last.
var alike = documents.Skew(0)

func TestFirestore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) shared.Backend {
		return open(t, "FIRESTORE_EMULATOR_HOST", firestore.at(t), native+"?name_field=name", alike)
	})
}

func TestDatastore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) shared.Backend {
		return open(t, "DATASTORE_EMULATOR_HOST", datastore.at(t), entities, alike)
	})
}

// Firestore in Datastore mode is the same API of another engine.
func TestFirestoreInDatastoreMode(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) shared.Backend {
		return open(t, "DATASTORE_EMULATOR_HOST", datastoreMode.at(t), entities, alike)
	})
}

func TestDynamoDB(t *testing.T) {
	t.Parallel()
	d := newDynamo(t)
	storetest.Run(t, func(t *testing.T) shared.Backend { return open(t, "AWS_REGION", "", d.url(), alike) })
}

// eachEngine runs test with every engine, and a way to put a document there that no store wrote. Its fields are those of
// a store, but of other types, and one of a type that docstore has no word for.
func eachEngine(t *testing.T, test func(t *testing.T, s *documents.Store, plant func(name string))) {
	for name, run := range map[string]func(t *testing.T){
		"Firestore": func(t *testing.T) {
			address := firestore.at(t)
			test(t, open(t, "FIRESTORE_EMULATOR_HOST", address, native), func(name string) {
				send(t, http.MethodPatch, "http://"+address+"/v1/projects/stile/databases/(default)/documents/credentials/"+url.PathEscape(name),
					`{"fields": {"value": {"stringValue": "x"}, "holder": {"integerValue": "1"}, "expires": {"stringValue": "never"},
					"other": {"referenceValue": "projects/stile/databases/(default)/documents/a/b"}}}`)
			})
		},
		"Datastore": func(t *testing.T) {
			address := datastore.at(t)
			test(t, open(t, "DATASTORE_EMULATOR_HOST", address, entities), func(name string) {
				send(t, http.MethodPost, "http://"+address+"/v1/projects/stile:commit", `{"mode": "NON_TRANSACTIONAL", "mutations": [{"upsert": {
					"key": {"partitionId": {"projectId": "stile"}, "path": [{"kind": "credentials", "name": "`+name+`"}]}, "properties": {
					"value": {"stringValue": "x"}, "holder": {"integerValue": "1"}, "expires": {"stringValue": "never"}, "other": {"arrayValue": {"values": []}}}}}]}`)
			})
		},
		"DynamoDB": func(t *testing.T) {
			d := newDynamo(t)
			test(t, open(t, "AWS_REGION", "", d.url()), func(name string) {
				d.plant(name, map[string]any{"value": map[string]any{"S": "x"}, "holder": map[string]any{"N": "1"}, "expires": map[string]any{"S": "never"},
					"other": map[string]any{"SS": []string{"a", "b"}}})
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t)
		})
	}
}

// send makes a request of an emulator's own API.
func send(t *testing.T, method, address, body string) {
	t.Helper()
	ask, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	ask.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body)
		t.Fatalf("the emulator answered %d: %s", answer.StatusCode, text)
	}
}

func TestForeignDocuments(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, s *documents.Store, plant func(name string)) {
		name := rand.Text()
		plant(name)
		if got, err := s.Get(t.Context(), name); !errors.Is(err, keep.ErrAbsent) {
			t.Errorf("Get: got %q, %v; want ErrAbsent", got, err)
		}
		if held, err := s.Extend(t.Context(), name, "1", time.Minute); err != nil || held {
			t.Errorf("Extend: got %v, %v; want false", held, err)
		}
		if err := s.Set(t.Context(), name, []byte("mended"), time.Minute); err != nil {
			t.Error("Set:", err)
		}
		if got, err := s.Get(t.Context(), name); err != nil || string(got) != "mended" {
			t.Errorf("Get: got %q, %v", got, err)
		}
	})
}

func TestForeignDocumentIsTakenOnce(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, s *documents.Store, plant func(name string)) {
		for range 5 {
			name := rand.Text()
			plant(name)
			var all sync.WaitGroup
			var taken atomic.Int64
			var last atomic.Value
			for range 20 {
				all.Go(func() {
					holder := rand.Text()
					got, err := s.Add(t.Context(), name, holder, time.Minute)
					if err != nil {
						t.Error("Add:", err)
					}
					if got {
						taken.Add(1)
						last.Store(holder)
					}
				})
			}
			all.Wait()
			if taken.Load() > 1 {
				t.Fatalf("%d of twenty took the lease", taken.Load())
			}
			if taken.Load() == 0 { // each saw another's change: the next one to try gets it
				last.Store("next")
				if got, err := s.Add(t.Context(), name, "next", time.Minute); err != nil || !got {
					t.Fatalf("Add: got %v, %v", got, err)
				}
			}
			if held, err := s.Extend(t.Context(), name, last.Load().(string), time.Minute); err != nil || !held {
				t.Errorf("Extend: got %v, %v", held, err)
			}
		}
	})
}

func TestTooLong(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, s *documents.Store, _ func(string)) {
		name := rand.Text()
		if err := s.Set(t.Context(), name, bytes.Repeat([]byte("x"), shared.MaxValue+1), time.Minute); !errors.Is(err, stile.ErrMisuse) {
			t.Errorf("Set: got %v; want ErrMisuse", err)
		}
		if _, err := s.Get(t.Context(), name); !errors.Is(err, keep.ErrAbsent) {
			t.Errorf("Get: got %v; want ErrAbsent", err)
		}
	})
}

// What is longer than a store writes is not its own, though the database holds it.
func TestLongDocumentIsForeign(t *testing.T) {
	t.Parallel()
	d := newDynamo(t)
	s := open(t, "AWS_REGION", "", d.url())
	for n, want := range map[int]error{shared.MaxValue: nil, shared.MaxValue + 1: keep.ErrAbsent} {
		d.plant("long", map[string]any{"value": map[string]any{"B": bytes.Repeat([]byte("x"), n)}, "expires": map[string]any{"N": "99999999999"}})
		if got, err := s.Get(t.Context(), "long"); !errors.Is(err, want) || want == nil && len(got) != n {
			t.Errorf("Get of %d bytes: got %d, %v; want %v", n, len(got), err, want)
		}
	}
}

// A machine whose clock is ahead by no more than the skew takes no lease early; and a lease does end.
func TestClocksApart(t *testing.T) {
	t.Parallel()
	const skew, ttl = 5 * time.Second, 10 * time.Second
	docs, err := memdocstore.OpenCollection("name", nil)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now().Truncate(time.Second).Add(300 * time.Millisecond)
	ahead := func(d time.Duration) *documents.Store {
		return documents.New(docs, "name", documents.Skew(skew), documents.Clock(func() time.Time { return began.Add(d) }))
	}
	if taken, err := ahead(0).Add(t.Context(), "lease", "holder", ttl); err != nil || !taken {
		t.Fatal(taken, err)
	}
	for _, c := range []struct {
		after       time.Duration
		taken, held bool
	}{{0, false, true}, {ttl + skew - time.Millisecond, false, true}, {ttl + skew + time.Second, true, false}} {
		s := ahead(c.after)
		if taken, err := s.Add(t.Context(), "lease", "another", ttl); err != nil || taken != c.taken {
			t.Errorf("Add after %v: got %v, %v; want %v", c.after, taken, err, c.taken)
		}
		if held, err := s.Extend(t.Context(), "lease", "holder", 0); err != nil || held != c.held {
			t.Errorf("Extend after %v: got %v, %v; want %v", c.after, held, err, c.held)
		}
		if c.held { // and back to what it was
			if held, err := ahead(0).Extend(t.Context(), "lease", "holder", ttl); err != nil || !held {
				t.Fatal(held, err)
			}
		}
	}
}

func TestTTLFields(t *testing.T) {
	t.Parallel()
	docs, err := memdocstore.OpenCollection("name", nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 999)
	s := documents.New(docs, "name", documents.Clock(func() time.Time { return now }))
	if err := s.Set(t.Context(), "n", []byte("v"), time.Minute); err != nil {
		t.Fatal(err)
	}
	d := map[string]any{"name": "n"}
	if err := docs.Get(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	at, _ := d["expires_at"].(time.Time)
	if d["expires"] != int64(1_800_000_060) || !at.Equal(time.Unix(1_800_000_060, 0)) {
		t.Errorf("got expires %v, expires_at %v", d["expires"], d["expires_at"])
	}
}

func TestDynamoDBRefuses(t *testing.T) {
	t.Parallel()
	d := newDynamo(t)
	s := open(t, "AWS_REGION", "", d.url())
	for code, want := range map[string]error{
		"AccessDeniedException": stile.ErrRefused, "UnrecognizedClientException": stile.ErrRefused, "ResourceNotFoundException": stile.ErrRefused,
		"ValidationException": stile.ErrRefused, "ThrottlingException": stile.ErrTemporary, "InternalServerError": stile.ErrTemporary,
		"ProvisionedThroughputExceededException": stile.ErrTemporary,
	} {
		d.refuse(code)
		_, get := s.Get(t.Context(), "n")
		_, add := s.Add(t.Context(), "n", "h", time.Minute)
		_, extend := s.Extend(t.Context(), "n", "h", time.Minute)
		for op, err := range map[string]error{"Get": get, "Add": add, "Extend": extend,
			"Set": s.Set(t.Context(), "n", nil, time.Minute), "Remove": s.Remove(t.Context(), "n", "h")} {
			var told *stile.Error
			if !errors.Is(err, want) || errors.Is(err, keep.ErrAbsent) || !errors.As(err, &told) || !strings.Contains(err.Error(), code) {
				t.Errorf("%s, %s: got %v; want %v", code, op, err, want)
			} else if errors.Is(want, stile.ErrRefused) && !strings.Contains(told.Hint, "PutItem") {
				t.Errorf("%s, %s: got hint %q", code, op, told.Hint)
			}
		}
	}
}

// Another takes the lease between the holder's look and its change.
func TestChangedMeanwhile(t *testing.T) {
	t.Parallel()
	for operation, change := range map[string]func(*documents.Store) (bool, error){
		"PutItem":    func(s *documents.Store) (bool, error) { return s.Extend(t.Context(), "lease", "holder", time.Minute) },
		"DeleteItem": func(s *documents.Store) (bool, error) { return false, s.Remove(t.Context(), "lease", "holder") },
	} {
		d := newDynamo(t)
		s := open(t, "AWS_REGION", "", d.url())
		if taken, err := s.Add(t.Context(), "lease", "holder", time.Minute); err != nil || !taken {
			t.Fatal(taken, err)
		}
		d.before = func(asked string, items map[string]map[string]any) {
			if asked == operation {
				items["lease"]["holder"], items["lease"]["DocstoreRevision"] = map[string]any{"S": "another"}, map[string]any{"S": "next"}
			}
		}
		if held, err := change(s); err != nil || held {
			t.Errorf("%s: got %v, %v; want false", operation, held, err)
		}
		if held, err := s.Extend(t.Context(), "lease", "another", time.Minute); operation == "DeleteItem" && (err != nil || !held) {
			t.Errorf("%s: the other's lease is gone: %v, %v", operation, held, err)
		}
	}
}

// Whoever writes firestore:// for a database in Datastore mode, or the other way round, is told.
func TestOtherMode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ variable, address, url, hint string }{
		{"FIRESTORE_EMULATOR_HOST", datastoreMode.at(t), native, "datastore://"},
		{"DATASTORE_EMULATOR_HOST", firestore.at(t), entities, "firestore://"},
	} {
		_, err := open(t, c.variable, c.address, c.url).Get(t.Context(), "n")
		var told *stile.Error
		if !errors.Is(err, stile.ErrRefused) || errors.Is(err, keep.ErrAbsent) || !errors.As(err, &told) || !strings.Contains(told.Hint, c.hint) {
			t.Errorf("%s: got %v, want ErrRefused with a hint at %s", c.url, err, c.hint)
		}
	}
}

func TestOpenMisused(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"", "hunter2", "mongo://hunter2", "firestore:hunter2", "firestore://hunter2", "firestore://projects/p/databases/d/documents/",
		"firestore://projects/p/databases/d/documents/c/hunter2", native + "?hunter2=1", "firestore://user:hunter2@projects/p/databases/d/documents/c",
		"firestore://projects/p/databases/d/documents/c%zzhunter2", "datastore://projects/p/databases/d/documents/hunter2", entities + "?hunter2=1",
		"datastore://projects/p/databases/d/kinds/k/hunter2", "dynamodb://", "dynamodb://table/hunter2?region=r", "dynamodb://table", "dynamodb://t?region=r#hunter2",
	} {
		s, err := documents.Open(t.Context(), url)
		if s != nil || !errors.Is(err, stile.ErrMisuse) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v, %v; want ErrMisuse, and nothing quoted", url, s, err)
		}
	}
	d := newDynamo(t)
	d.table = "other"
	missing := strings.Replace(d.url(), "other", "stile", 1)
	if s, err := documents.Open(t.Context(), missing); s != nil || !errors.Is(err, stile.ErrMisuse) {
		t.Errorf("a table that is not there: got %v, %v; want ErrMisuse", s, err)
	}
}

// The driver asks what a table is with no context at all.
func TestOpenGivesUp(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer silent.Close()
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := documents.Open(ctx, "dynamodb://stile?region=eu-west-1&anonymous=true&endpoint="+silent.URL)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Open: got %v; want DeadlineExceeded", err)
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	for variable, url := range map[string]string{"FIRESTORE_EMULATOR_HOST": native, "DATASTORE_EMULATOR_HOST": entities} {
		s := open(t, variable, freeAddress(t), url)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		began := time.Now()
		if _, err := s.Get(ctx, "n"); !errors.Is(err, stile.ErrTemporary) || errors.Is(err, keep.ErrAbsent) {
			t.Errorf("%s: got %v; want ErrTemporary", url, err)
		}
		if took := time.Since(began); took > patience/2 {
			t.Errorf("%s: it took %v to say that nobody listens", url, took)
		}
	}
}
