// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"errors"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stile-project/stile/lab/aws/sigv4"
	awstrust "github.com/stile-project/stile/trust/aws"
)

// s3Window is S3's clock window, three times STS's (S3 API, RequestTimeTooSkewed: MaxAllowedSkewMilliseconds 900000).
const s3Window = 15 * time.Minute

// admit decides whether the object store may answer. It leaves the body in the clear.
func (c *s3Call) admit() error {
	body, err := readBody(c.request, maxObject)
	if err != nil {
		return err
	}
	c.body = body
	caller, err := c.authenticate()
	if err != nil {
		return err
	}
	c.entry.Caller, c.account = caller.who.arn, caller.who.account
	demands, err := c.demands()
	if err != nil {
		c.entry.Fail("the lab has this part of S3: %v", err)
		return err
	}
	if err := c.rightBucket(); err != nil {
		return err
	}
	return c.allowed(caller, demands)
}

// authenticate is S3's way of checking a signature: other codes than STS's, a wider window, and the body's hash named
// in a header.
func (c *s3Call) authenticate() (credential, error) {
	signed, err := sigv4.Parse(c.request)
	if err != nil {
		c.entry.Fail("the request carries a readable Signature Version 4: %v", err)
		return credential{}, c.s3SignatureFault(err)
	}
	who, ok := c.cloud.lookup(signed.AccessKeyID, c.at.partition)
	if !ok {
		c.entry.Fail("access key %.24q belongs to someone", signed.AccessKeyID)
		return credential{}, withFields(refuse(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."), "AWSAccessKeyId", signed.AccessKeyID)
	}
	c.entry.OK("access key %s belongs to %s", signed.AccessKeyID, who.who.arn)
	if !sameToken(who, signed) {
		c.entry.Fail("the session token is the one given out with the key")
		return credential{}, refuse(400, "InvalidToken", "The provided token is malformed or otherwise invalid.")
	}
	if err := c.checkScopeAndTime(signed); err != nil {
		return credential{}, err
	}
	if err := c.checkPayload(signed, who); err != nil {
		return credential{}, err
	}
	if !who.Expires.IsZero() && !c.cloud.now().Before(who.Expires) {
		c.entry.Fail("the session is alive: it ended at %s", who.Expires.Format(time.RFC3339))
		return credential{}, refuse(400, "ExpiredToken", "The provided token has expired.")
	}
	return who, nil
}

func (c *s3Call) checkScopeAndTime(signed *sigv4.Signed) error {
	region := c.at.region
	// The global name takes requests for buckets anywhere, signed for the bucket's own region.
	if b, ok := c.cloud.findBucket(c.bucket); ok && c.at.global {
		region = b.region
	}
	if err := signed.CheckScope(region, "s3"); err != nil {
		c.entry.Fail("the signature is made for s3 in %s: %v", region, err)
		if signed.Region != region {
			return withFields(refuse(400, "AuthorizationHeaderMalformed", "The authorization header is malformed; the region '%s' is wrong; expecting '%s'", signed.Region, region), "Region", region)
		}
		return refuse(400, "AuthorizationHeaderMalformed", "The authorization header is malformed; %s", err)
	}
	now := c.cloud.now()
	switch err := signed.CheckTime(now, s3Window); {
	case err != nil && signed.Presigned:
		c.entry.Fail("the presigned request is still good: %v", err)
		return refuse(403, "AccessDenied", "Request has expired")
	case err != nil:
		c.entry.Fail("the request was signed within 15 minutes of now: %v", err)
		return withFields(refuse(403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large."),
			"RequestTime", signed.Stamp, "ServerTime", now.Format(time.RFC3339), "MaxAllowedSkewMilliseconds", strconv.FormatInt(s3Window.Milliseconds(), 10))
	}
	c.entry.OK("it is signed for s3 in %s, %s", region, ago(now.Sub(signed.Time)))
	return nil
}

// checkPayload verifies the signature, then that the body is what the signature covers.
func (c *s3Call) checkPayload(signed *sigv4.Signed, who credential) error {
	payload := c.request.Header.Get("X-Amz-Content-Sha256")
	switch {
	case payload == "" && signed.Presigned:
		payload = sigv4.UnsignedPayload
	case payload == "":
		return refuse(400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
	}
	if err := signed.Verify(c.request, who.SecretAccessKey, payload, sigv4.Verbatim); err != nil {
		c.entry.Fail("the signature, computed again from the request and the key's secret, is the one sent: it differs")
		return c.mismatch(signed, payload)
	}
	c.entry.OK("the signature, computed again from the request and the key's secret, is the one sent")
	switch payload {
	case sigv4.UnsignedPayload:
		c.entry.OK("the client chose not to sign the body")
	case sigv4.StreamingUnsigned, sigv4.StreamingSigned, sigv4.StreamingSignedTrailer:
		return c.unchunk(signed, payload, who)
	default:
		if got := sigv4.HashHex(c.body); got != payload {
			c.entry.Fail("the body has the hash that was signed")
			return withFields(refuse(400, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed."),
				"ClientComputedContentSHA256", payload, "S3ComputedContentSHA256", got)
		}
		c.entry.OK("the body has the hash that was signed")
	}
	return c.checkChecksums(c.request.Header.Get)
}

func (c *s3Call) unchunk(signed *sigv4.Signed, payload string, who credential) error {
	data, trailer, err := signed.ReadChunks(c.body, payload, who.SecretAccessKey)
	if err != nil {
		c.entry.Fail("the body is chunked as promised, and each chunk signed: %v", err)
		if e, ok := errors.AsType[*sigv4.Error](err); ok && e.Kind == sigv4.Mismatch {
			return c.mismatch(signed, payload)
		}
		return refuse(400, "IncompleteBody", "The request body terminated unexpectedly")
	}
	if want := c.request.Header.Get("X-Amz-Decoded-Content-Length"); want != strconv.Itoa(len(data)) {
		c.entry.Fail("the body is as long as x-amz-decoded-content-length says")
		return refuse(400, "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header")
	}
	c.body = data
	return c.checkChecksums(func(name string) string { return trailer[strings.ToLower(name)] })
}

// mismatch shows the string to sign, as S3 does. S3 shows the canonical request too; the lab does not, because the
// session token is a line of it.
func (c *s3Call) mismatch(signed *sigv4.Signed, payload string) error {
	text, err := signed.StringToSign(c.request, payload, sigv4.Verbatim)
	if err != nil {
		return c.s3SignatureFault(err)
	}
	return withFields(refuse(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your key and signing method."),
		"AWSAccessKeyId", signed.AccessKeyID, "StringToSign", text, "SignatureProvided", signed.Signature)
}

func (c *s3Call) s3SignatureFault(err error) error {
	e, ok := errors.AsType[*sigv4.Error](err)
	if !ok {
		return refuse(500, "InternalError", "We encountered an internal error. Please try again.")
	}
	switch e.Kind {
	case sigv4.Missing:
		return refuse(403, "AccessDenied", "Access Denied")
	case sigv4.Unsigned:
		return withFields(refuse(403, "AccessDenied", "There were headers present in the request which were not signed"), "HeadersNotSigned", strings.Join(e.Headers, ", "))
	case sigv4.Incomplete:
		return refuse(400, "AuthorizationHeaderMalformed", "The authorization header is malformed; %s", e.Message)
	}
	return refuse(403, "SignatureDoesNotMatch", "%s", e.Message)
}

// rightBucket sends a request that went to the wrong region to the right one.
func (c *s3Call) rightBucket() error {
	if c.bucket == "" {
		return nil
	}
	b, ok := c.cloud.findBucket(c.bucket)
	if !ok {
		c.entry.Fail("bucket %.64q exists", c.bucket)
		return withFields(refuse(404, "NoSuchBucket", "The specified bucket does not exist"), "BucketName", c.bucket)
	}
	if b.region != c.at.region && !c.at.global {
		c.entry.Fail("bucket %s is in %s: it is in %s", c.bucket, c.at.region, b.region)
		host := strings.Replace(c.at.suffix, c.at.region, b.region, 1)
		return withFields(refuse(301, "PermanentRedirect", "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint."),
			"Endpoint", c.bucket+"."+host, "Bucket", c.bucket, "Region", b.region)
	}
	return nil
}

// allowed asks the caller's policies for each permission, and keeps buckets to their own account.
func (c *s3Call) allowed(caller credential, demands []demand) error {
	base := with(c.cloud.requestContext(c.request, c.at, &caller), listContext(c.request))
	for _, d := range demands {
		name, _, _ := strings.Cut(strings.TrimPrefix(d.resource, "arn:"+c.at.partition+":s3:::"), "/")
		if b, ok := c.cloud.findBucket(name); ok && b.account != caller.who.account {
			c.entry.Fail("bucket %s belongs to the caller's account %s: it belongs to %s", name, caller.who.account, b.account)
			return refuse(403, "AccessDenied", "Access Denied")
		}
		v := c.cloud.identityAllows(caller, awstrust.Request{Action: d.action, Resource: d.resource, Context: maps.Clone(base)}, c.entry)
		if !v.allowed {
			return refuse(403, "AccessDenied", `User: %s is not authorized to perform: %s on resource: "%s" %s`, caller.who.arn, d.action, d.resource, v.why)
		}
	}
	return c.mayKnow(caller, base)
}

// mayKnow hides from those who may not list a bucket that a key is absent: S3 answers 403 rather than 404.
func (c *s3Call) mayKnow(caller credential, ctx map[string][]string) error {
	reads := c.request.Method == http.MethodGet || c.request.Method == http.MethodHead
	if c.key == "" || !reads || c.request.URL.Query().Has("uploadId") {
		return nil
	}
	if _, err := c.cloud.objects.HeadObject(c.bucket, c.key); err == nil {
		return nil
	}
	resource := "arn:" + c.at.partition + ":s3:::" + c.bucket
	v := c.cloud.identityAllows(caller, awstrust.Request{Action: "s3:ListBucket", Resource: resource, Context: ctx}, c.entry)
	if !v.allowed {
		c.entry.Fail("the caller may know that there is no such key: only s3:ListBucket lets it")
		return refuse(403, "AccessDenied", `User: %s is not authorized to perform: s3:ListBucket on resource: "%s" %s`, caller.who.arn, resource, v.why)
	}
	c.entry.Fail("key %.256q exists", c.key)
	c.entry.Code = "NoSuchKey"
	return nil
}
