// SPDX-License-Identifier: Apache-2.0

package assemble_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/lab"
	labaws "github.com/stile-project/stile/lab/aws"
	"github.com/stile-project/stile/lab/oidc"
	"github.com/stile-project/stile/lab/stage"
)

var labOptions = lab.Options{}

type cloud int

const (
	google cloud = iota
	amazon
	itself // the token, for whoever takes one
)

// A target is a column of the table: how a crossing to it is described, and what proves that its credential works.
type target struct {
	name     string
	cloud    cloud
	describe func(at place) config.To
	use      func(t *testing.T, w *stage.Wide, at place, cred stile.Credential) error
}

var targets = []target{
	{"Google, direct", google, func(at place) config.To {
		return config.To{GCP: &config.ToGCP{Provider: at.provider}}
	}, func(_ *testing.T, w *stage.Wide, at place, cred stile.Credential) error {
		return readGoogle(w, at.directBucket, cred)
	}},
	{"Google, as a service account", google, func(at place) config.To {
		return config.To{GCP: &config.ToGCP{Provider: at.provider, ServiceAccount: at.account}}
	}, func(_ *testing.T, w *stage.Wide, at place, cred stile.Credential) error {
		return readGoogle(w, at.bucket, cred)
	}},
	{"Google, within a boundary", google, func(at place) config.To {
		return config.To{GCP: &config.ToGCP{Provider: at.provider, ServiceAccount: at.account, Boundary: &config.Boundary{Rules: []config.BoundaryRule{{
			Resource: "//storage.googleapis.com/projects/_/buckets/" + at.bucket, Permissions: []string{"inRole:roles/storage.objectViewer"}}}}}}
	}, func(_ *testing.T, w *stage.Wide, at place, cred stile.Credential) error {
		return readGoogle(w, at.bucket, cred)
	}},
	{"Google ID token", google, func(at place) config.To {
		return config.To{GCP: &config.ToGCP{Provider: at.provider, ServiceAccount: at.account, IDToken: &config.IDToken{Audience: at.function}}}
	}, func(_ *testing.T, w *stage.Wide, at place, cred stile.Credential) error {
		return callFunction(w, at.function, cred)
	}},
	{"AWS role", amazon, func(at place) config.To {
		return config.To{AWS: &config.ToAWS{Role: at.role, Region: stage.Region}}
	}, func(t *testing.T, w *stage.Wide, at place, cred stile.Credential) error {
		t.Helper()
		return readAWS(t, w, at.s3, cred)
	}},
	{"AWS, one role further", amazon, func(at place) config.To {
		return config.To{AWS: &config.ToAWS{Role: at.role, Region: stage.Region, Then: &config.NextRole{Role: nextRole}}}
	}, func(t *testing.T, w *stage.Wide, at place, cred stile.Credential) error {
		t.Helper()
		return readAWS(t, w, at.s3, cred)
	}},
	{"the token itself", itself, func(at place) config.To {
		return config.To{Token: &config.ToToken{Audience: at.tokenAudience}}
	}, func(t *testing.T, w *stage.Wide, at place, cred stile.Credential) error {
		t.Helper()
		return verify(t, w, at, cred)
	}},
}

const nextRole = "arn:aws:iam::" + stage.Account + ":role/next-role"

// addNextRole makes a role that the given one may become.
func addNextRole(t *testing.T, w *stage.Wide, first, bucket string) {
	t.Helper()
	if err := w.World.AWS.AddRole(labaws.Role{Account: stage.Account, Name: "next-role",
		Trust:       `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + first + `"},"Action":"sts:AssumeRole"}]}`,
		Permissions: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::` + bucket + `/*"}]}`,
	}); err != nil {
		t.Fatal(err)
	}
}

func readAll(r io.Reader) string {
	data, err := io.ReadAll(r)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func readGoogle(w *stage.Wide, bucket string, cred stile.Credential) error {
	client := &http.Client{Transport: w.World.Network(nil)}
	status, body, err := get(client, "https://storage.googleapis.com/storage/v1/b/"+bucket+"/o/"+stage.OrdersName+"?alt=media", cred.Token.Reveal())
	if err != nil || status != http.StatusOK || body != stage.Orders {
		return fmt.Errorf("reading gs://%s: %d %.200s %w", bucket, status, body, err)
	}
	return nil
}

func callFunction(w *stage.Wide, url string, cred stile.Credential) error {
	status, body, err := get(&http.Client{Transport: w.World.Network(nil)}, url, cred.Token.Reveal())
	if err != nil || status != http.StatusOK {
		return fmt.Errorf("calling the function: %d %.200s %w", status, body, err)
	}
	return nil
}

func readAWS(t *testing.T, w *stage.Wide, bucket string, cred stile.Credential) error {
	t.Helper()
	c := cred.Session
	client := s3.New(s3.Options{Region: stage.Region, HTTPClient: &http.Client{Transport: w.World.Network(nil)},
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey.Reveal(), c.SessionToken.Reveal())})
	res, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(stage.CatName)})
	if err != nil {
		return fmt.Errorf("reading s3://%s: %w", bucket, err)
	}
	defer func() { _ = res.Body.Close() }()
	if body := readAll(res.Body); body != stage.Cat {
		return fmt.Errorf("s3://%s holds %q", bucket, body)
	}
	return nil
}

// verify does what a service does that takes the issuer's tokens.
func verify(t *testing.T, w *stage.Wide, at place, cred stile.Credential) error {
	t.Helper()
	_, claims, err := oidc.Unverified(cred.Token.Reveal())
	if err != nil {
		return err
	}
	issuer, _ := claims["iss"].(string)
	if _, err := (oidc.Verifier{Net: w.World.Network(nil)}).Verify(t.Context(), issuer, cred.Token.Reveal()); err != nil {
		return err
	}
	if aud := fmt.Sprint(claims["aud"]); aud != at.tokenAudience && aud != "["+at.tokenAudience+"]" {
		return fmt.Errorf("made out to %s, want %s", aud, at.tokenAudience)
	}
	return nil
}
