// SPDX-License-Identifier: Apache-2.0

// Package location reads a configuration file from where it is kept: a path, s3://, gs:// or https://. A bucket is
// read with the workload's own identity, so that an ECS task needs no file baked into its image.
package location

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/stile-project/stile"
	fromaws "github.com/stile-project/stile/from/aws"
	"github.com/stile-project/stile/internal/remote"
)

// The most that a configuration file may hold, in bytes. One on this machine may describe very many crossings.
const (
	limit     = 1 << 20
	pathLimit = 16 << 20
)

const (
	op        = "read the configuration"
	emptyBody = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// A Reader reads files by location. Its fields are needed only for the locations that use them.
type Reader struct {
	Client *http.Client                                    // for all but paths; nil: http.DefaultClient
	AWS    func(context.Context) (*fromaws.Caller, error)  // signs for s3://
	Google func(context.Context) (stile.Credential, error) // an access token for gs://
	Clock  func() time.Time                                // dates signatures; nil: time.Now
}

// Read returns the whole file, of at most 1 MiB, or 16 MiB where it is on this machine.
func (r Reader) Read(ctx context.Context, where string) ([]byte, error) {
	scheme, rest, found := strings.Cut(where, "://")
	if !found {
		return readPath(ctx, where)
	}
	switch scheme {
	case "s3":
		return r.s3(ctx, rest)
	case "gs":
		return r.gs(ctx, rest)
	case "https":
		return r.https(ctx, where)
	}
	return nil, misuse("", "a path, s3://BUCKET/KEY, gs://BUCKET/OBJECT or https://… is read, not %.20s://", scheme)
}

func misuse(hint, format string, args ...any) error {
	return &stile.Error{Op: op, Hint: hint, Err: fmt.Errorf("%w: "+format, append([]any{stile.ErrMisuse}, args...)...)}
}

// readPath gives up with ctx even where opening waits, as it does for a pipe that nobody writes to.
func readPath(ctx context.Context, path string) ([]byte, error) {
	if path == "" {
		return nil, misuse("", "no file is named")
	}
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := readFile(path)
		done <- result{data, err}
	}()
	select {
	case r := <-done:
		return r.data, r.err
	case <-ctx.Done():
		return nil, &stile.Error{Op: op, Err: fmt.Errorf("gave up waiting for %s: %w", path, context.Cause(ctx))}
	}
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		hint := ""
		if errors.Is(err, fs.ErrNotExist) {
			hint = "check the path; relative ones start at the working directory"
		}
		return nil, misuse(hint, "%w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, pathLimit+1))
	if err != nil {
		return nil, misuse("", "%w", err)
	}
	if len(data) > pathLimit {
		return nil, misuse("", "%s: longer than %d bytes: not a configuration file", path, pathLimit)
	}
	return data, nil
}

func (r Reader) https(ctx context.Context, where string) ([]byte, error) {
	u, err := url.Parse(where)
	if err != nil || u.Host == "" || u.User != nil {
		return nil, misuse("", "the https location is malformed, or has a user name in it")
	}
	// The query may carry a signature: errors name the host and the path alone.
	shown := "https://" + u.Host + u.Path
	res, q, err := r.get(ctx, u.Host, where, shown, nil)
	if err != nil {
		return nil, err
	}
	if !res.OK() {
		return nil, q.Refusal(res, "", http.StatusText(res.Status), "")
	}
	return res.Body, nil
}

func (r Reader) get(ctx context.Context, cloud, where, shown string, header http.Header, secrets ...stile.Secret) (*remote.Response, remote.Request, error) {
	q := remote.Request{Op: op, Cloud: cloud, Method: http.MethodGet, URL: where, Header: header, Limit: limit,
		Sent: []slog.Attr{slog.String("location", shown)}, Secrets: secrets}
	res, err := remote.Do(ctx, r.Client, q)
	return res, q, err
}

func split(scheme, rest string) (bucket, key string, err error) {
	bucket, key, _ = strings.Cut(rest, "/")
	legal := strings.Trim(bucket, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == "" && len(bucket) >= 3 && len(bucket) <= 222
	if !legal || key == "" {
		return "", "", misuse("", "want %s://BUCKET/NAME", scheme)
	}
	return bucket, key, nil
}

func (r Reader) gs(ctx context.Context, rest string) ([]byte, error) {
	bucket, name, err := split("gs", rest)
	if err != nil {
		return nil, err
	}
	if r.Google == nil {
		return nil, misuse("", "nothing here can read gs://")
	}
	cred, err := r.Google(ctx)
	if err != nil {
		return nil, err
	}
	where := "https://storage.googleapis.com/storage/v1/b/" + url.PathEscape(bucket) + "/o/" + url.PathEscape(name) + "?alt=media"
	res, q, err := r.get(ctx, "Cloud Storage", where, "gs://"+rest, http.Header{"Authorization": {"Bearer " + cred.Token.Reveal()}}, cred.Token)
	if err != nil {
		return nil, err
	}
	if !res.OK() {
		return nil, q.Refusal(res, "", http.StatusText(res.Status), "grant roles/storage.objectViewer on the bucket to this workload's service account")
	}
	return res.Body, nil
}

func (r Reader) s3(ctx context.Context, rest string) ([]byte, error) {
	bucket, key, err := split("s3", rest)
	if err != nil {
		return nil, err
	}
	if r.AWS == nil {
		return nil, misuse("", "nothing here can read s3://")
	}
	caller, err := r.AWS(ctx)
	if err != nil {
		return nil, err
	}
	region, err := caller.Region(ctx)
	if err != nil {
		return nil, err
	}
	creds, err := caller.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, &stile.Error{Op: op, Err: fmt.Errorf("%w: %w", stile.ErrNoIdentity, err)}
	}
	res, q, err := r.s3get(ctx, creds, region, bucket, key)
	if err != nil {
		return nil, err
	}
	// A bucket elsewhere answers with its region, in the header of the refusal.
	if home := res.Header.Get("X-Amz-Bucket-Region"); !res.OK() && home != "" && home != region {
		if res, q, err = r.s3get(ctx, creds, home, bucket, key); err != nil {
			return nil, err
		}
	}
	if !res.OK() {
		return nil, q.Refusal(res, "", http.StatusText(res.Status), "allow s3:GetObject on arn:aws:s3:::"+bucket+"/"+key+" to this workload's role")
	}
	return res.Body, nil
}

func (r Reader) s3get(ctx context.Context, creds aws.Credentials, region, bucket, key string) (*remote.Response, remote.Request, error) {
	var none remote.Request
	sts, err := fromaws.Endpoint(ctx, region, false)
	if err != nil {
		return nil, none, err
	}
	host := "s3" + strings.TrimPrefix(sts.Host, "sts") // the partition's domain is the same
	u := &url.URL{Scheme: "https", Host: bucket + "." + host, Path: "/" + key}
	if strings.Contains(bucket, ".") {
		u.Host, u.Path = host, "/"+bucket+"/"+key // a dot breaks the wildcard certificate
	}
	u.RawPath = escaped(u.Path)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, none, misuse("", "the s3 location is malformed")
	}
	req.Header.Set("X-Amz-Content-Sha256", emptyBody)
	now := time.Now
	if r.Clock != nil {
		now = r.Clock
	}
	err = v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).
		SignHTTP(ctx, creds, req, emptyBody, "s3", region, now())
	if err != nil {
		return nil, none, &stile.Error{Op: op, Err: err}
	}
	return r.get(ctx, "Amazon S3", u.String(), "s3://"+bucket+"/"+key, req.Header, stile.NewSecret(creds.SessionToken))
}

// escaped encodes a path as S3 signs it, which is stricter than what URLs need: net/url would leave + and = alone.
// Source: AWS Signature Version 4, create a canonical request.
func escaped(path string) string {
	var b strings.Builder
	for i := range len(path) {
		if c := path[i]; c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
