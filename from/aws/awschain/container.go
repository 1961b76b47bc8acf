// SPDX-License-Identifier: Apache-2.0

package awschain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/remote"
)

const (
	containerEndpoint = "container endpoint"
	containerHost     = "http://169.254.170.2"
	containerTimeout  = 10 * time.Second // an EKS agent asks EKS before it answers

	relativeVariable = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
	fullVariable     = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
	tokenVariable    = "AWS_CONTAINER_AUTHORIZATION_TOKEN"
)

// container is an endpoint that gives out a role's keys: ECS and Fargate, EKS Pod Identity, Lambda with SnapStart, and
// brokers on the same machine.
// Source: AWS SDKs and Tools Reference Guide, "Container credential provider".
func (s *search) container() place {
	p := place{name: containerEndpoint}
	relative, full := s.env.get(relativeVariable), s.env.get(fullVariable)
	c := &containerProvider{client: s.linkLocal(0), token: s.containerToken()}
	switch {
	case relative != "":
		c.url = containerHost + relative
		p.detail = relativeVariable + " at 169.254.170.2"
		if full != "" {
			p.detail += "; " + fullVariable + " is set as well, and not used: the relative one wins"
		}
		if !strings.HasPrefix(relative, "/") {
			p.wrong = misconfigured("", "%s does not begin with a slash", relativeVariable)
		}
	case full != "":
		c.url = full
		p.detail, p.wrong = checkFullURI(full)
	default:
		p.detail = s.env.absent(relativeVariable, fullVariable)
		return p
	}
	p.here, p.id = true, s.containerID(c.url)
	p.open = func(aws.Config) aws.CredentialsProvider { return c }
	return p
}

// trusted are the hosts that may be asked over plain http, beside loopback ones.
var trusted = []string{"169.254.170.2", "169.254.170.23", "fd00:ec2::23"}

// checkFullURI refuses to send a token, or to take credentials, over plain http from anywhere but this machine. Names
// other than localhost are not resolved: what they mean may have changed by the time of the request.
func checkFullURI(full string) (detail string, wrong error) {
	u, err := url.Parse(full)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil {
		return fullVariable + " is not a URL", misconfigured("want http://127.0.0.1:PORT/PATH, or https", "%s is not an http or https URL", fullVariable)
	}
	detail = fullVariable + " at " + u.Host
	host := u.Hostname()
	ip := net.ParseIP(host)
	allowed := host == "localhost" || ip != nil && ip.IsLoopback()
	for _, address := range trusted {
		allowed = allowed || ip.Equal(net.ParseIP(address))
	}
	if u.Scheme == "http" && !allowed {
		return detail, misconfigured("use https, or an address of this machine", "%s names %.100q: over plain http only loopback addresses, %s are asked",
			fullVariable, u.Host, strings.Join(trusted, ", "))
	}
	return detail, nil
}

// containerToken is what the Authorization header has to hold, word for word. The file wins and is read each time.
func (s *search) containerToken() func() (stile.Secret, error) {
	if file := s.env.get(tokenVariable + "_FILE"); file != "" {
		return func() (stile.Secret, error) {
			token, err := tokenFile(file).GetIdentityToken()
			return stile.NewSecret(string(token)), err
		}
	}
	token := s.env.get(tokenVariable)
	return func() (stile.Secret, error) {
		if strings.ContainsAny(token, "\r\n\x00") {
			return stile.Secret{}, errors.New(tokenVariable + " holds more than one line")
		}
		return stile.NewSecret(token), nil
	}
}

// containerProvider asks the endpoint.
type containerProvider struct {
	client *http.Client
	url    string
	token  func() (stile.Secret, error)
}

// IsCredentialsProvider makes this answer to the AWS SDK's name for it.
func (c *containerProvider) IsCredentialsProvider(target aws.CredentialsProvider) bool {
	_, ok := target.(*endpointcreds.Provider)
	return ok
}

// Retrieve makes one request.
func (c *containerProvider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	q := remote.Request{Op: findCredentials, Cloud: "the container endpoint", Method: http.MethodGet, URL: c.url,
		Header: http.Header{"Accept": {"application/json"}}, Timeout: containerTimeout}
	token, err := c.token()
	if err != nil {
		return aws.Credentials{}, &stile.Error{Op: q.Op, Err: fmt.Errorf("%w: %w", stile.ErrNoIdentity, err),
			Hint: "the platform writes the token: see that it is mounted, and that this user may read it"}
	}
	if !token.IsZero() {
		q.Header.Set("Authorization", token.Reveal())
		q.Secrets = []stile.Secret{token}
	}
	res, err := remote.Do(ctx, c.client, q)
	if err != nil {
		return aws.Credentials{}, err
	}
	return readContainer(q, res)
}

func readContainer(q remote.Request, res *remote.Response) (aws.Credentials, error) {
	var a struct {
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		Token           string
		AccountID       string `json:"AccountId"`
		Expiration      *time.Time
		Code, Message   string
	}
	err := json.Unmarshal(res.Body, &a)
	switch {
	case !res.OK() && err != nil:
		return aws.Credentials{}, noContainerIdentity(q.Refusal(res, "", string(res.Body), "")) // agents answer in plain text
	case !res.OK():
		return aws.Credentials{}, noContainerIdentity(q.Refusal(res, a.Code, a.Message, ""))
	case err != nil:
		return aws.Credentials{}, q.Malformed(res, "not JSON with credentials")
	case a.Code != "" && !strings.EqualFold(a.Code, "Success"), a.AccessKeyID == "" && a.Message != "":
		return aws.Credentials{}, noContainerIdentity(q.Refusal(res, a.Code, a.Message, ""))
	case a.AccessKeyID == "" || a.SecretAccessKey == "":
		return aws.Credentials{}, q.Malformed(res, "credentials with a part missing")
	}
	creds := aws.Credentials{AccessKeyID: a.AccessKeyID, SecretAccessKey: a.SecretAccessKey, SessionToken: a.Token, AccountID: a.AccountID, Source: endpointcreds.ProviderName}
	if a.Expiration != nil {
		creds.CanExpire, creds.Expires = true, *a.Expiration
	}
	return creds, nil
}

// noContainerIdentity turns the endpoint's no into what it means here: this workload has no role, or may not have it.
func noContainerIdentity(e *stile.Error) error {
	if e.Err == stile.ErrRefused { //nolint:errorlint // the bare kind, as Refusal sets it
		e.Err = fmt.Errorf("%w: the workload was given an endpoint, and the endpoint gives it nothing", stile.ErrNoIdentity)
		e.Hint = "see that the task has a task role, or the pod's service account a Pod Identity association whose role trusts pods.eks.amazonaws.com"
	}
	return e
}
