// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/stile-project/stile/lab/aws/sigv4"
)

const (
	s3Host    = "images.s3.eu-west-1.amazonaws.com"
	readsOnly = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::images/public/*"}]}`
)

func newS3World(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	for _, err := range []error{
		w.cloud.AddBucket(home, "images", irishReg),
		w.cloud.AddBucket(stranger, "elsewhere", irishReg),
		w.cloud.AddBucket(home, "virginia", "us-east-1"),
		w.cloud.PutObject("images", "public/cat.txt", []byte("meow")),
		w.cloud.PutObject("images", "private/café ☃/a+b.txt", []byte("hush")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *world) s3(keys Keys, change ...func(*s3.Options)) *s3.Client {
	return s3.New(s3.Options{Region: irishReg, HTTPClient: w.client(), Credentials: static(keys), RetryMaxAttempts: 1}, change...)
}

func pathStyle(o *s3.Options) { o.UsePathStyle = true }

func TestS3BySDK(t *testing.T) {
	t.Parallel()
	for name, style := range map[string]func(*s3.Options){"virtual host": func(*s3.Options) {}, "path style": pathStyle} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newS3World(t)
			client := w.s3(w.session(etlARN), style)
			for key, want := range map[string]string{"public/cat.txt": "meow", "private/café ☃/a+b.txt": "hush"} {
				if got := getObject(t, client, "images", key); got != want {
					t.Errorf("%s: got %q, want %q", key, got, want)
				}
			}
			list, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("images"), Prefix: aws.String("public/")})
			if err != nil || len(list.Contents) != 1 || aws.ToString(list.Contents[0].Key) != "public/cat.txt" {
				t.Errorf("listing: %+v, %v", list, err)
			}
			if head, err := client.HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: aws.String("images")}); err != nil || aws.ToString(head.BucketRegion) != irishReg {
				t.Errorf("head %+v, %v", head, err)
			}
			buckets, err := client.ListBuckets(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, b := range buckets.Buckets {
				names = append(names, aws.ToString(b.Name))
			}
			if diff := cmp.Diff([]string{"images", "virginia"}, names); diff != "" {
				t.Errorf("the account's buckets (-want +got):\n%s", diff)
			}
			where, err := client.GetBucketLocation(t.Context(), &s3.GetBucketLocationInput{Bucket: aws.String("images")})
			if err != nil || string(where.LocationConstraint) != irishReg {
				t.Errorf("location %+v, %v", where, err)
			}
		})
	}
}

func getObject(t *testing.T, client *s3.Client, bucket, key string) string {
	t.Helper()
	got, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
	if err != nil {
		t.Error(err)
		return ""
	}
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	if err != nil {
		t.Error(err)
	}
	return string(body)
}

// Each way in which the SDK sends a body: hashed and signed, chunked with a checksum behind, left unsigned.
func TestS3PutBySDK(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body   func() io.Reader
		change func(*s3.Options)
	}{
		"seekable": {func() io.Reader { return strings.NewReader("hello") }, func(*s3.Options) {}},
		"empty":    {func() io.Reader { return strings.NewReader("") }, func(*s3.Options) {}},
		"unsigned payload": {func() io.Reader { return strings.NewReader("hello") }, func(o *s3.Options) {
			o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
		}},
		"no checksum": {func() io.Reader { return strings.NewReader("hello") }, func(o *s3.Options) { o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired }},
	} {
		for _, sum := range []s3types.ChecksumAlgorithm{"", s3types.ChecksumAlgorithmCrc32, s3types.ChecksumAlgorithmCrc32c, s3types.ChecksumAlgorithmCrc64nvme, s3types.ChecksumAlgorithmSha1, s3types.ChecksumAlgorithmSha256} {
			t.Run(name+" "+string(sum), func(t *testing.T) {
				t.Parallel()
				w := newS3World(t)
				keys := w.session(etlARN)
				client := w.s3(keys, c.change)
				body := c.body()
				want, err := io.ReadAll(c.body())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("images"), Key: aws.String("new"), Body: body, ChecksumAlgorithm: sum}); err != nil {
					t.Fatalf("%v (%s)", err, w.reason())
				}
				got, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("images"), Key: aws.String("new")})
				if err != nil {
					t.Fatal(err)
				}
				defer got.Body.Close()
				if body, err := io.ReadAll(got.Body); err != nil || !bytes.Equal(body, want) {
					t.Errorf("got %q, want %q (%v)", body, want, err)
				}
				if text := mustJSON(t, got.Metadata); strings.Contains(text, keys.SessionToken) {
					t.Error("the writer's session token comes back with the object")
				}
			})
		}
	}
}

// Nothing that authenticated the writer is kept with the object.
func TestS3KeepsNoCredentials(t *testing.T) {
	t.Parallel()
	w := newS3World(t)
	keys := w.session(etlARN)
	if _, err := w.s3(keys).PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("images"), Key: aws.String("new"), Body: strings.NewReader("x")}); err != nil {
		t.Fatal(err)
	}
	r := w.signedGet(w.session(etlARN), "https://"+s3Host+"/new", 0)
	resp, err := w.RoundTrip(r)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v, %v", resp, err)
	}
	for name, values := range resp.Header {
		if text := strings.Join(values, ""); strings.Contains(text, keys.SessionToken) || strings.Contains(text, "AWS4-HMAC") {
			t.Errorf("%s gives the writer's credentials to the reader", name)
		}
	}
}

func (w *world) signedGet(k Keys, url string, offset time.Duration) *http.Request {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("X-Amz-Content-Sha256", sigv4.HashHex(nil))
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if err := signer.SignHTTP(w.t.Context(), sdkKeys(k), r, sigv4.HashHex(nil), "s3", irishReg, w.now().Add(offset)); err != nil {
		w.t.Fatal(err)
	}
	return r
}

func TestS3SignatureRefusals(t *testing.T) {
	t.Parallel()
	const cat = "https://" + s3Host + "/public/cat.txt"
	for name, c := range map[string]struct {
		request func(*world, Keys) *http.Request
		status  int
		code    string
		text    string
	}{
		"anonymous": {func(w *world, _ Keys) *http.Request { return mustGet(w.t, cat) }, 403, "AccessDenied", "Access Denied"},
		"changed key": {func(w *world, k Keys) *http.Request {
			r := w.signedGet(k, cat, 0)
			r.URL.Path = "/public/dog.txt"
			return r
		}, 403, "SignatureDoesNotMatch", "<StringToSign>AWS4-HMAC-SHA256"},
		"changed host": {func(w *world, k Keys) *http.Request {
			r := w.signedGet(k, cat, 0)
			r.URL.Host, r.Host = "s3.eu-west-1.amazonaws.com", "s3.eu-west-1.amazonaws.com"
			r.URL.Path = "/images/public/cat.txt"
			return r
		}, 403, "SignatureDoesNotMatch", ""},
		"unknown key": {func(w *world, k Keys) *http.Request {
			k.AccessKeyID = "ASIAQEXAMPLEKEY00001"
			return w.signedGet(k, cat, 0)
		},
			403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."},
		"wrong secret": {func(w *world, k Keys) *http.Request { k.SecretAccessKey += "x"; return w.signedGet(k, cat, 0) }, 403, "SignatureDoesNotMatch", ""},
		"wrong token":  {func(w *world, k Keys) *http.Request { k.SessionToken = "x"; return w.signedGet(k, cat, 0) }, 400, "InvalidToken", ""},
		"stale":        {func(w *world, k Keys) *http.Request { return w.signedGet(k, cat, -16*time.Minute) }, 403, "RequestTimeTooSkewed", "<MaxAllowedSkewMilliseconds>900000</MaxAllowedSkewMilliseconds>"},
		"future":       {func(w *world, k Keys) *http.Request { return w.signedGet(k, cat, 16*time.Minute) }, 403, "RequestTimeTooSkewed", ""},
		"expired session": {func(w *world, k Keys) *http.Request {
			w.pass(2 * time.Hour)
			return w.signedGet(k, cat, 0)
		}, 400, "ExpiredToken", "The provided token has expired."},
		"another region": {func(w *world, k Keys) *http.Request {
			r := w.signedGet(k, cat, 0)
			r.URL.Host, r.Host = "images.s3.us-west-2.amazonaws.com", "images.s3.us-west-2.amazonaws.com"
			return r
		}, 400, "AuthorizationHeaderMalformed", "expecting &#39;us-west-2&#39;"},
		"a header added": {func(w *world, k Keys) *http.Request {
			r := w.signedGet(k, cat, 0)
			r.Header.Set("X-Amz-Request-Payer", "requester")
			return r
		}, 403, "AccessDenied", "<HeadersNotSigned>x-amz-request-payer</HeadersNotSigned>"},
		"no hash of the body": {func(w *world, k Keys) *http.Request {
			r := mustGet(w.t, cat)
			if err := v4.NewSigner().SignHTTP(w.t.Context(), sdkKeys(k), r, sigv4.HashHex(nil), "s3", irishReg, w.now()); err != nil {
				w.t.Fatal(err)
			}
			return r
		}, 400, "InvalidRequest", "x-amz-content-sha256"},
		"another body": {func(w *world, k Keys) *http.Request {
			r := w.signedGet(k, cat, 0)
			r.Body = io.NopCloser(strings.NewReader("x"))
			return r
		}, 400, "XAmzContentSHA256Mismatch", ""},
		"garbage for a signature": {func(w *world, _ Keys) *http.Request {
			r := mustGet(w.t, cat)
			r.Header.Set("Authorization", "AWS4-HMAC-SHA256 \xff")
			return r
		}, 400, "AuthorizationHeaderMalformed", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newS3World(t)
			resp, err := w.RoundTrip(c.request(w, w.session(etlARN)))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			var doc struct {
				XMLName         xml.Name `xml:"Error"`
				Code, RequestId string
			}
			if err := xml.Unmarshal(body, &doc); err != nil || doc.RequestId == "" {
				t.Fatalf("not an S3 error: %v\n%s", err, body)
			}
			if resp.StatusCode != c.status || doc.Code != c.code || !strings.Contains(string(body), c.text) {
				t.Errorf("got %d\n%s\nwant %d %s %s", resp.StatusCode, body, c.status, c.code, c.text)
			}
		})
	}
}

func mustGet(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What the policies allow, and how S3 words what they do not.
func TestS3PolicyRefusals(t *testing.T) {
	t.Parallel()
	get := func(key string) func(context.Context, *s3.Client) error {
		return func(ctx context.Context, c *s3.Client) error {
			_, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("images"), Key: aws.String(key)})
			return err
		}
	}
	list := func(bucket string) func(context.Context, *s3.Client) error {
		return func(ctx context.Context, c *s3.Client) error {
			_, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
			return err
		}
	}
	for name, c := range map[string]struct {
		permissions   string
		call          func(context.Context, *s3.Client) error
		code, message string
	}{
		"allowed":       {readsOnly, get("public/cat.txt"), "", ""},
		"another key":   {readsOnly, get("private/x"), "AccessDenied", `is not authorized to perform: s3:GetObject on resource: "arn:aws:s3:::images/private/x" because no identity-based policy allows the s3:GetObject action`},
		"no permission": {"", get("public/cat.txt"), "AccessDenied", "because no identity-based policy allows"},
		"explicit deny": {`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"s3:Get*","Resource":"*"}]}`,
			get("public/cat.txt"), "AccessDenied", "with an explicit deny in an identity-based policy"},
		"absent, and may list":     {everything, get("public/dog.txt"), "NoSuchKey", ""},
		"absent, and may not list": {readsOnly, get("public/dog.txt"), "AccessDenied", "s3:ListBucket"},
		"list":                     {readsOnly, list("images"), "AccessDenied", `s3:ListBucket on resource: "arn:aws:s3:::images"`},
		"another account's bucket": {everything, list("elsewhere"), "AccessDenied", "Access Denied"},
		"no such bucket":           {everything, list("nowhere"), "NoSuchBucket", ""},
		"a bucket elsewhere":       {everything, list("virginia"), "PermanentRedirect", ""},
		"put": {readsOnly, func(ctx context.Context, c *s3.Client) error {
			_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("images"), Key: aws.String("public/x"), Body: strings.NewReader("x")})
			return err
		}, "AccessDenied", "s3:PutObject"},
		"delete": {readsOnly, func(ctx context.Context, c *s3.Client) error {
			_, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String("images"), Key: aws.String("public/cat.txt")})
			return err
		}, "AccessDenied", "s3:DeleteObject"},
		"delete many": {readsOnly, func(ctx context.Context, c *s3.Client) error {
			_, err := c.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: aws.String("images"), Delete: &s3types.Delete{Objects: []s3types.ObjectIdentifier{{Key: aws.String("public/cat.txt")}}}})
			return err
		}, "AccessDenied", "s3:DeleteObject"},
		"copy from where it may not read": {strings.Replace(readsOnly, `"s3:GetObject"`, `"s3:PutObject"`, 1), func(ctx context.Context, c *s3.Client) error {
			_, err := c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: aws.String("images"), Key: aws.String("public/x"), CopySource: aws.String("images/private/y")})
			return err
		}, "AccessDenied", `s3:GetObject on resource: "arn:aws:s3:::images/private/y"`},
		"list buckets": {readsOnly, func(ctx context.Context, c *s3.Client) error { _, err := c.ListBuckets(ctx, nil); return err }, "AccessDenied", "s3:ListAllMyBuckets"},
		"a part of S3 that is not here": {everything, func(ctx context.Context, c *s3.Client) error {
			_, err := c.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: aws.String("images")})
			return err
		}, "NotImplemented", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newS3World(t)
			w.role(Role{Account: home, Name: "etl", Path: "/team/", Trust: trustsEC2, Permissions: c.permissions})
			err := c.call(t.Context(), w.s3(w.session(etlARN)))
			if c.code == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if api, ok := errors.AsType[smithy.APIError](err); !ok || api.ErrorCode() != c.code || !strings.Contains(api.ErrorMessage(), c.message) {
				t.Errorf("got  %v\nwant %s: … %s …", err, c.code, c.message)
			}
		})
	}
}

// A session policy takes away and never gives.
func TestS3SessionPolicy(t *testing.T) {
	t.Parallel()
	w := newS3World(t)
	w.role(Role{Account: home, Name: "from-gcp", Trust: robust, Permissions: strings.Replace(readsOnly, "public/*", "*", 1)})
	a := w.do(post(t, irish, webCall(w.googleToken(nil), "Policy", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::images/public/*"}}`)))
	var creds struct {
		AccessKeyID string `xml:"AssumeRoleWithWebIdentityResult>Credentials>AccessKeyId"`
		Secret      string `xml:"AssumeRoleWithWebIdentityResult>Credentials>SecretAccessKey"`
		Token       string `xml:"AssumeRoleWithWebIdentityResult>Credentials>SessionToken"`
	}
	if err := xml.Unmarshal([]byte(a.Body), &creds); err != nil || creds.Token == "" {
		t.Fatalf("%v\n%s", err, a.Body)
	}
	client := w.s3(Keys{AccessKeyID: creds.AccessKeyID, SecretAccessKey: creds.Secret, SessionToken: creds.Token})
	if got := getObject(t, client, "images", "public/cat.txt"); got != "meow" {
		t.Errorf("got %q, want meow", got)
	}
	_, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("images"), Key: aws.String("private/café ☃/a+b.txt")})
	if api, ok := errors.AsType[smithy.APIError](err); !ok || !strings.Contains(api.ErrorMessage(), "because no session policy allows the s3:GetObject action") {
		t.Errorf("got %v, want a refusal by the session policy", err)
	}
	if _, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("images")}); err == nil {
		t.Error("a session policy gave what the role has not")
	}
}

func TestS3Presigned(t *testing.T) {
	t.Parallel()
	w := newS3World(t)
	url, err := s3.NewPresignClient(w.s3(w.session(etlARN))).PresignGetObject(t.Context(),
		&s3.GetObjectInput{Bucket: aws.String("images"), Key: aws.String("public/cat.txt")}, s3.WithPresignExpires(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	status := func(u string) int {
		resp, err := w.RoundTrip(mustGet(t, u))
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}
	if got := status(url.URL); got != 200 {
		t.Errorf("got %d (%s)", got, w.reason())
	}
	if got := status(strings.Replace(url.URL, "cat", "dog", 1)); got != 403 {
		t.Errorf("another key gives %d, want 403", got)
	}
	w.pass(2 * time.Minute)
	if got := status(url.URL); got != 403 {
		t.Errorf("an expired one gives %d, want 403", got)
	}
}

func TestS3BadDigest(t *testing.T) {
	t.Parallel()
	w := newS3World(t)
	_, err := w.s3(w.session(etlARN)).PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String("images"), Key: aws.String("x"), Body: strings.NewReader("hello"), ChecksumCRC32: aws.String("AAAAAA=="),
	})
	if api, ok := errors.AsType[smithy.APIError](err); !ok || api.ErrorCode() != "BadDigest" {
		t.Errorf("got %v, want BadDigest", err)
	}
}
