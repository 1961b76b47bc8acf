// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	awstrust "github.com/stile-project/stile/trust/aws"
)

// Limits of the AssumeRole family (AWS STS API reference).
const (
	minRoleARN, maxRoleARN         = 20, 2048
	minSessionName, maxSessionName = 2, 64
	minDuration, maxDuration       = 900, 43200 // seconds
	maxSessionPolicy               = 2048
	maxPolicyARNs                  = 10
	maxTags                        = 50
	maxTagKey, maxTagValue         = 128, 256
	maxSessionToken                = 4096
	chainedMax                     = time.Hour
	defaultDuration                = time.Hour
)

var (
	sessionNamePattern = regexp.MustCompile(`^[\w+=,.@-]*$`)
	tagPattern         = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
)

// packedSpace is how much session policies and tags may come to once packed. AWS does not tell its own figure.
const packedSpace = 1024

// A sessionRequest is what a caller wants of the session, whichever action asks.
type sessionRequest struct {
	roleARN, name  string
	duration       time.Duration // 0: not said
	policies       []*awstrust.Policy
	tags           map[string]string
	transitive     []string
	sourceIdentity string
	tokenSize      int    // MinimumSessionTokenSize
	packed         []byte // what counts against packedSpace
}

// sessionRequest reads the parameters that AssumeRole and AssumeRoleWithWebIdentity share.
func (c *stsCall) sessionRequest(check *constraints) (sessionRequest, error) {
	q := sessionRequest{
		roleARN:  check.text("RoleArn", minRoleARN, maxRoleARN, nil, false),
		name:     check.text("RoleSessionName", minSessionName, maxSessionName, sessionNamePattern, false),
		duration: time.Duration(check.number("DurationSeconds", minDuration, maxDuration)) * time.Second,
		tags:     map[string]string{},
	}
	check.text("Policy", 1, maxSessionPolicy, nil, true)
	q.tokenSize = check.number("MinimumSessionTokenSize", 0, maxSessionToken)
	arns := c.form.list("PolicyArns", "arn")
	if len(arns) > maxPolicyARNs {
		check.wrong = append(check.wrong, "Value at 'policyArns' failed to satisfy constraint: Member must have length less than or equal to 10")
	}
	if err := check.err(); err != nil {
		c.entry.Fail("the parameters keep to the limits of the API: %v", err)
		return q, err
	}
	if _, _, _, err := parseRoleARN(q.roleARN); err != nil {
		c.entry.Fail("RoleArn names a role: %v", err)
		return q, validation("%s is invalid", q.roleARN)
	}
	if err := q.readPolicies(c.cloud, c.form, arns); err != nil {
		c.entry.Fail("the session policies can be read: %v", err)
		return q, err
	}
	return q, nil
}

func (q *sessionRequest) readPolicies(cloud *Cloud, f form, arns []string) error {
	if doc, ok := f["Policy"]; ok {
		if !json.Valid([]byte(doc)) {
			return refuse(400, "MalformedPolicyDocument", "The policy is not in the valid JSON format.")
		}
		p, err := awstrust.ParseIdentity([]byte(doc))
		if err != nil {
			return refuse(400, "MalformedPolicyDocument", "Syntax errors in policy.")
		}
		q.policies = append(q.policies, p)
		q.packed = append(q.packed, doc...)
	}
	var managed []*awstrust.Policy
	for _, name := range arns {
		cloud.mu.Lock()
		doc, ok := cloud.managed[name]
		cloud.mu.Unlock()
		p, err := awstrust.ParseIdentity([]byte(doc))
		if !ok || err != nil {
			return validation("ARN %.2048s is not valid.", name)
		}
		managed = append(managed, p)
		q.packed = append(q.packed, name...)
	}
	q.policies = append(q.policies, managed...)
	return nil
}

// addTags takes session tags and the keys that travel on into chained sessions.
func (q *sessionRequest) addTags(keys, values, transitive []string) error {
	if len(keys) > maxTags || len(keys) != len(values) {
		return validation("1 validation error detected: Value at 'tags' failed to satisfy constraint: Member must have length less than or equal to %d", maxTags)
	}
	seen := map[string]bool{}
	for i, key := range keys {
		folded := strings.ToLower(key)
		if seen[folded] {
			return refuse(400, "InvalidParameterValue", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		seen[folded] = true
		if n := utf8.RuneCountInString(key); n < 1 || n > maxTagKey || !tagPattern.MatchString(key) || strings.HasPrefix(folded, "aws:") {
			return validation("1 validation error detected: Value at 'tags.%d.member.key' failed to satisfy constraint", i+1)
		}
		if utf8.RuneCountInString(values[i]) > maxTagValue || !tagPattern.MatchString(values[i]) {
			return validation("1 validation error detected: Value at 'tags.%d.member.value' failed to satisfy constraint", i+1)
		}
		q.tags[key] = values[i]
		q.packed = append(q.packed, key+values[i]...)
	}
	for _, key := range transitive {
		if _, ok := q.tags[key]; !ok {
			return refuse(400, "InvalidParameterValue", "The specified transitive tag key must be included in the requested tags.")
		}
	}
	q.transitive = transitive
	return nil
}

// packedSize is the share of the space that policies and tags take, in percent.
func (q *sessionRequest) packedSize() (int, error) {
	if len(q.packed) == 0 {
		return 0, nil
	}
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		return 0, err
	}
	_, _ = w.Write(q.packed) // a bytes.Buffer takes everything
	_ = w.Close()
	size := max(1, b.Len()*100/packedSpace)
	if size > 100 {
		return 0, refuse(400, "PackedPolicyTooLarge", "Packed policy consumes %d%% of allotted space, please use smaller policy.", size)
	}
	return size, nil
}

// context is what a trust policy can ask about the request itself.
func (q *sessionRequest) context() map[string][]string {
	ctx := map[string][]string{"sts:RoleSessionName": {q.name}}
	if q.sourceIdentity != "" {
		ctx["sts:SourceIdentity"] = []string{q.sourceIdentity}
	}
	for key, value := range q.tags {
		ctx["aws:RequestTag/"+key] = []string{value}
	}
	if len(q.tags) > 0 {
		ctx["aws:TagKeys"] = slices.Sorted(maps.Keys(q.tags))
	}
	if len(q.transitive) > 0 {
		ctx["sts:TransitiveTagKeys"] = q.transitive
	}
	return ctx
}

// actions are what the trust policy must allow: the call itself, and what it carries along.
func (q *sessionRequest) actions(action string) []string {
	list := []string{action}
	if len(q.tags) > 0 {
		list = append(list, "sts:TagSession")
	}
	if q.sourceIdentity != "" {
		list = append(list, "sts:SetSourceIdentity")
	}
	return list
}

// life settles how long the session lasts against the role's maximum, and an hour where roles are chained.
func (c *stsCall) life(q sessionRequest, r *role, chained bool) (time.Duration, error) {
	switch {
	case q.duration == 0:
		return defaultDuration, nil
	case q.duration > r.maxSession:
		c.entry.Fail("a session of %v is within the role's maximum of %v", q.duration, r.maxSession)
		return 0, validation("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	case chained && q.duration > chainedMax:
		c.entry.Fail("a role assumed from a role lasts an hour at most: %v was asked for", q.duration)
		return 0, validation("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	}
	c.entry.OK("a session of %v is within the role's maximum of %v", q.duration, r.maxSession)
	return q.duration, nil
}
