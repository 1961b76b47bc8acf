// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"
)

// A demand is one permission a request needs.
type demand struct{ action, resource string }

// s3Params are the query parameters that do not choose an operation. Any other bare one names a part of S3 that the
// lab does not have.
var s3Params = map[string]bool{
	"list-type": true, "prefix": true, "delimiter": true, "max-keys": true, "marker": true, "start-after": true,
	"continuation-token": true, "encoding-type": true, "fetch-owner": true, "key-marker": true, "version-id-marker": true,
	"upload-id-marker": true, "max-uploads": true, "max-parts": true, "part-number-marker": true, "x-id": true,
	"max-buckets": true, "bucket-region": true,
	"response-content-type": true, "response-content-language": true, "response-expires": true,
	"response-cache-control": true, "response-content-disposition": true, "response-content-encoding": true,
}

// s3Operations gives method, place and subresource their operation and permission. Place is "service", "bucket" or
// "object" (Service Authorization Reference, "Actions, resources, and condition keys for Amazon S3").
var s3Operations = map[string]struct{ name, action string }{
	"GET service":             {"ListBuckets", "s3:ListAllMyBuckets"},
	"GET bucket":              {"ListObjects", "s3:ListBucket"},
	"HEAD bucket":             {"HeadBucket", "s3:ListBucket"},
	"GET bucket location":     {"GetBucketLocation", "s3:GetBucketLocation"},
	"GET bucket versioning":   {"GetBucketVersioning", "s3:GetBucketVersioning"},
	"GET bucket versions":     {"ListObjectVersions", "s3:ListBucketVersions"},
	"GET bucket uploads":      {"ListMultipartUploads", "s3:ListBucketMultipartUploads"},
	"POST bucket delete":      {"DeleteObjects", ""}, // asks per key
	"GET object":              {"GetObject", "s3:GetObject"},
	"HEAD object":             {"HeadObject", "s3:GetObject"},
	"GET object versionId":    {"GetObject", "s3:GetObjectVersion"},
	"HEAD object versionId":   {"HeadObject", "s3:GetObjectVersion"},
	"PUT object":              {"PutObject", "s3:PutObject"},
	"DELETE object":           {"DeleteObject", "s3:DeleteObject"},
	"DELETE object versionId": {"DeleteObject", "s3:DeleteObjectVersion"},
	"POST object uploads":     {"CreateMultipartUpload", "s3:PutObject"},
	"PUT object uploadId":     {"UploadPart", "s3:PutObject"},
	"POST object uploadId":    {"CompleteMultipartUpload", "s3:PutObject"},
	"DELETE object uploadId":  {"AbortMultipartUpload", "s3:AbortMultipartUpload"},
	"GET object uploadId":     {"ListParts", "s3:ListMultipartUploadParts"},
}

// demands says which operation a request is and what its caller must be allowed.
func (c *s3Call) demands() ([]demand, error) {
	place, resource := "service", "*"
	prefix := "arn:" + c.at.partition + ":s3:::"
	if c.bucket != "" {
		place, resource = "bucket", prefix+c.bucket
	}
	if c.key != "" {
		place, resource = "object", prefix+c.bucket+"/"+c.key
	}
	sub, known := subresource(c.request.URL.Query())
	op, ok := s3Operations[strings.TrimSpace(c.request.Method+" "+place+" "+sub)]
	if !ok || !known {
		return nil, refuse(501, "NotImplemented", "A header or query you provided implies functionality that is not implemented.")
	}
	c.entry.Operation = op.name
	if op.action == "" {
		return deletions(prefix+c.bucket, c.body)
	}
	list := []demand{{op.action, resource}}
	if source := c.request.Header.Get("X-Amz-Copy-Source"); source != "" {
		path, err := url.PathUnescape(source)
		if err != nil {
			return nil, refuse(400, "InvalidArgument", "Invalid copy source encoding.")
		}
		path, _, _ = strings.Cut(strings.TrimPrefix(path, "/"), "?")
		list = append(list, demand{"s3:GetObject", prefix + path})
	}
	return list, nil
}

// subresource is the one query parameter that chooses the operation.
func subresource(q url.Values) (name string, known bool) {
	for key := range q {
		switch {
		case s3Params[key], strings.HasPrefix(key, "X-Amz-"):
		case key == "partNumber" && q.Has("uploadId"):
		case name != "":
			return "", false
		default:
			name = key
		}
	}
	return name, true
}

// deletions are the permissions that a DeleteObjects body needs, one for each key.
func deletions(bucketARN string, body []byte) ([]demand, error) {
	var doc struct {
		Objects []struct {
			Key       string
			VersionID string `xml:"VersionId"`
		} `xml:"Object"`
	}
	if err := xml.Unmarshal(body, &doc); err != nil || len(doc.Objects) == 0 || len(doc.Objects) > 1000 {
		return nil, refuse(400, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
	}
	var list []demand
	for _, o := range doc.Objects {
		action := "s3:DeleteObject"
		if o.VersionID != "" {
			action = "s3:DeleteObjectVersion"
		}
		list = append(list, demand{action, bucketARN + "/" + o.Key})
	}
	return list, nil
}

// listContext is what a policy can ask about a listing.
func listContext(r *http.Request) map[string][]string {
	ctx := map[string][]string{}
	for _, name := range []string{"prefix", "delimiter", "max-keys"} {
		if q := r.URL.Query(); q.Has(name) {
			ctx["s3:"+name] = []string{q.Get(name)}
		}
	}
	return ctx
}
