// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"encoding/xml"
	"maps"
	"net/http"
	"slices"
	"time"
)

// The answers that the object store cannot give, because it knows neither accounts nor regions.

const s3Namespace = "http://s3.amazonaws.com/doc/2006-03-01/"

type listBucketsResult struct {
	XMLName xml.Name    `xml:"ListAllMyBucketsResult"`
	Space   string      `xml:"xmlns,attr"`
	Owner   s3Owner     `xml:"Owner"`
	Buckets []s3Listing `xml:"Buckets>Bucket"`
}

type s3Owner struct{ ID string }

type s3Listing struct{ Name, CreationDate, BucketRegion string }

type bucketLocation struct {
	XMLName xml.Name `xml:"LocationConstraint"`
	Space   string   `xml:"xmlns,attr"`
	Region  string   `xml:",chardata"`
}

// own answers a request that is about buckets rather than objects; nil leaves it to the object store.
func (c *s3Call) own() any {
	switch c.entry.Operation {
	case "ListBuckets":
		return c.cloud.listBuckets(c.account)
	case "GetBucketLocation":
		b, _ := c.cloud.findBucket(c.bucket)
		if b.region == "us-east-1" {
			b.region = "" // S3's oldest region has no name of its own here
		}
		return bucketLocation{Space: s3Namespace, Region: b.region}
	}
	return nil
}

// listBuckets are those of one account, by name.
func (c *Cloud) listBuckets(accountID string) listBucketsResult {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := listBucketsResult{Space: s3Namespace, Owner: s3Owner{accountID}}
	for _, name := range slices.Sorted(maps.Keys(c.buckets)) {
		if b := c.buckets[name]; b.account == accountID {
			out.Buckets = append(out.Buckets, s3Listing{name, b.created.Format(time.RFC3339), b.region})
		}
	}
	return out
}

// serve answers a request that was let in, and tells a client the bucket's region, which some ask for by HEAD.
func (c *s3Call) serve(w http.ResponseWriter) (status int) {
	if b, ok := c.cloud.findBucket(c.bucket); ok {
		w.Header().Set("X-Amz-Bucket-Region", b.region)
	}
	if answer := c.own(); answer != nil {
		writeS3(w, http.StatusOK, answer)
		return http.StatusOK
	}
	recorder := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	c.cloud.storage.ServeHTTP(recorder, c.inner())
	return recorder.status
}
