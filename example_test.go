// SPDX-License-Identifier: Apache-2.0

package stile_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"cloud.google.com/go/auth/httptransport"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/oauth2"
	"google.golang.org/api/option"
	"google.golang.org/api/storage/v1"
	transport "google.golang.org/api/transport/http"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/from/aws/awschain"
	fromgcp "github.com/stile-project/stile/from/gcp"
	fromoidc "github.com/stile-project/stile/from/oidc"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/lab"
	"github.com/stile-project/stile/lab/stage"
	toaws "github.com/stile-project/stile/to/aws"
	"github.com/stile-project/stile/to/aws/awscreds"
	togcp "github.com/stile-project/stile/to/gcp"
	"github.com/stile-project/stile/to/gcp/googleauth"
	"github.com/stile-project/stile/to/gcp/oauth2source"
)

// The examples run in the lab. A program in the clouds leaves every Client out: nil is the usual network.
const (
	provider = stage.Provider // projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER
	reader   = stage.Reader   // NAME@PROJECT.iam.gserviceaccount.com
	role     = stage.FromGCP  // arn:aws:iam::ACCOUNT:role/NAME
	audience = stage.ImagesAudience
)

// An AWS workload reads Google Cloud Storage as a service account.
func Example_awsToGoogle() {
	ctx, client := onEC2()

	source, err := awschain.Find(ctx, awschain.Options{Client: client})
	check(err)
	tokens := keep.New(stile.Cross(source, &togcp.AccessToken{Provider: provider, ServiceAccount: reader, Client: client}))
	service, err := storageService(ctx, client, option.WithAuthCredentials(googleauth.Credentials(tokens)))
	check(err)

	object, err := service.Objects.Get(stage.Warehouse, stage.OrdersName).Context(ctx).Download()
	check(err)
	show(object)
	// Output:
	// 200 OK
	// order,total
	// 1001,42.00
}

// With no service account between, the bucket's own policy names the AWS role.
func Example_directAccess() {
	ctx, client := onEC2()

	source, err := awschain.Find(ctx, awschain.Options{Client: client})
	check(err)
	tokens := keep.New(stile.Cross(source, &togcp.AccessToken{Provider: provider, Client: client}))
	service, err := storageService(ctx, client, option.WithAuthCredentials(googleauth.Credentials(tokens)))
	check(err)

	object, err := service.Objects.Get(stage.Direct, stage.OrdersName).Context(ctx).Download()
	check(err)
	show(object)
	// Output:
	// 200 OK
	// order,total
	// 1001,42.00
}

// An AWS workload calls a service that checks Google ID tokens, such as Cloud Run.
func Example_idToken() {
	ctx, client := onEC2()
	url := scene.Function

	source, err := awschain.Find(ctx, awschain.Options{Client: client})
	check(err)
	ids := keep.New(stile.Cross(source, &togcp.IDToken{Provider: provider, ServiceAccount: reader, TokenAudience: url, Client: client}))
	caller, err := httptransport.NewClient(&httptransport.Options{Credentials: googleauth.IDTokenCredentials(ids), BaseRoundTripper: client.Transport})
	check(err)

	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	check(err)
	answer, err := caller.Do(request)
	check(err)
	show(answer)
	// Output:
	// 200 OK
	// Hello, etl-reader@demo-proj.iam.gserviceaccount.com, this is hello.
}

// Libraries that take an oauth2.TokenSource take a crossing too.
func Example_oauth2() {
	ctx, client := onEC2()
	source, err := awschain.Find(ctx, awschain.Options{Client: client})
	check(err)
	tokens := keep.New(stile.Cross(source, &togcp.AccessToken{Provider: provider, ServiceAccount: reader, Client: client}))

	signed := oauth2.NewClient(context.WithValue(ctx, oauth2.HTTPClient, client), oauth2source.TokenSource(ctx, tokens))

	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://storage.googleapis.com/storage/v1/b/warehouse/o/orders.csv?alt=media", nil)
	check(err)
	answer, err := signed.Do(request)
	check(err)
	show(answer)
	// Output:
	// 200 OK
	// order,total
	// 1001,42.00
}

// A Google Cloud workload reads S3 as an AWS role.
func Example_googleToAWS() {
	ctx, client := onComputeEngine()

	target := &toaws.Role{ARN: role, Region: "eu-west-1", WebAudience: audience, Client: client}
	session := keep.New(stile.Cross(&fromgcp.Metadata{Client: client}, target))
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion("eu-west-1"), config.WithCredentialsProvider(awscreds.Provider(session)), config.WithHTTPClient(client))
	check(err)

	object, err := s3.NewFromConfig(cfg).GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(stage.Images), Key: aws.String(stage.CatName)})
	check(err)
	defer func() { _ = object.Body.Close() }()
	body, err := io.ReadAll(object.Body)
	check(err)
	fmt.Println(string(body) == stage.Cat)
	// Output: true
}

// A GitHub Actions job becomes an AWS role, and reaches Google Cloud as itself. GitHub makes out a token for each.
// The federated token ends when GitHub's does, after 5 minutes; that of a service account lasts an hour.
func Example_gitHubActions() {
	forget()
	wide, err := stage.Everywhere(lab.Options{})
	check(err)
	ctx, client := context.Background(), &http.Client{Transport: wide.World.Network(nil)}

	source := &fromoidc.GitHubActions{Lookup: wide.Runner.Variables().Lookup, Client: client}
	session, err := stile.Cross(source, &toaws.Role{ARN: stage.GitHub.Role(), Region: "eu-west-1", Client: client}).Credential(ctx)
	check(err)
	token, err := stile.Cross(source, &togcp.AccessToken{Provider: stage.GitHub.Provider(), Client: client}).Credential(ctx)
	check(err)

	fmt.Println(session.Kind, "in account", session.Session.AccountID)
	fmt.Println(token.Kind, "for", time.Until(token.Expires).Round(time.Minute))
	// Output:
	// AWS session in account 111122223333
	// access token for 5m0s
}

// A Crossing alone exchanges at every call. What it gives says when it expires and whom it speaks for.
func ExampleCross() {
	ctx, client := onComputeEngine()
	crossing := stile.Cross(&fromgcp.Metadata{Client: client}, &toaws.Role{ARN: role, Region: "eu-west-1", WebAudience: audience, Client: client})

	cred, err := crossing.Credential(ctx)
	check(err)
	fmt.Println(cred.Kind, "of", cred.Principal)
	fmt.Println("in account", cred.Session.AccountID, "for", time.Until(cred.Expires).Round(time.Minute))
	fmt.Println("secret access key:", cred.Session.SecretAccessKey)
	// Output:
	// AWS session of arn:aws:sts::111122223333:assumed-role/from-gcp/resizer@demo-proj.iam.gserviceaccount.com
	// in account 111122223333 for 1h0m0s
	// secret access key: [secret]
}

// Keepers that share a Memory share a credential exactly when everything that decides it is equal: an ID token for one
// audience is never given out for another.
func Example_sharedMemory() {
	ctx, client := onEC2()
	source, err := awschain.Find(ctx, awschain.Options{Client: client})
	check(err)
	memory := keep.NewMemory()
	idToken := func(audience string) stile.Secret {
		ids := memory.Keep(stile.Cross(source, &togcp.IDToken{Provider: provider, ServiceAccount: reader, TokenAudience: audience, Client: client}), keep.Terms{})
		cred, err := ids.Credential(ctx)
		check(err)
		return cred.Token
	}

	first, again, other := idToken("https://one.example"), idToken("https://one.example"), idToken("https://two.example")
	fmt.Println("one audience, twice:", first.Reveal() == again.Reveal())
	fmt.Println("another audience:", first.Reveal() == other.Reveal())
	// Output:
	// one audience, twice: true
	// another audience: false
}

// A refusal says which cloud spoke, in its own words, and what usually mends it.
func ExampleError() {
	ctx, client := onComputeEngine()
	target := &toaws.Role{ARN: role, Region: "eu-west-1", WebAudience: "https://someone-else.example", Client: client}

	_, err := keep.New(stile.Cross(&fromgcp.Metadata{Client: client}, target)).Credential(ctx)
	var refusal *stile.Error
	if errors.As(err, &refusal) {
		fmt.Println(refusal.Cloud, "answered", refusal.Status, refusal.Code)
		fmt.Println(refusal.Message)
	}
	fmt.Println("refused:", errors.Is(err, stile.ErrRefused), "- worth another try:", errors.Is(err, stile.ErrTemporary))
	// Output:
	// AWS STS answered 403 AccessDenied
	// Not authorized to perform sts:AssumeRoleWithWebIdentity
	// refused: true - worth another try: false
}

// The lab goes wrong when told to.
func Example_faults() {
	ctx, client := onEC2()
	source, err := awschain.Find(ctx, awschain.Options{Client: client})
	check(err)
	crossing := stile.Cross(source, &togcp.AccessToken{Provider: provider, Client: client}) // a keeper would try again by itself

	scene.World.Faults.Add(lab.Fault{Host: "sts.googleapis.com", Times: 1, Status: http.StatusServiceUnavailable, RetryAfter: 3})
	_, err = crossing.Credential(ctx)
	var e *stile.Error
	fmt.Println(errors.As(err, &e), errors.Is(err, stile.ErrTemporary), e.RetryAfter)

	scene.World.SkewAWS(20 * time.Minute)
	_, err = crossing.Credential(ctx)
	fmt.Println(errors.Is(err, stile.ErrRefused))

	scene.World.SkewAWS(0)
	_, err = crossing.Credential(ctx)
	fmt.Println(err)
	// Output:
	// true true 3s
	// true
	// <nil>
}

// The lab in a test of your own: a network for the workload, and a journal of what each cloud checked.
func Example_lab() {
	forget()

	scene, err := stage.Set(lab.Options{})
	check(err)
	client := &http.Client{Transport: scene.World.Network(scene.EC2)}
	source, err := awschain.Find(context.Background(), awschain.Options{Client: client})
	check(err)
	tokens := keep.New(stile.Cross(source, &togcp.AccessToken{Provider: stage.Provider, Client: client}))
	_, err = tokens.Credential(context.Background())
	check(err)

	for _, entry := range scene.World.Journal.Take() {
		if entry.Service == "STS" {
			fmt.Println(entry.Cloud, entry.Service, entry.Operation, entry.Status)
		}
	}
	// Output:
	// AWS STS GetCallerIdentity 200
	// Google Cloud STS token exchange 200
}

// scene is the lab in which all examples play.
var scene *stage.Stage

// onEC2 is the context and the network of a program on an EC2 instance with the role etl-role.
func onEC2() (context.Context, *http.Client) {
	return enter(func(s *stage.Stage) *lab.Place { return s.EC2 })
}

// onComputeEngine is the same on a Compute Engine machine that runs as resizer@.
func onComputeEngine() (context.Context, *http.Client) {
	return enter(func(s *stage.Stage) *lab.Place { return s.VM })
}

func enter(where func(*stage.Stage) *lab.Place) (context.Context, *http.Client) {
	forget()
	var err error
	scene, err = stage.Set(lab.Options{})
	check(err)
	return context.Background(), &http.Client{Transport: scene.World.Network(where(scene))}
}

// forget hides whatever AWS settings the machine has: the examples' workloads have only what the lab gives them.
func forget() {
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "ECS_") {
			check(os.Unsetenv(name))
		}
	}
	check(os.Setenv("AWS_CONFIG_FILE", os.DevNull))
	check(os.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull))
}

// storageService is storage.NewService over the lab's network, which is the one thing that the real one cannot be told.
func storageService(ctx context.Context, client *http.Client, credentials option.ClientOption) (*storage.Service, error) {
	signed, err := transport.NewTransport(ctx, client.Transport, credentials)
	if err != nil {
		return nil, err
	}
	return storage.NewService(ctx, option.WithHTTPClient(&http.Client{Transport: signed}))
}

func show(answer *http.Response) {
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	check(err)
	fmt.Println(answer.Status)
	fmt.Println(string(body))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
