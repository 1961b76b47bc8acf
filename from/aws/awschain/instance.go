// SPDX-License-Identifier: Apache-2.0

package awschain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/smithy-go"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/remote"
)

const (
	instanceMetadata = "instance metadata"

	// A metadata service is on the same host, so it answers soon or never.
	dialTimeout   = 250 * time.Millisecond
	headerTimeout = 500 * time.Millisecond
)

// instance is the metadata service of an EC2 instance, by version 2 alone.
// Source: EC2 User Guide, "Use the Instance Metadata Service to access instance metadata".
func (s *search) instance() place {
	p := place{name: instanceMetadata, here: true, detail: "at 169.254.169.254", id: s.instanceID()}
	endpoint := s.metadataEndpoint()
	switch {
	case strings.EqualFold(s.env.get("AWS_EC2_METADATA_DISABLED"), "true"):
		p.here, p.detail = false, "AWS_EC2_METADATA_DISABLED is true"
		return p
	case endpoint != "":
		p.detail = "at " + hostOf(endpoint)
	case s.inPod() && !s.options.AllowNodeRole:
		p.detail = "not asked: this is a Kubernetes pod, and what it would give is the node's role"
		p.open = func(aws.Config) aws.CredentialsProvider { return nodeOnly{} }
		return p
	}
	p.open = func(cfg aws.Config) aws.CredentialsProvider {
		trail := &trail{next: s.linkLocal(headerTimeout).Transport}
		return &instanceProvider{ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = s.imds(cfg, trail) }), s, trail}
	}
	return p
}

// metadataEndpoint is where someone said that the metadata service is; empty where nobody did.
func (s *search) metadataEndpoint() string {
	return cmp.Or(s.options.MetadataEndpoint, s.env.get("AWS_EC2_METADATA_SERVICE_ENDPOINT"))
}

// imds is an instance metadata client that gives up in seconds, not minutes, where there is none, and never falls back
// to version 1, which anyone can reach who makes this workload fetch a URL.
func (s *search) imds(cfg aws.Config, transport http.RoundTripper) *imds.Client {
	return imds.NewFromConfig(cfg, func(o *imds.Options) {
		o.EnableFallback = aws.FalseTernary
		o.HTTPClient = &http.Client{Transport: transport}
	})
}

// nodeOnly is the provider in a pod that has nothing of its own.
type nodeOnly struct{}

// Retrieve fails, and says what would give the pod an identity.
func (nodeOnly) Retrieve(context.Context) (aws.Credentials, error) {
	e := &stile.Error{Op: findCredentials, Err: fmt.Errorf("%w: this is a Kubernetes pod with no AWS identity of its own, neither by web identity (IRSA) nor by "+
		"Pod Identity; what instance metadata would give is the node's role, which every pod there shares", stile.ErrNoIdentity),
		Hint: "give the pod's service account a role, by EKS Pod Identity (aws eks create-pod-identity-association) or by IRSA (the annotation " +
			"eks.amazonaws.com/role-arn); to take the node's all the same, allow it by name"}
	return aws.Credentials{}, e
}

// instanceProvider is the AWS SDK's provider, which keeps credentials alive through an outage of the metadata service,
// with errors that say what happened.
type instanceProvider struct {
	*ec2rolecreds.Provider
	search *search
	trail  *trail
}

// IsCredentialsProvider answers for the AWS SDK's provider.
func (p *instanceProvider) IsCredentialsProvider(target aws.CredentialsProvider) bool {
	return aws.IsCredentialsProvider(p.Provider, target)
}

// Retrieve asks for the role's credentials.
func (p *instanceProvider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	p.trail.last.Store(nil)
	creds, err := p.Provider.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, p.search.explainInstance(p.trail, err)
	}
	if creds.AccessKeyID == "" || creds.SecretAccessKey == "" || creds.SessionToken == "" {
		return aws.Credentials{}, &stile.Error{Op: findCredentials, Cloud: instanceMetadata, Status: http.StatusOK,
			Message: "an answer that cannot be read: credentials with a part missing", Err: stile.ErrTemporary}
	}
	return creds, nil
}

// explainInstance tells nothing there, a limit of hops, an instance without a role, and a role that EC2 cannot assume
// from one another.
func (s *search) explainInstance(t *trail, err error) error {
	e := &stile.Error{Op: findCredentials, Cloud: instanceMetadata}
	var said *smithy.GenericAPIError
	last := t.last.Load()
	switch {
	case errors.As(err, &said):
		e.Status, e.Code, e.Message = http.StatusOK, clean(said.Code), clean(said.Message)
		e.Err = fmt.Errorf("%w: the instance has a role that it cannot use", stile.ErrNoIdentity)
		e.Hint = "let the role's trust policy name ec2.amazonaws.com, and see that the role still exists"
	case last != nil && last.err != nil:
		return s.unansweredInstance(e, last)
	case last != nil && last.status >= 300:
		return s.instanceStatus(e, last.status)
	default:
		e.Status, e.Message = http.StatusOK, "an answer that cannot be read"
		e.Hint, e.Err = "something other than EC2's metadata service may be answering there", stile.ErrTemporary
	}
	return e
}

func (s *search) instanceStatus(e *stile.Error, status int) error {
	e.Status = status
	switch {
	case status >= 500 || status == http.StatusTooManyRequests:
		e.Err = stile.ErrTemporary
	case status == http.StatusNotFound:
		return s.nothing(errors.New("it answered 404: this instance has no instance profile with a role, or it is no EC2 instance"))
	case status == http.StatusForbidden:
		return s.nothing(errors.New("it answered 403: it is disabled on this instance (HttpEndpoint), or something else answers there"))
	default:
		return s.nothing(fmt.Errorf("it answered %d, as EC2's does not: something else answers there", status))
	}
	return e
}

func (s *search) unansweredInstance(e *stile.Error, u *outcome) error {
	switch {
	case !u.reached():
		return s.nothing(errors.New("nothing answers at that address"))
	case u.method == http.MethodPut && s.inContainer():
		e.Err = fmt.Errorf("%w: it took the request for a session token and its answer never came: in a container that is the instance's hop limit, "+
			"which lets answers travel one hop where two are needed", stile.ErrNoIdentity)
		e.Hint = "aws ec2 modify-instance-metadata-options --instance-id ID --http-put-response-hop-limit 2, or give the container a role of its own"
		return e
	case u.method == http.MethodPut:
		return s.nothing(errors.New("it did not answer the request for a session token in time"))
	}
	e.Err, e.Hint = fmt.Errorf("%w: it gave a session token and then stopped answering", stile.ErrTemporary), "try again"
	return e
}

// A trail remembers what became of the last request, which the AWS SDK's errors do not tell.
type trail struct {
	next http.RoundTripper
	last atomic.Pointer[outcome]
}

type outcome struct {
	method string
	status int   // of the answer; 0 when none came
	err    error // why none came
}

// RoundTrip passes the request on.
func (t *trail) RoundTrip(req *http.Request) (*http.Response, error) {
	next := t.next
	if next == nil {
		next = http.DefaultTransport
	}
	res, err := next.RoundTrip(req)
	last := &outcome{method: req.Method, err: err}
	if err == nil {
		last.status = res.StatusCode
		res.Body = bounded{io.LimitReader(res.Body, remote.DefaultLimit), res.Body}
	}
	t.last.Store(last)
	return res, err
}

// bounded is a body of which no more is read than a metadata service would send.
type bounded struct {
	io.Reader
	io.Closer
}

// reached reports whether there was anyone to send the request to.
func (u *outcome) reached() bool {
	var dial *net.OpError
	var name *net.DNSError
	return !errors.As(u.err, &name) && (!errors.As(u.err, &dial) || dial.Op != "dial")
}

// linkLocal is a client for what is on this host: no proxy can reach that. patience is how long an answer may take to
// begin; zero is as long as the request may take.
func (s *search) linkLocal(patience time.Duration) *http.Client {
	switch c := s.options.Client.(type) {
	case nil:
		return nearby(awshttp.NewBuildableClient(), patience)
	case *awshttp.BuildableClient:
		return nearby(c, patience)
	case *http.Client:
		return c
	default:
		return &http.Client{Transport: doer{c}}
	}
}

func nearby(c *awshttp.BuildableClient, patience time.Duration) *http.Client {
	t := c.WithDialerOptions(func(d *net.Dialer) { d.Timeout = dialTimeout }).GetTransport()
	t.Proxy, t.ResponseHeaderTimeout = nil, patience
	return &http.Client{Transport: t}
}

// plainClient makes an AWS SDK's client into one of the standard library, with its certificates, proxies and patience.
func plainClient(client aws.HTTPClient) *http.Client {
	switch c := client.(type) {
	case nil:
		return nil
	case *awshttp.BuildableClient:
		return &http.Client{Transport: c.GetTransport(), Timeout: c.GetTimeout()}
	case *http.Client:
		return c
	default:
		return &http.Client{Transport: doer{c}}
	}
}

// doer lets a client stand where a transport is wanted.
type doer struct{ client config.HTTPClient }

// RoundTrip sends the request.
func (d doer) RoundTrip(req *http.Request) (*http.Response, error) { return d.client.Do(req) }

func hostOf(endpoint string) string {
	_, rest, found := strings.Cut(endpoint, "://")
	if !found {
		rest = endpoint
	}
	host, _, _ := strings.Cut(rest, "/")
	return host
}

// clean makes a far side's words fit for an error.
func clean(text string) string { return remote.Request{}.Clean(text) }

// plainly is an error of the AWS SDK without its wrapping, on one line.
func plainly(err error) error {
	var operation *smithy.OperationError
	if errors.As(err, &operation) {
		err = operation.Err
	}
	return errors.New(clean(err.Error()))
}
