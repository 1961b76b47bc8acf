// SPDX-License-Identifier: Apache-2.0

package location_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config/location"
	fromaws "github.com/stile-project/stile/from/aws"
	fromgcp "github.com/stile-project/stile/from/gcp"
	"github.com/stile-project/stile/lab"
	"github.com/stile-project/stile/lab/stage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a stage with files in more buckets, and a reader there that is etl-role in AWS and resizer@ in Google Cloud.
func world(t *testing.T) (*stage.Stage, location.Reader) {
	t.Helper()
	scene, err := stage.Set(lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := scene.World
	for _, err := range []error{
		w.Google.AddBucket(stage.Project, "configs"), w.Google.PutObject("configs", "a folder/c+d?.yaml", []byte("version: 1\n")),
		w.Google.PutObject("configs", "exact", []byte(strings.Repeat("x", 1<<20))), w.Google.PutObject("configs", "long", []byte(strings.Repeat("x", 1<<20+1))),
		w.Google.Grant("buckets/configs", "roles/storage.objectViewer", "serviceAccount:"+stage.Resizer),
		w.AWS.PutObject(stage.Settings, "a folder/c+d=é.json", []byte("{}")),
		w.AWS.PutObject(stage.Settings, "long", []byte(strings.Repeat("x", 1<<20+1))),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return scene, readerIn(scene, stage.Region, stage.Role)
}

func readerIn(scene *stage.Stage, region, role string) location.Reader {
	caller := func(context.Context) (*fromaws.Caller, error) {
		keys, err := scene.World.AWS.Session(role, "i-1", time.Hour)
		return &fromaws.Caller{Region: fromaws.FixedRegion(region), Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: keys.AccessKeyID, SecretAccessKey: keys.SecretAccessKey, SessionToken: keys.SessionToken}, nil
		})}, err
	}
	return location.Reader{
		Client: &http.Client{Transport: scene.World.Network(nil)}, AWS: caller,
		Google: (&fromgcp.Metadata{Client: &http.Client{Transport: scene.World.Network(scene.VM)}}).AccessToken,
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	scene, here := world(t)
	elsewhere := readerIn(scene, "us-east-2", stage.Role)
	china := readerIn(scene, "cn-north-1", stage.Role)
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte("here\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		reader location.Reader
		where  string
		want   string
	}{
		"path":                       {location.Reader{}, path, "here\n"},
		"S3":                         {here, "s3://" + stage.Settings + "/credential.json", stage.CredentialFile},
		"S3, a key to be escaped":    {here, "s3://" + stage.Settings + "/a folder/c+d=é.json", "{}"},
		"S3, another region's":       {elsewhere, "s3://" + stage.Settings + "/credential.json", stage.CredentialFile},
		"GCS, a name to be escaped":  {here, "gs://configs/a folder/c+d?.yaml", "version: 1\n"},
		"GCS, as long as is allowed": {here, "gs://configs/exact", strings.Repeat("x", 1<<20)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := c.reader.Read(t.Context(), c.where)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != c.want {
				t.Errorf("got %d bytes, %.40q, want %d", len(got), got, len(c.want))
			}
		})
	}
	t.Run("S3 of another partition", func(t *testing.T) {
		t.Parallel()
		if _, err := china.Read(t.Context(), "s3://"+stage.Settings+"/credential.json"); err == nil || !strings.Contains(err.Error(), "s3://etl-settings/credential.json") {
			t.Errorf("got %v", err)
		}
	})
}

func TestReadRefused(t *testing.T) {
	t.Parallel()
	scene, here := world(t)
	stranger := readerIn(scene, stage.Region, stage.OtherRole)
	cases := map[string]struct {
		reader location.Reader
		where  string
		kind   error
		status int
		words  string // in the error or its hint
	}{
		"S3, not allowed":         {stranger, "s3://" + stage.Settings + "/credential.json", stile.ErrRefused, 403, "allow s3:GetObject on arn:aws:s3:::etl-settings/credential.json"},
		"S3, no such bucket":      {here, "s3://no-such-bucket-here/x", stile.ErrRefused, 404, ""},
		"S3, too long":            {here, "s3://" + stage.Settings + "/long", stile.ErrTemporary, 0, "longer than 1048576 bytes"},
		"GCS, not allowed":        {here, "gs://" + stage.Warehouse + "/" + stage.OrdersName, stile.ErrRefused, 403, "grant roles/storage.objectViewer"},
		"GCS, missing":            {here, "gs://configs/missing", stile.ErrRefused, 404, ""},
		"GCS, too long":           {here, "gs://configs/long", stile.ErrTemporary, 0, "longer than 1048576 bytes"},
		"https, no such host":     {here, "https://elsewhere.example/c.yaml", stile.ErrTemporary, 0, "its name does not resolve"},
		"no AWS":                  {location.Reader{}, "s3://bucket/key", stile.ErrMisuse, 0, "nothing here can read s3://"},
		"no Google":               {location.Reader{}, "gs://bucket/key", stile.ErrMisuse, 0, "nothing here can read gs://"},
		"no file":                 {here, filepath.Join(t.TempDir(), "missing"), stile.ErrMisuse, 0, "no such file"},
		"a folder":                {here, t.TempDir(), stile.ErrMisuse, 0, "directory"},
		"nothing":                 {here, "", stile.ErrMisuse, 0, "no file is named"},
		"http":                    {here, "http://storage.googleapis.com/x", stile.ErrMisuse, 0, "not http://"},
		"an odd scheme":           {here, strings.Repeat("x", 1000) + "://y", stile.ErrMisuse, 0, "not xxxxxxxxxxxxxxxxxxxx://"},
		"no key":                  {here, "s3://bucket", stile.ErrMisuse, 0, "want s3://BUCKET/NAME"},
		"an empty key":            {here, "gs://bucket/", stile.ErrMisuse, 0, "want gs://BUCKET/NAME"},
		"no bucket":               {here, "s3:///key", stile.ErrMisuse, 0, "want s3://BUCKET/NAME"},
		"a bucket that is a host": {here, "s3://evil.example:443@x/key", stile.ErrMisuse, 0, "want s3://BUCKET/NAME"},
		"a bucket in capitals":    {here, "s3://Bucket/key", stile.ErrMisuse, 0, "want s3://BUCKET/NAME"},
		"a user name":             {here, "https://me:secretpass@www.googleapis.com/x", stile.ErrMisuse, 0, "user name"},
		"no host":                 {here, "https:///x", stile.ErrMisuse, 0, "malformed"},
		"not a URL":               {here, "https://%zz/secretpass", stile.ErrMisuse, 0, "malformed"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := c.reader.Read(t.Context(), c.where)
			var e *stile.Error
			if !errors.As(err, &e) || !errors.Is(err, c.kind) || e.Status != c.status || got != nil {
				t.Fatalf("got %d bytes, %v; want kind %v and status %d", len(got), err, c.kind, c.status)
			}
			if text := err.Error() + " " + e.Hint; !strings.Contains(text, c.words) || strings.Contains(text, "secretpass") {
				t.Errorf("got %s, want the words %q", text, c.words)
			}
		})
	}
}

// TestRedirectIsNotFollowed: a signed or bearer request must not travel on.
func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	for host, where := range map[string]string{
		"www.googleapis.com":                      "https://www.googleapis.com/c.yaml?sig=hushhush",
		"storage.googleapis.com":                  "gs://configs/exact",
		"etl-settings.s3.eu-west-1.amazonaws.com": "s3://etl-settings/credential.json",
	} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			scene, here := world(t)
			scene.World.Faults.Add(lab.Fault{Host: host, Status: http.StatusFound, Header: http.Header{"Location": {"https://oauth2.googleapis.com/stolen"}}})
			scene.World.Faults.Add(lab.Fault{Host: "oauth2.googleapis.com", Replace: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				t.Error("the redirect was followed")
			})})
			_, err := here.Read(t.Context(), where)
			if err == nil || !strings.Contains(err.Error(), "answered 302: a redirect, which is not followed") || strings.Contains(err.Error(), "hushhush") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestRegionOfTheAnswer: a region that an answer names is not trusted to be one.
func TestRegionOfTheAnswer(t *testing.T) {
	t.Parallel()
	scene, here := world(t)
	scene.World.Faults.Add(lab.Fault{Host: "etl-settings.s3.eu-west-1.amazonaws.com", Status: http.StatusMovedPermanently,
		Header: http.Header{"X-Amz-Bucket-Region": {"evil.example/?"}}})
	if _, err := here.Read(t.Context(), "s3://etl-settings/credential.json"); !errors.Is(err, stile.ErrMisuse) && !errors.Is(err, stile.ErrTemporary) {
		t.Errorf("got %v", err)
	}
}

func TestStaleSignatureIsRefused(t *testing.T) {
	t.Parallel()
	_, here := world(t)
	here.Clock = func() time.Time { return time.Now().Add(-time.Hour) }
	_, err := here.Read(t.Context(), "s3://"+stage.Settings+"/credential.json")
	var e *stile.Error
	if !errors.As(err, &e) || e.Status != http.StatusForbidden {
		t.Errorf("got %v", err)
	}
}

func TestReadGivesUp(t *testing.T) {
	t.Parallel()
	scene, here := world(t)
	scene.World.Faults.Add(lab.Fault{Delay: time.Hour})
	why := errors.New("the time is up")
	for _, where := range []string{"s3://" + stage.Settings + "/credential.json", "gs://configs/exact", "https://www.googleapis.com/x"} {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, why)
		defer cancel()
		if _, err := here.Read(ctx, where); !errors.Is(err, why) {
			t.Errorf("%s: got %v", where, err)
		}
	}
}

// FuzzRead: no location makes the reader ask a host other than the one that it names, or panic.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{"s3://bucket/key", "gs://bucket/a/b?c#d", "https://h/p?q", "https://u@h", "s3://a.b/../x", "gs://../x", "x://", "://", "s3://b%2F/x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, where string) {
		if !strings.Contains(where, "://") {
			return // a path
		}
		here := location.Reader{
			Client: &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
				if host := req.URL.Hostname(); strings.HasPrefix(where, "s3://") && !strings.HasSuffix(host, "s3.eu-west-1.amazonaws.com") ||
					strings.HasPrefix(where, "gs://") && host != "storage.googleapis.com" || req.URL.Scheme != "https" {
					t.Errorf("%q asks %s", where, req.URL)
				}
				return nil, errors.New("nobody there")
			})},
			AWS: func(context.Context) (*fromaws.Caller, error) {
				return &fromaws.Caller{Region: fromaws.FixedRegion("eu-west-1"), Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
					return aws.Credentials{AccessKeyID: "AKIA", SecretAccessKey: "s"}, nil
				})}, nil
			},
			Google: func(context.Context) (stile.Credential, error) {
				return stile.Credential{Token: stile.NewSecret("token")}, nil
			},
		}
		if _, err := here.Read(t.Context(), where); err == nil {
			t.Errorf("%q was read", where)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
