// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"golang.org/x/oauth2"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/from/aws/awschain"
	fromgcp "github.com/stile-project/stile/from/gcp"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/lab/stage"
	toaws "github.com/stile-project/stile/to/aws"
	"github.com/stile-project/stile/to/aws/awscreds"
	togcp "github.com/stile-project/stile/to/gcp"
	"github.com/stile-project/stile/to/gcp/oauth2source"
)

// What reads the objects here is the part of the vendors' libraries that a credential goes into. Their clients for storage
// take longer to compile than a first look should, and read the same objects in example_test.go.

// fromAWS is the first story: the code between the steps is what a program on EC2 would have.
func fromAWS(a *actor) (story, error) {
	client, err := a.server.Client(a.scene.EC2)
	if err != nil {
		return story{}, err
	}
	a.begin("A workload in AWS reads Google Cloud",
		"An EC2 instance with the role etl-role wants gs://"+stage.Warehouse+"/"+stage.OrdersName+". It holds no Google key.")
	source, err := awschain.Find(a.ctx, awschain.Options{Client: client, AllowNodeRole: true}) // the machine that runs this may be a pod
	if err != nil {
		return story{}, err
	}
	tokens := keep.New(stile.Cross(source, &togcp.AccessToken{Provider: stage.Provider, ServiceAccount: stage.Reader, Client: client}))
	defer tokens.Close()

	ok := a.does("asks Stile for a Google access token", func(ctx context.Context) (outcome, error) {
		cred, err := tokens.Credential(ctx)
		return outcome{"an access token of " + cred.Principal, cred.Expires}, err
	})
	ok = ok && a.does("reads the object with Google's oauth2 library", func(ctx context.Context) (outcome, error) {
		return readWarehouse(ctx, tokens, client)
	})
	ok = ok && a.does("asks again: the token is kept, so no cloud is asked", func(ctx context.Context) (outcome, error) {
		cred, err := tokens.Credential(ctx)
		return outcome{"the same token, from memory", cred.Expires}, err
	})
	if !ok {
		return a.tale, nil
	}
	ids := keep.New(stile.Cross(source, &togcp.IDToken{Provider: stage.Provider, ServiceAccount: stage.Reader, TokenAudience: a.scene.Function, Client: client}))
	defer ids.Close()
	a.does("calls a function that wants a Google ID token", func(ctx context.Context) (outcome, error) {
		return callFunction(ctx, ids, client, a.scene.Function)
	})
	return a.tale, nil
}

func readWarehouse(ctx context.Context, tokens *keep.Keeper, client *http.Client) (outcome, error) {
	url := "https://storage.googleapis.com/storage/v1/b/" + stage.Warehouse + "/o/" + stage.OrdersName + "?alt=media"
	body, err := bearing(ctx, tokens, client, url, "Cloud Storage")
	if err != nil {
		return outcome{}, err
	}
	return outcome{got: fmt.Sprintf("%d bytes: %s", len(body), firstLine(body))}, read(string(body), stage.Orders, "the object")
}

func callFunction(ctx context.Context, ids *keep.Keeper, client *http.Client, url string) (outcome, error) {
	body, err := bearing(ctx, ids, client, url, "the function")
	return outcome{got: firstLine(body)}, err
}

// bearing gets url with Google's oauth2 library, which asks Stile for the token and sends it along.
func bearing(ctx context.Context, tokens *keep.Keeper, client *http.Client, url, who string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return ask(oauth2.NewClient(context.WithValue(ctx, oauth2.HTTPClient, client), oauth2source.TokenSource(ctx, tokens)), req, who)
}

// fromGoogle is the second story.
func fromGoogle(a *actor) (story, error) {
	client, err := a.server.Client(a.scene.VM)
	if err != nil {
		return story{}, err
	}
	a.begin("A workload in Google Cloud reads AWS",
		"A Compute Engine machine running as resizer@ wants s3://"+stage.Images+"/"+stage.CatName+". It holds no AWS key.")
	session := keep.New(stile.Cross(
		&fromgcp.Metadata{Client: client},
		&toaws.Role{ARN: stage.FromGCP, Region: stage.Region, WebAudience: stage.ImagesAudience, Client: client}))
	defer session.Close()

	ok := a.does("asks Stile for an AWS session", func(ctx context.Context) (outcome, error) {
		cred, err := session.Credential(ctx)
		return outcome{"a session of " + cred.Principal, cred.Expires}, err
	})
	bucket := imageStore{awscreds.Provider(session), client}
	ok = ok && a.does("reads the object with the AWS SDK's signer", bucket.read)
	if ok {
		a.does("writes one as well", bucket.write)
	}
	return a.tale, nil
}

// An imageStore is the bucket of images, for one who holds an AWS session.
type imageStore struct {
	session aws.CredentialsProvider
	client  *http.Client
}

func (b imageStore) read(ctx context.Context) (outcome, error) {
	body, err := b.ask(ctx, http.MethodGet, stage.CatName, "")
	if err != nil {
		return outcome{}, err
	}
	return outcome{got: fmt.Sprintf("%d bytes", len(body))}, read(string(body), stage.Cat, "the object")
}

func (b imageStore) write(ctx context.Context) (outcome, error) {
	_, err := b.ask(ctx, http.MethodPut, "cat-small.png", "a smaller cat")
	return outcome{got: "s3://" + stage.Images + "/cat-small.png is written"}, err
}

// ask sends one request, which the AWS SDK's signer has signed together with its body.
func (b imageStore) ask(ctx context.Context, method, key, body string) ([]byte, error) {
	keys, err := b.session.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	url := "https://" + stage.Images + ".s3." + stage.Region + ".amazonaws.com/" + key
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	hash := fmt.Sprintf("%x", sha256.Sum256([]byte(body)))
	req.Header.Set("X-Amz-Content-Sha256", hash)
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }) // as S3 wants its paths
	if err := signer.SignHTTP(ctx, keys, req, hash, "s3", stage.Region, time.Now()); err != nil {
		return nil, err
	}
	return ask(b.client, req, "S3")
}

// ask gives the body of an answer that is 200 OK, and else an error that names who gave another.
func ask(client *http.Client, req *http.Request, who string) ([]byte, error) {
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", who, res.Status)
	}
	return io.ReadAll(res.Body)
}

func firstLine(body []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	return line
}
