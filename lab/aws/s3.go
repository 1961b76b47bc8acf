// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/stile-project/stile/lab/journal"
)

// maxObject bounds one upload; the lab keeps objects in memory.
const maxObject = 64 << 20

var bucketPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// A bucket belongs to an account and lies in a region. There are no bucket policies: another account never gets in.
type bucket struct {
	account, region string
	created         time.Time
}

// AddBucket makes an empty bucket. Names are unique in the whole cloud.
func (c *Cloud) AddBucket(accountID, name, region string) error {
	switch {
	case !accountPattern.MatchString(accountID):
		return fmt.Errorf("adding bucket %.64q: account %.32q: want 12 digits", name, accountID)
	case !bucketPattern.MatchString(name):
		return fmt.Errorf("adding bucket %.64q: want 3 to 63 of a-z, 0-9, dot and hyphen", name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if partitionOf(region) != c.account(accountID).partition {
		return fmt.Errorf("adding bucket %q: %.32q is no region of partition %s", name, region, c.account(accountID).partition)
	}
	if _, taken := c.buckets[name]; taken {
		return fmt.Errorf("adding bucket %q: the name is taken", name)
	}
	if err := c.objects.CreateBucket(name); err != nil {
		return fmt.Errorf("adding bucket %q: %w", name, err)
	}
	c.buckets[name] = bucket{accountID, region, c.now()}
	return nil
}

// PutObject puts an object into a bucket, past every check.
func (c *Cloud) PutObject(bucketName, key string, body []byte) error {
	_, err := c.objects.PutObject(bucketName, key, map[string]string{}, bytes.NewReader(body), int64(len(body)), nil)
	if err != nil {
		return fmt.Errorf("putting %.256q into bucket %q: %w", key, bucketName, err)
	}
	return nil
}

func (c *Cloud) findBucket(name string) (bucket, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.buckets[name]
	return b, ok
}

// s3clock lends the cloud's clock to the object store, in the zone that HTTP dates name.
type s3clock struct{ now func() time.Time }

func (s s3clock) Now() time.Time                  { return s.now().In(time.FixedZone("GMT", 0)) }
func (s s3clock) Since(t time.Time) time.Duration { return s.now().Sub(t) }

// s3Server is S3 behind one host name: our authentication and policies in front of gofakes3.
type s3Server struct {
	cloud *Cloud
	at    endpoint
}

// An s3Call is one request on its way in.
type s3Call struct {
	*s3Server
	request     *http.Request
	body        []byte // as sent, then with the chunks taken apart
	entry       *journal.Entry
	bucket, key string
	account     string // the caller's
}

// ServeHTTP answers one request and writes one journal entry.
func (s *s3Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := &journal.Entry{Time: s.cloud.clock(), Cloud: "AWS", Service: "S3"}
	call := &s3Call{s3Server: s, request: r, entry: e}
	call.bucket, call.key = call.target()
	if err := call.admit(); err != nil {
		f := asFault(err)
		e.Status, e.Code, e.Message = f.Status, f.Code, f.Message
		writeS3Error(w, r, f)
	} else {
		e.Status = call.serve(w)
	}
	s.cloud.journal.Add(*e)
}

// target is the bucket and key a request is about, whichever way it names the bucket.
func (c *s3Call) target() (bucketName, key string) {
	path := strings.TrimPrefix(c.request.URL.Path, "/")
	if c.at.bucket != "" {
		return c.at.bucket, path
	}
	bucketName, key, _ = strings.Cut(path, "/")
	return bucketName, key
}

// inner is the request as the object store gets it: path style, body in the clear, and none of the headers that have
// done their work. The store would keep those as the object's metadata and hand them to the next reader.
func (c *s3Call) inner() *http.Request {
	r := c.request.Clone(c.request.Context())
	r.URL.Path, r.URL.RawPath = "/"+c.bucket, ""
	if c.key != "" {
		r.URL.Path += "/" + c.key
	}
	for name := range r.Header {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-amz-checksum-") || strings.HasPrefix(lower, "x-amz-sdk-") {
			r.Header.Del(name)
		}
	}
	for _, name := range []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256", "X-Amz-Trailer", "X-Amz-Decoded-Content-Length"} {
		r.Header.Del(name)
	}
	dropChunkedEncoding(r.Header)
	r.Body = http.NoBody
	if len(c.body) > 0 || r.Method == http.MethodPut || r.Method == http.MethodPost {
		r.Body = readCloser{bytes.NewReader(c.body)}
		r.Header.Set("Content-Length", strconv.Itoa(len(c.body)))
	}
	r.ContentLength = int64(len(c.body))
	return r
}

// dropChunkedEncoding leaves the encodings that are the object's own.
func dropChunkedEncoding(h http.Header) {
	var kept []string
	for part := range strings.SplitSeq(h.Get("Content-Encoding"), ",") {
		if part = strings.TrimSpace(part); part != "" && part != "aws-chunked" {
			kept = append(kept, part)
		}
	}
	h.Del("Content-Encoding")
	if len(kept) > 0 {
		h.Set("Content-Encoding", strings.Join(kept, ", "))
	}
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

// statusWriter remembers the status for the journal.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
