// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A bucket is who owns it; what is in it is the object engine's.
type bucket struct {
	name, project string
	created       time.Time
}

// AddBucket makes an empty bucket. Names are unique in the whole cloud.
func (c *Cloud) AddBucket(project, name string) error {
	if !bucketName.MatchString(name) {
		return fmt.Errorf("bucket name %q: want 3 to 222 characters of a-z, 0-9, -, _ and dots", clip(name, 64))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.projects[project] == nil {
		return fmt.Errorf("bucket %s: there is no project %q", name, clip(project, 64))
	}
	if c.buckets[name] != nil {
		return fmt.Errorf("bucket %s exists", name)
	}
	if err := c.objects.CreateBucket(name); err != nil {
		return fmt.Errorf("bucket %s: %w", name, err)
	}
	c.buckets[name] = &bucket{name: name, project: project, created: c.clock()}
	return nil
}

// PutObject writes an object as text/plain, replacing the one of that name.
func (c *Cloud) PutObject(bucket, name string, body []byte) error {
	c.mu.Lock()
	known := c.buckets[bucket] != nil
	c.mu.Unlock()
	if !known {
		return fmt.Errorf("object %s: there is no bucket %q", clip(name, 64), clip(bucket, 64))
	}
	if !objectName(name) {
		return fmt.Errorf("object name %q: want 1 to 1,024 bytes of UTF-8 with no line break", clip(name, 64))
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	_, err := c.write(bucket, name, objectMeta{ContentType: "text/plain"}, body)
	return err
}

func (c *Cloud) bucket(name string) (bucket, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.buckets[name]; b != nil {
		return *b, true
	}
	return bucket{}, false
}

// storageHandler answers for the JSON API and, elsewhere, for reads through the XML API. For BUCKET.storage.googleapis.com
// the bucket comes from the host.
func (c *Cloud) storageHandler(hostBucket string) http.Handler {
	handlers := map[string]http.Handler{}
	for name, do := range storageOperations {
		handlers[name] = c.serve("Cloud Storage", name, func(q *call) (answer, error) { return do(q, q.storagePath()) })
	}
	unknown := c.serve("Cloud Storage", "unknown path", (*call).unknownPath)
	xml := c.serve("Cloud Storage", "XML object get", func(q *call) (answer, error) { return q.xmlGet(hostBucket) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch name := storageOperation(r); {
		case hostBucket != "" || !isStorageJSON(r.URL.Path):
			xml.ServeHTTP(w, r)
		case name == "":
			unknown.ServeHTTP(w, r)
		default:
			handlers[name].ServeHTTP(w, r)
		}
	})
}

var storageOperations = map[string]func(*call, storagePath) (answer, error){
	"buckets.list":   (*call).listBuckets,
	"buckets.get":    (*call).getBucket,
	"objects.list":   (*call).listObjects,
	"objects.get":    (*call).getObject,
	"objects.insert": (*call).insertObject,
	"objects.delete": (*call).deleteObject,
}

// A storagePath is what a path of the JSON API names.
type storagePath struct {
	upload, download bool
	bucket, object   string
	objects          bool // the path goes on to the bucket's objects
}

const storageRoot = "/storage/v1/b"

func isStorageJSON(path string) bool {
	path = strings.TrimPrefix(strings.TrimPrefix(path, "/upload"), "/download")
	return path == storageRoot || strings.HasPrefix(path, storageRoot+"/")
}

// storagePath reads the path in its escaped form: an object's name may hold slashes, and says so with %2F.
func (q *call) storagePath() storagePath { return readStoragePath(q.r.URL.EscapedPath()) }

func readStoragePath(escaped string) storagePath {
	var p storagePath
	rest := escaped
	if after, ok := strings.CutPrefix(rest, "/upload/"); ok {
		p.upload, rest = true, "/"+after
	} else if after, ok := strings.CutPrefix(rest, "/download/"); ok {
		p.download, rest = true, "/"+after
	}
	rest = strings.TrimPrefix(strings.TrimPrefix(rest, storageRoot), "/")
	name, rest, _ := strings.Cut(rest, "/")
	p.bucket = unescape(name)
	if rest == "o" || strings.HasPrefix(rest, "o/") {
		p.objects = true
		p.object = unescape(strings.TrimPrefix(rest[1:], "/"))
	} else if rest != "" {
		p.bucket = "" // a collection that is not emulated
	}
	return p
}

func unescape(s string) string {
	text, err := url.PathUnescape(s)
	if err != nil {
		return ""
	}
	return text
}

// storageOperation names the method that a request calls, or nothing.
func storageOperation(r *http.Request) string {
	p := readStoragePath(r.URL.EscapedPath())
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case p.upload && r.Method == http.MethodPost && p.objects && p.object == "":
		return "objects.insert"
	case p.upload:
		return ""
	case get && r.URL.EscapedPath() == storageRoot:
		return "buckets.list"
	case p.bucket == "":
		return ""
	case get && !p.objects && !p.download:
		return "buckets.get"
	case get && p.objects && p.object == "" && !p.download:
		return "objects.list"
	case get && p.object != "":
		return "objects.get"
	case r.Method == http.MethodDelete && p.object != "" && !p.download:
		return "objects.delete"
	}
	return ""
}
