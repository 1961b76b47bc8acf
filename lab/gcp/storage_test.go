// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const objectURL = "https://storage.googleapis.com/storage/v1/b/demo-bucket/o/reports%2F2026.csv"

func jsonNumber(s string) json.Number { return json.Number(s) }

// storageWorld gives the AWS role a role on the bucket, and a token.
func storageWorld(t *testing.T, role string) (*world, string) {
	t.Helper()
	w := newWorld(t)
	if role != "" {
		w.must(w.Grant("buckets/demo-bucket", role, roleMember))
	}
	return w, w.federated()
}

func TestObjectMetadata(t *testing.T) {
	t.Parallel()
	w, token := storageWorld(t, "roles/storage.objectViewer")
	got := w.want(w.request(http.MethodGet, objectURL, token, ""), http.StatusOK)
	for field, want := range map[string]any{
		"kind": "storage#object", "name": "reports/2026.csv", "bucket": "demo-bucket", "size": "8", "contentType": "text/plain",
		"generation": "1795316645000000", "md5Hash": "qs9tOXeRTZqaInR5Zjnqbw==", "crc32c": got.field(t, "crc32c"),
		"mediaLink":   "https://storage.googleapis.com/download/storage/v1/b/demo-bucket/o/reports%2F2026.csv?generation=1795316645000000&alt=media",
		"timeCreated": "2026-11-22T03:04:05.000Z",
	} {
		if field == "md5Hash" {
			want = sums([]byte("a,b\n1,2\n")).md5Text()
		}
		if v := got.field(t, field); v != want {
			t.Errorf("%s is %v, want %v", field, v, want)
		}
	}
	if sum := (sums([]byte("123456789"))).crcText(); sum != "4waSgw==" { // the check value of CRC-32C, 0xE3069283
		t.Errorf("crc32c of 123456789 is %s, want 4waSgw==", sum)
	}
}

func TestObjectDownload(t *testing.T) {
	t.Parallel()
	w, token := storageWorld(t, "roles/storage.objectViewer")
	link, _ := w.want(w.request(http.MethodGet, objectURL, token, ""), http.StatusOK).field(t, "mediaLink").(string)
	for name, c := range map[string]struct {
		address, ranges string
		status          int
		body            string
	}{
		"alt=media":          {objectURL + "?alt=media", "", http.StatusOK, "a,b\n1,2\n"},
		"by mediaLink":       {link, "", http.StatusOK, "a,b\n1,2\n"},
		"XML":                {"https://storage.googleapis.com/demo-bucket/reports/2026.csv", "", http.StatusOK, "a,b\n1,2\n"},
		"bucket in host":     {"https://demo-bucket.storage.googleapis.com/reports/2026.csv", "", http.StatusOK, "a,b\n1,2\n"},
		"older host":         {"https://www.googleapis.com/storage/v1/b/demo-bucket/o/reports%2F2026.csv?alt=media", "", http.StatusOK, "a,b\n1,2\n"},
		"mutual TLS":         {"https://storage.mtls.googleapis.com/demo-bucket/reports/2026.csv", "", http.StatusOK, "a,b\n1,2\n"},
		"a range":            {objectURL + "?alt=media", "bytes=0-2", http.StatusPartialContent, "a,b"},
		"from a place on":    {objectURL + "?alt=media", "bytes=4-", http.StatusPartialContent, "1,2\n"},
		"the end":            {link, "bytes=-2", http.StatusPartialContent, "2\n"},
		"more than there is": {link, "bytes=0-8388607", http.StatusPartialContent, "a,b\n1,2\n"},
		"past the end":       {objectURL + "?alt=media", "bytes=100-", http.StatusRequestedRangeNotSatisfiable, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, c.address, nil)
			r.Header.Set("Authorization", "Bearer "+token)
			if c.ranges != "" {
				r.Header.Set("Range", c.ranges)
			}
			got := w.want(w.send(r), c.status)
			if entries := w.journal.Take(); entries[len(entries)-1].Status != c.status {
				t.Errorf("the journal has the status %d, want %d", entries[len(entries)-1].Status, c.status)
			}
			if c.body != "" && got.body != c.body {
				t.Errorf("got %q, want %q", got.body, c.body)
			}
			if c.body != "" && len(got.header["X-Goog-Hash"]) != 2 {
				t.Errorf("the checksums are missing: %v", got.header)
			}
		})
	}
}

func TestStorageRefusals(t *testing.T) {
	t.Parallel()
	const caller = "Caller does not have storage.objects.get access to the Google Cloud Storage object. Permission 'storage.objects.get' denied on resource (or it may not exist)."
	const readOnly = "https://www.googleapis.com/auth/devstorage.read_only"
	for name, c := range map[string]struct {
		role, method, address string
		scopes                []string
		token                 string // "none", "bad", "old", or the role's
		status                int
		reason, message       string
	}{
		"no token":                 {"", "GET", objectURL, nil, "none", 401, "required", "Anonymous caller does not have storage.objects.get access"},
		"a token of nobody":        {"", "GET", objectURL, nil, "bad", 401, "authError", "Invalid Credentials"},
		"an expired token":         {"roles/storage.objectViewer", "GET", objectURL, nil, "old", 401, "authError", "Invalid Credentials"},
		"no role":                  {"", "GET", objectURL, nil, "", 403, "forbidden", caller},
		"a role that writes":       {"roles/storage.objectCreator", "GET", objectURL, nil, "", 403, "forbidden", caller},
		"listing, no role":         {"roles/storage.legacyObjectReader", "GET", "https://storage.googleapis.com/storage/v1/b/demo-bucket/o", nil, "", 403, "forbidden", "Caller does not have storage.objects.list access to the Google Cloud Storage bucket."},
		"another scope":            {"roles/storage.objectViewer", "GET", objectURL, []string{"https://www.googleapis.com/auth/logging.write"}, "", 403, "forbidden", "Provided scope(s) are not authorized"},
		"deleting, reading scope":  {"roles/storage.objectAdmin", "DELETE", objectURL, []string{readOnly}, "", 403, "forbidden", "Provided scope(s) are not authorized"},
		"deleting, viewer":         {"roles/storage.objectViewer", "DELETE", objectURL, nil, "", 403, "forbidden", "Caller does not have storage.objects.delete access"},
		"no such object":           {"roles/storage.objectViewer", "GET", objectURL + "x", nil, "", 404, "notFound", "No such object: demo-bucket/reports/2026.csvx"},
		"no such bucket":           {"", "GET", strings.Replace(objectURL, "demo-bucket", "none-bucket", 1), nil, "", 404, "notFound", "The specified bucket does not exist."},
		"no such bucket, no token": {"", "GET", strings.Replace(objectURL, "demo-bucket", "none-bucket", 1), nil, "none", 401, "authError", "Invalid Credentials"},
		"another generation":       {"roles/storage.objectViewer", "GET", objectURL + "?generation=1", nil, "", 404, "notFound", "No such object"},
		"a precondition":           {"roles/storage.objectViewer", "GET", objectURL + "?ifGenerationMatch=1", nil, "", 412, "conditionNotMet", "pre-conditions"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := storageWorld(t, c.role)
			token := map[string]string{"none": "", "bad": "ya29.c.x"}[c.token]
			if c.token == "" || c.token == "old" {
				token = w.federated(c.scopes...)
			}
			if c.token == "old" {
				w.clock.Advance(time.Hour)
			}
			got := w.want(w.request(c.method, c.address, token, ""), c.status)
			if got.field(t, "error.errors.0.reason") != c.reason {
				t.Errorf("the reason is %v, want %s", got.field(t, "error.errors.0.reason"), c.reason)
			}
			if message, _ := got.field(t, "error.message").(string); !strings.Contains(message, c.message) {
				t.Errorf("got message\n%s\nwant\n%s", message, c.message)
			}
			if c.status == 401 && !strings.HasPrefix(got.header.Get("WWW-Authenticate"), `Bearer realm="https://accounts.google.com/"`) {
				t.Errorf("WWW-Authenticate is %q", got.header.Get("WWW-Authenticate"))
			}
		})
	}
}

func TestStorageForServiceAccounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := w.accountToken(w.reader, []string{scopePlatform}, w.clock.Now(), time.Hour)
	got := w.want(w.request(http.MethodGet, objectURL, token, ""), http.StatusForbidden)
	if !strings.HasPrefix(got.field(t, "error.message").(string), readerEmail+" does not have") {
		t.Errorf("the refusal does not name the account: %s", got.body)
	}
	w.must(w.Grant("projects/"+testProject, "roles/storage.objectViewer", "serviceAccount:"+readerEmail))
	w.want(w.request(http.MethodGet, objectURL, token, ""), http.StatusOK)
}

func TestStorageForEveryone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.Grant("buckets/demo-bucket", "roles/storage.objectViewer", "allUsers"))
	w.want(w.request(http.MethodGet, objectURL, "", ""), http.StatusOK)
}

func TestStorageXMLErrors(t *testing.T) {
	t.Parallel()
	w, token := storageWorld(t, "roles/storage.objectViewer")
	for name, c := range map[string]struct {
		method, address, token string
		status                 int
		code                   string
	}{
		"no token":  {"GET", "https://storage.googleapis.com/demo-bucket/reports/2026.csv", "", 401, "AuthenticationRequired"},
		"no object": {"GET", "https://storage.googleapis.com/demo-bucket/none", token, 404, "NoSuchKey"},
		"no bucket": {"GET", "https://storage.googleapis.com/none-bucket/none", token, 404, "NoSuchBucket"},
		"a write":   {"PUT", "https://storage.googleapis.com/demo-bucket/x", token, 405, "MethodNotAllowed"},
		"the root":  {"GET", "https://storage.googleapis.com/", token, 405, "MethodNotAllowed"},
	} {
		t.Run(name, func(t *testing.T) {
			got := w.want(w.request(c.method, c.address, c.token, ""), c.status)
			if !strings.Contains(got.body, "<Code>"+c.code+"</Code>") {
				t.Errorf("got %s, want the code %s", got.body, c.code)
			}
		})
	}
}

// names reads the names or prefixes out of a listing.
func names(t *testing.T, r reply, field string) (list []string) {
	t.Helper()
	items, _ := r.field(t, field).([]any)
	for _, item := range items {
		if object, ok := item.(map[string]any); ok {
			item = object["name"]
		}
		list = append(list, item.(string))
	}
	return list
}

func TestListObjects(t *testing.T) {
	t.Parallel()
	w, token := storageWorld(t, "roles/storage.objectViewer")
	for _, name := range []string{"a", "logs/1", "logs/2/x", "reports/2027.csv", "z//y"} {
		w.must(w.PutObject("demo-bucket", name, []byte(name)))
	}
	for name, c := range map[string]struct {
		query           string
		items, prefixes []string
	}{
		"everything":         {"", []string{"a", "logs/1", "logs/2/x", "reports/2026.csv", "reports/2027.csv", "z//y"}, nil},
		"the top":            {"delimiter=/", []string{"a"}, []string{"logs/", "reports/", "z/"}},
		"below a prefix":     {"prefix=logs/&delimiter=/", []string{"logs/1"}, []string{"logs/2/"}},
		"a prefix in a name": {"prefix=rep", []string{"reports/2026.csv", "reports/2027.csv"}, nil},
		"nothing":            {"prefix=none", nil, nil},
		"a longer delimiter": {"delimiter=//", []string{"a", "logs/1", "logs/2/x", "reports/2026.csv", "reports/2027.csv"}, []string{"z//"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := w.want(w.request(http.MethodGet, "https://storage.googleapis.com/storage/v1/b/demo-bucket/o?"+c.query, token, ""), http.StatusOK)
			if diff := cmp.Diff(c.items, names(t, got, "items")); diff != "" {
				t.Errorf("items (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.prefixes, names(t, got, "prefixes")); diff != "" {
				t.Errorf("prefixes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestListObjectsByPages(t *testing.T) {
	t.Parallel()
	w, token := storageWorld(t, "roles/storage.objectViewer")
	for _, name := range []string{"b/1", "b/2", "c"} {
		w.must(w.PutObject("demo-bucket", name, nil))
	}
	var pages [][]string
	next := ""
	for range 10 {
		address := "https://storage.googleapis.com/storage/v1/b/demo-bucket/o?delimiter=/&maxResults=1&pageToken=" + url.QueryEscape(next)
		got := w.want(w.request(http.MethodGet, address, token, ""), http.StatusOK)
		pages = append(pages, append(names(t, got, "prefixes"), names(t, got, "items")...))
		if next, _ = got.field(t, "nextPageToken").(string); next == "" {
			break
		}
	}
	if diff := cmp.Diff([][]string{{"b/"}, {"c"}, {"reports/"}}, pages); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	w.want(w.request(http.MethodGet, "https://storage.googleapis.com/storage/v1/b/demo-bucket/o?pageToken=!", token, ""), http.StatusBadRequest)
}

func (w *world) upload(token, query, contentType, body string) reply {
	r := httptest.NewRequest(http.MethodPost, "https://storage.googleapis.com/upload/storage/v1/b/demo-bucket/o?"+query, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", contentType)
	return w.send(r)
}

const multipartKind = `multipart/related; boundary="==b=="`

func multipartBody(metadata, content string) string {
	return "--==b==\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n" + metadata + "\r\n--==b==\r\nContent-Type: text/csv\r\n\r\n" + content + "\r\n--==b==--\r\n"
}

func TestUpload(t *testing.T) {
	t.Parallel()
	w, token := storageWorld(t, "roles/storage.objectUser")
	media := w.want(w.upload(token, "uploadType=media&name=up%2F1", "text/html", "<p>"), http.StatusOK)
	if media.field(t, "name") != "up/1" || media.field(t, "contentType") != "text/html" || media.field(t, "size") != "3" {
		t.Errorf("got %s", media.body)
	}
	multi := w.want(w.upload(token, "uploadType=multipart", multipartKind, multipartBody(`{"name":"up/2","metadata":{"team":"data"},"crc32c":"4waSgw=="}`, "123456789")), http.StatusOK)
	if multi.field(t, "contentType") != "text/csv" || multi.field(t, "metadata.team") != "data" || multi.field(t, "crc32c") != "4waSgw==" {
		t.Errorf("got %s", multi.body)
	}
	got := w.want(w.request(http.MethodGet, "https://storage.googleapis.com/storage/v1/b/demo-bucket/o/up%2F2?alt=media", token, ""), http.StatusOK)
	if got.body != "123456789" {
		t.Errorf("the object reads %q", got.body)
	}
	// What is written again is a new generation, with nothing of the old one's metadata.
	again := w.want(w.upload(token, "uploadType=media&name=up%2F2&ifGenerationMatch="+multi.field(t, "generation").(string), "text/plain", "x"), http.StatusOK)
	if again.field(t, "generation") == multi.field(t, "generation") || again.field(t, "metadata.team") != nil {
		t.Errorf("got %s", again.body)
	}
	w.want(w.request(http.MethodDelete, "https://storage.googleapis.com/storage/v1/b/demo-bucket/o/up%2F2", token, ""), http.StatusNoContent)
	w.want(w.request(http.MethodGet, "https://storage.googleapis.com/storage/v1/b/demo-bucket/o/up%2F2", token, ""), http.StatusNotFound)
}

func TestUploadRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		role, query, kind, body string
		status                  int
	}{
		"a viewer":                    {"roles/storage.objectViewer", "uploadType=media&name=x", "text/plain", "x", 403},
		"a creator replaces nothing":  {"roles/storage.objectCreator", "uploadType=media&name=reports/2026.csv", "text/plain", "x", 403},
		"a creator makes new objects": {"roles/storage.objectCreator", "uploadType=media&name=x", "text/plain", "x", 200},
		"no name":                     {"roles/storage.objectUser", "uploadType=media", "text/plain", "x", 400},
		"a name with a line break":    {"roles/storage.objectUser", "uploadType=media&name=a%0Ab", "text/plain", "x", 400},
		"an upload type of nobody":    {"roles/storage.objectUser", "uploadType=resumable&name=x", "text/plain", "x", 400},
		"it exists already":           {"roles/storage.objectUser", "uploadType=media&name=reports/2026.csv&ifGenerationMatch=0", "text/plain", "x", 412},
		"a condition not honoured":    {"roles/storage.objectUser", "uploadType=media&name=x&ifMetagenerationMatch=1", "text/plain", "x", 400},
		"no boundary":                 {"roles/storage.objectUser", "uploadType=multipart", "multipart/related", "x", 400},
		"one part":                    {"roles/storage.objectUser", "uploadType=multipart", multipartKind, "--==b==\r\n\r\n{}\r\n--==b==--", 400},
		"cut off":                     {"roles/storage.objectUser", "uploadType=multipart", multipartKind, multipartBody(`{"name":"x"}`, "x")[:100], 400},
		"metadata that is no JSON":    {"roles/storage.objectUser", "uploadType=multipart", multipartKind, multipartBody(`{"name"`, "x"), 400},
		"another MD5":                 {"roles/storage.objectUser", "uploadType=multipart", multipartKind, multipartBody(`{"name":"x","md5Hash":"AAAA"}`, "x"), 400},
		"another CRC32C":              {"roles/storage.objectUser", "uploadType=multipart", multipartKind, multipartBody(`{"name":"x","crc32c":"AAAA"}`, "x"), 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, token := storageWorld(t, c.role)
			w.want(w.upload(token, c.query, c.kind, c.body), c.status)
		})
	}
}

func TestBuckets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.AddBucket(testProject, "another-bucket"))
	const list = "https://storage.googleapis.com/storage/v1/b?project=" + testProject
	const one = "https://storage.googleapis.com/storage/v1/b/demo-bucket"
	token := w.federated()
	w.want(w.request(http.MethodGet, list, token, ""), http.StatusForbidden)
	w.want(w.request(http.MethodGet, one, token, ""), http.StatusForbidden)
	w.must(w.Grant("projects/"+testProject, "roles/storage.admin", roleMember))
	got := w.want(w.request(http.MethodGet, list, token, ""), http.StatusOK)
	if diff := cmp.Diff([]string{"another-bucket", "demo-bucket"}, names(t, got, "items")); diff != "" {
		t.Errorf("buckets (-want +got):\n%s", diff)
	}
	if got := w.want(w.request(http.MethodGet, one, token, ""), http.StatusOK); got.field(t, "projectNumber") != testNumber {
		t.Errorf("got %s", got.body)
	}
	w.want(w.request(http.MethodGet, "https://storage.googleapis.com/storage/v1/b", token, ""), http.StatusBadRequest)
}
