// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stile-project/stile/lab/journal"
)

const (
	ttlHeader   = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	tokenHeader = "X-Aws-Ec2-Metadata-Token"
	maxTokenTTL = 21600 // six hours
	keptTokens  = 1024
)

// metadataVersions are "latest" and the dated ones, which the lab answers alike.
var metadataVersions = regexp.MustCompile(`^/(?:latest|20[0-9]{2}-[0-9]{2}-[0-9]{2})/`)

// metadataServer is IMDS.
type metadataServer struct {
	cloud    *Cloud
	instance Instance
	launched time.Time
	role     *delivery

	mu     sync.Mutex
	tokens map[string]time.Time // when each ends
}

// A metadataAnswer is what goes back, or nothing at all.
type metadataAnswer struct {
	status int
	header map[string]string
	body   string
	lost   bool
}

func metadataText(body string) metadataAnswer {
	return metadataAnswer{status: http.StatusOK, header: map[string]string{"Content-Type": "text/plain"}, body: body}
}

// metadataError is IMDS's page for a status.
func metadataError(status int) metadataAnswer {
	text := fmt.Sprintf("%d - %s", status, http.StatusText(status))
	return metadataAnswer{status: status, header: map[string]string{"Content-Type": "text/html"}, body: `<?xml version="1.0" encoding="iso-8859-1"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
	"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head>
  <title>` + text + `</title>
 </head>
 <body>
  <h1>` + text + `</h1>
 </body>
</html>
`}
}

func (s *metadataServer) answer(r *http.Request, e *journal.Entry) metadataAnswer {
	switch {
	case s.instance.Disabled:
		e.Fail("the metadata service is enabled on this instance")
		return metadataError(http.StatusForbidden)
	case metadataVersions.MatchString(r.URL.Path) && strings.HasSuffix(r.URL.Path, "/api/token"):
		return s.newToken(r, e)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		e.Fail("metadata is read with GET")
		return metadataError(http.StatusMethodNotAllowed)
	}
	if !s.admits(r, e) {
		return metadataError(http.StatusUnauthorized)
	}
	version := metadataVersions.FindString(r.URL.Path)
	if version == "" {
		return metadataError(http.StatusNotFound)
	}
	return s.item(strings.TrimPrefix(r.URL.Path, version), e)
}

// newToken answers PUT /latest/api/token.
func (s *metadataServer) newToken(r *http.Request, e *journal.Entry) metadataAnswer {
	if r.Method != http.MethodPut {
		e.Fail("a session token is asked for with PUT")
		return metadataError(http.StatusMethodNotAllowed)
	}
	if r.Header.Get("X-Forwarded-For") != "" {
		e.Fail("the request comes from the instance itself: X-Forwarded-For says that a proxy passed it on")
		return metadataError(http.StatusForbidden)
	}
	ttl, err := strconv.Atoi(r.Header.Get(ttlHeader))
	if err != nil || ttl < 1 || ttl > maxTokenTTL {
		e.Fail("%s is a number of seconds from 1 to %d", ttlHeader, maxTokenTTL)
		return metadataError(http.StatusBadRequest)
	}
	if s.instance.Hops > s.instance.HopLimit {
		e.Fail("the answer may travel %d hops: the workload is %d away, and it is dropped on the way", s.instance.HopLimit, s.instance.Hops)
		return metadataAnswer{lost: true}
	}
	a := metadataText(s.keepToken(time.Duration(ttl) * time.Second))
	a.header[ttlHeader] = strconv.Itoa(ttl)
	e.OK("a session token is given out for %d seconds", ttl)
	return a
}

func (s *metadataServer) keepToken(life time.Duration) string {
	var b [40]byte
	_, _ = rand.Read(b[:]) // never fails
	token := base64.StdEncoding.EncodeToString(b[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cloud.now()
	for old, end := range s.tokens {
		if !now.Before(end) || len(s.tokens) >= keptTokens {
			delete(s.tokens, old)
		}
	}
	s.tokens[token] = now.Add(life)
	return token
}

// admits wants a living session token, or none where version 1 is allowed. A dead one never passes.
func (s *metadataServer) admits(r *http.Request, e *journal.Entry) bool {
	token := r.Header.Get(tokenHeader)
	if token == "" {
		if s.instance.AllowV1 {
			e.OK("no session token, which this instance allows (IMDSv1)")
			return true
		}
		e.Fail("the request carries a session token: this instance wants one (IMDSv2)")
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if end, ok := s.tokens[token]; !ok || !s.cloud.now().Before(end) {
		e.Fail("the session token is one that was given out and still lives")
		return false
	}
	e.OK("the session token is good")
	return true
}

// item is one leaf or folder of the tree. A folder reads the same with and without its final slash.
func (s *metadataServer) item(path string, e *journal.Entry) metadataAnswer {
	i := s.instance
	switch strings.TrimSuffix(path, "/") {
	case "meta-data/instance-id":
		return metadataText(i.ID)
	case "meta-data/placement":
		return metadataText("availability-zone\nregion")
	case "meta-data/placement/availability-zone":
		return metadataText(i.Zone)
	case "meta-data/placement/region":
		return metadataText(i.Region)
	case "meta-data/services/partition":
		return metadataText(partitionOf(i.Region))
	case "dynamic/instance-identity/document":
		return s.identityDocument()
	}
	if i.RoleARN == "" {
		e.Fail("the instance has a profile with a role, or something else at this path")
		return metadataError(http.StatusNotFound)
	}
	return s.roleItem(strings.TrimSuffix(path, "/"), e)
}

// roleItem is what an instance has only with a role.
func (s *metadataServer) roleItem(path string, e *journal.Entry) metadataAnswer {
	arn, _, name, err := parseRoleARN(s.instance.RoleARN)
	switch {
	case err != nil:
	case path == "meta-data/iam":
		return metadataText("info\nsecurity-credentials/")
	case path == "meta-data/iam/security-credentials":
		return metadataText(name)
	case path == "meta-data/iam/security-credentials/"+name:
		return s.credentials(e)
	case path == "meta-data/iam/info":
		return metadataJSON(map[string]any{
			"Code": "Success", "LastUpdated": s.launched.Format(time.RFC3339),
			"InstanceProfileArn": "arn:" + arn.partition + ":iam::" + arn.account + ":instance-profile/" + name,
		})
	}
	e.Fail("there is something at this path")
	return metadataError(http.StatusNotFound)
}

// credentials answers 200 whether or not there are any; the Code tells.
func (s *metadataServer) credentials(e *journal.Entry) metadataAnswer {
	keys, issued, err := s.role.current()
	if err != nil {
		e.Fail("EC2 can assume the role: %v", err)
		return metadataJSON(map[string]any{
			"Code": "AssumeRoleUnauthorizedAccess", "LastUpdated": s.cloud.now().Format(time.RFC3339),
			"Message": "EC2 cannot assume the role " + s.instance.RoleARN + ". Please see documentation at https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_iam-ec2.html.",
		})
	}
	e.OK("keys of %s are given out, good until %s", s.instance.RoleARN, keys.Expires.Format(time.RFC3339))
	return metadataJSON(struct{ Code, LastUpdated, Type, AccessKeyId, SecretAccessKey, Token, Expiration string }{
		"Success", issued.Format(time.RFC3339), "AWS-HMAC", keys.AccessKeyID, keys.SecretAccessKey, keys.SessionToken, keys.Expires.Format(time.RFC3339),
	})
}

func (s *metadataServer) identityDocument() metadataAnswer {
	i := s.instance
	arn, _, _, _ := parseRoleARN(i.RoleARN)
	return metadataJSON(map[string]any{
		"accountId": arn.account, "architecture": "x86_64", "availabilityZone": i.Zone, "imageId": "ami-0abcdef1234567890",
		"instanceId": i.ID, "instanceType": "t3.micro", "pendingTime": s.launched.Format(time.RFC3339), "privateIp": "10.0.0.10",
		"region": i.Region, "version": "2017-09-30",
	})
}

func metadataJSON(v any) metadataAnswer {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return metadataError(http.StatusInternalServerError)
	}
	return metadataText(string(body))
}
