// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"cloud.google.com/go/auth/httptransport"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"google.golang.org/api/option"
	"google.golang.org/api/storage/v1"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/from/aws/awschain"
	fromgcp "github.com/stile-project/stile/from/gcp"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/lab/stage"
	toaws "github.com/stile-project/stile/to/aws"
	"github.com/stile-project/stile/to/aws/awscreds"
	togcp "github.com/stile-project/stile/to/gcp"
	"github.com/stile-project/stile/to/gcp/googleauth"
)

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
	ok = ok && a.does("reads the object with Google's own SDK", func(ctx context.Context) (outcome, error) {
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
	signed, err := httptransport.NewClient(&httptransport.Options{Credentials: googleauth.Credentials(tokens), BaseRoundTripper: client.Transport})
	if err != nil {
		return outcome{}, err
	}
	service, err := storage.NewService(ctx, option.WithHTTPClient(signed))
	if err != nil {
		return outcome{}, err
	}
	res, err := service.Objects.Get(stage.Warehouse, stage.OrdersName).Context(ctx).Download()
	if err != nil {
		return outcome{}, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return outcome{}, err
	}
	return outcome{got: fmt.Sprintf("%d bytes: %s", len(body), firstLine(body))}, read(string(body), stage.Orders, "the object")
}

func callFunction(ctx context.Context, ids *keep.Keeper, client *http.Client, url string) (outcome, error) {
	signed, err := httptransport.NewClient(&httptransport.Options{Credentials: googleauth.IDTokenCredentials(ids), BaseRoundTripper: client.Transport})
	if err != nil {
		return outcome{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return outcome{}, err
	}
	res, err := signed.Do(req)
	if err != nil {
		return outcome{}, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return outcome{}, err
	}
	if res.StatusCode != http.StatusOK {
		return outcome{}, fmt.Errorf("the function answered %s", res.Status)
	}
	return outcome{got: firstLine(body)}, nil
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
	bucket := s3.New(s3.Options{Region: stage.Region, Credentials: awscreds.Provider(session), HTTPClient: client})
	ok = ok && a.does("reads the object with the AWS SDK", func(ctx context.Context) (outcome, error) {
		return readImages(ctx, bucket)
	})
	if ok {
		a.does("writes one as well", func(ctx context.Context) (outcome, error) {
			_, err := bucket.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(stage.Images), Key: aws.String("cat-small.png"), Body: strings.NewReader("a smaller cat")})
			return outcome{got: "s3://" + stage.Images + "/cat-small.png is written"}, err
		})
	}
	return a.tale, nil
}

func readImages(ctx context.Context, bucket *s3.Client) (outcome, error) {
	res, err := bucket.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(stage.Images), Key: aws.String(stage.CatName)})
	if err != nil {
		return outcome{}, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return outcome{}, err
	}
	return outcome{got: fmt.Sprintf("%d bytes", len(body))}, read(string(body), stage.Cat, "the object")
}

func firstLine(body []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	return line
}
