// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"encoding/xml"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// maxPage is the most names one page of a listing holds.
const maxPage = 1000

func (b bucket) resource(projectNumber string) map[string]any {
	return map[string]any{
		"kind":           "storage#bucket",
		"id":             b.name,
		"selfLink":       "https://www.googleapis.com" + storageRoot + "/" + b.name,
		"name":           b.name,
		"projectNumber":  projectNumber,
		"generation":     strconv.FormatInt(b.created.UnixMicro(), 10),
		"metageneration": "1",
		"location":       "EU",
		"locationType":   "multi-region",
		"storageClass":   "STANDARD",
		"etag":           "CAE=",
		"timeCreated":    milliseconds(b.created),
		"updated":        milliseconds(b.created),
		"iamConfiguration": map[string]any{
			"uniformBucketLevelAccess": map[string]any{"enabled": true},
		},
	}
}

func (q *call) listBuckets(storagePath) (answer, error) {
	query := q.r.URL.Query()
	q.mu.Lock()
	p := q.projectByRef(query.Get("project"))
	q.mu.Unlock()
	if p == nil {
		if _, failed := q.bearer(); failed != nil {
			return answer{}, q.refuse(storageUnauthorized("authError", "Invalid Credentials", `, error="invalid_token"`), "%s", failed.check)
		}
		return answer{}, q.refuse(storageError(http.StatusBadRequest, "invalid", "Unknown project id: "+clip(query.Get("project"), 64)), "there is no such project")
	}
	a := access{permission: permBucketsList, project: p.id}
	token, err := q.authorize(a)
	if err == nil {
		err = q.withinBoundary(token, a, "")
	}
	if err != nil {
		return answer{}, err
	}
	size, after, ok := page(query.Get("maxResults"), query.Get("pageToken"), maxPage)
	if !ok {
		return answer{}, q.refuse(badPage(), "maxResults or pageToken makes no sense")
	}
	result := map[string]any{"kind": "storage#buckets"}
	var items []map[string]any
	for _, b := range q.projectBuckets(p.id) {
		if b.name <= after || !strings.HasPrefix(b.name, query.Get("prefix")) {
			continue
		}
		if len(items) == size {
			result["nextPageToken"] = pageToken(items[size-1]["name"].(string))
			break
		}
		items = append(items, b.resource(p.number))
	}
	if len(items) > 0 {
		result["items"] = items
	}
	return jsonAnswer(http.StatusOK, result), nil
}

func badPage() answer {
	return storageError(http.StatusBadRequest, "invalid", "Invalid argument.")
}

func (c *Cloud) projectBuckets(project string) []bucket {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []bucket
	for _, name := range sortedKeys(c.buckets) {
		if b := c.buckets[name]; b.project == project {
			list = append(list, *b)
		}
	}
	return list
}

func (q *call) getBucket(p storagePath) (answer, error) {
	if err := q.authorizeIn(p, permBucketsGet, false); err != nil {
		return answer{}, err
	}
	b, _ := q.bucket(p.bucket)
	q.mu.Lock()
	number := q.projects[b.project].number
	q.mu.Unlock()
	return jsonAnswer(http.StatusOK, b.resource(number)), nil
}

// An objectList is a page of a listing.
type objectList struct {
	Kind     string           `json:"kind"`
	Next     string           `json:"nextPageToken,omitempty"`
	Prefixes []string         `json:"prefixes,omitempty"`
	Items    []objectResource `json:"items,omitempty"`
}

func (q *call) listObjects(p storagePath) (answer, error) {
	if err := q.authorizeIn(p, permObjectsList, false); err != nil {
		return answer{}, err
	}
	query := q.r.URL.Query()
	size, after, ok := page(query.Get("maxResults"), query.Get("pageToken"), maxPage)
	if !ok {
		return answer{}, q.refuse(badPage(), "maxResults or pageToken makes no sense")
	}
	names, err := q.objectNames(p.bucket, query.Get("prefix"))
	if err != nil {
		return answer{}, err
	}
	list := objectList{Kind: "storage#objects"}
	last := ""
	for _, entry := range grouped(names, query.Get("prefix"), query.Get("delimiter")) {
		if entry.name <= after {
			continue
		}
		if len(list.Items)+len(list.Prefixes) == size {
			list.Next = pageToken(last)
			break
		}
		last = entry.name
		if entry.prefix {
			list.Prefixes = append(list.Prefixes, entry.name)
		} else if meta, err := q.head(p.bucket, entry.name); err == nil { // else deleted since
			list.Items = append(list.Items, meta.resource(p.bucket, entry.name))
		}
	}
	return jsonAnswer(http.StatusOK, list), nil
}

// objectNames are the names that start with prefix, sorted.
func (c *Cloud) objectNames(bucket, prefix string) ([]string, error) {
	list, err := c.objects.ListBucket(bucket, nil, listEverything)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, o := range list.Contents {
		if strings.HasPrefix(o.Key, prefix) {
			names = append(names, o.Key)
		}
	}
	slices.Sort(names)
	return names, nil
}

// A listed entry is an object, or a prefix that stands for all objects below it.
type listEntry struct {
	name   string
	prefix bool
}

// grouped folds names that have the delimiter after the prefix into one entry each.
func grouped(names []string, prefix, delimiter string) []listEntry {
	var entries []listEntry
	for _, name := range names {
		entry := listEntry{name: name}
		if delimiter != "" {
			if i := strings.Index(name[len(prefix):], delimiter); i >= 0 {
				entry = listEntry{name[:len(prefix)+i+len(delimiter)], true}
			}
		}
		if n := len(entries); n == 0 || entries[n-1] != entry {
			entries = append(entries, entry)
		}
	}
	return entries
}

// getObject gives an object's metadata, or with alt=media its bytes.
func (q *call) getObject(p storagePath) (answer, error) {
	if err := q.authorizeIn(p, permObjectsGet, true); err != nil {
		return answer{}, err
	}
	meta, body, err := q.read(p.bucket, p.object)
	generation := q.r.URL.Query().Get("generation")
	if err == nil && generation != "" && generation != strconv.FormatInt(meta.Generation, 10) {
		err = errNoObject
	}
	if errors.Is(err, errNoObject) {
		return answer{}, q.refuse(noSuchObject(p), "there is no object %s, or none of that generation", clip(p.object, 80))
	}
	if err != nil {
		return answer{}, err
	}
	if err := q.checkGeneration(meta.Generation); err != nil {
		return answer{}, err
	}
	if p.download || q.r.URL.Query().Get("alt") == "media" {
		return meta.download(body), nil
	}
	return jsonAnswer(http.StatusOK, meta.resource(p.bucket, p.object)), nil
}

func noSuchObject(p storagePath) answer {
	return storageError(http.StatusNotFound, "notFound", "No such object: "+p.bucket+"/"+clip(p.object, 1024))
}

// download serves the bytes, all or a range, with the checksums that clients verify.
func (m objectMeta) download(body []byte) answer {
	h := http.Header{}
	h.Set("Content-Type", m.ContentType)
	h.Set("Etag", `"`+m.etag()+`"`)
	h.Set("Cache-Control", "private, max-age=0")
	h.Set("X-Goog-Generation", strconv.FormatInt(m.Generation, 10))
	h.Set("X-Goog-Metageneration", "1")
	h.Set("X-Goog-Storage-Class", "STANDARD")
	h.Set("X-Goog-Stored-Content-Encoding", "identity")
	h.Set("X-Goog-Stored-Content-Length", strconv.FormatInt(m.Size, 10))
	h["X-Goog-Hash"] = []string{"crc32c=" + m.crcText(), "md5=" + m.md5Text()}
	return answer{status: http.StatusOK, header: h, body: body, modified: m.Created}
}

// xmlGet answers GET /BUCKET/OBJECT, the XML API's read, which Go's storage client uses for downloads.
func (q *call) xmlGet(hostBucket string) (answer, error) {
	p := storagePath{bucket: hostBucket}
	rest := strings.TrimPrefix(q.r.URL.EscapedPath(), "/")
	if hostBucket == "" {
		name, object, _ := strings.Cut(rest, "/")
		p.bucket, rest = unescape(name), object
	}
	p.object = unescape(rest)
	if (q.r.Method != http.MethodGet && q.r.Method != http.MethodHead) || p.bucket == "" || p.object == "" {
		return answer{}, q.refuse(xmlError(http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource."), "the XML API is emulated for reading objects only")
	}
	q.r.URL.RawQuery = "alt=media"
	a, err := q.getObject(p)
	if r, ok := errors.AsType[*refusal](err); ok {
		return answer{}, &refusal{inXML(r.answer)}
	}
	return a, err
}

// xmlCodes are the XML API's codes. Source: Cloud Storage, "HTTP status and error codes for XML".
var xmlCodes = map[int]string{
	http.StatusUnauthorized:       "AuthenticationRequired",
	http.StatusForbidden:          "AccessDenied",
	http.StatusNotFound:           "NoSuchKey",
	http.StatusPreconditionFailed: "PreconditionFailed",
}

var xmlMessages = map[int]string{
	http.StatusUnauthorized:       "Authentication required.",
	http.StatusForbidden:          "Access denied.",
	http.StatusNotFound:           "The specified key does not exist.",
	http.StatusPreconditionFailed: "At least one of the pre-conditions you specified did not hold.",
}

// inXML says in XML what the JSON API would have said.
func inXML(a answer) answer {
	code, message := xmlCodes[a.status], xmlMessages[a.status]
	if a.message == "The specified bucket does not exist." {
		code, message = "NoSuchBucket", a.message
	}
	x := xmlError(a.status, code, message)
	if challenge := a.header.Get("Www-Authenticate"); challenge != "" {
		x.header.Set("Www-Authenticate", challenge)
	}
	return x
}

func xmlError(status int, code, message string) answer {
	text, _ := xml.Marshal(struct { // strings always marshal
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}{Code: code, Message: message})
	h := http.Header{"Content-Type": {"application/xml; charset=UTF-8"}}
	return answer{status: status, header: h, body: append([]byte(`<?xml version='1.0' encoding='UTF-8'?>`), text...), code: code, message: message}
}
