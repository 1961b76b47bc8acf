// SPDX-License-Identifier: Apache-2.0

package fromaws

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/jwt"
	"github.com/stile-project/stile/internal/remote"
)

const (
	whoAmI = "ask AWS who this workload is"
	// whoTimeout is what a workload's own STS may take. Nothing waits on it but the choice of a key.
	whoTimeout = 10 * time.Second
	stsSpace   = "https://sts.amazonaws.com/doc/2011-06-15/"
)

// Identity asks the region's STS who signs (GetCallerIdentity, which needs no permission), by Client. The key covers the
// whole ARN and the unique id, which are all that Google can see of a caller; with role, the session's name is left out
// of both, so that what is left is the partition, the account, and the role's name and unique id. A user, the root user
// and a federated user stay whole. The answer is the same for every audience.
// Source: AWS STS API, GetCallerIdentity.
func (c *Caller) Identity(ctx context.Context, _ string, role bool) (stile.Key, error) {
	if c.Credentials == nil || c.Region == nil {
		return stile.Key{}, unset(whoAmI)
	}
	clock := time.Now
	if c.Clock != nil {
		clock = c.Clock
	}
	creds, region, err := retrieve(ctx, c.Credentials, c.Region, clock)
	if err != nil {
		return stile.Key{}, err
	}
	q, err := c.who(ctx, creds, region, clock().UTC())
	if err != nil {
		return stile.Key{}, err
	}
	res, err := remote.Do(ctx, c.Client, q)
	if err != nil {
		return stile.Key{}, err
	}
	if !res.OK() {
		return stile.Key{}, tokenRefusal(q, res, clock())
	}
	who, err := readCaller(res.Body)
	if err != nil {
		return stile.Key{}, q.Malformed(res, err.Error())
	}
	return who.key(role), nil
}

// who signs a request for nobody but the STS that it is sent to.
func (c *Caller) who(ctx context.Context, creds aws.Credentials, region string, now time.Time) (remote.Request, error) {
	endpoint, err := Endpoint(ctx, region, c.FIPS)
	if err != nil {
		return remote.Request{}, err
	}
	endpoint.Path = "/"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint.String(), nil)
	if err == nil {
		err = v4.NewSigner().SignHTTP(ctx, creds, req, emptyBody, "sts", region, now)
	}
	if err != nil {
		return remote.Request{}, &stile.Error{Op: whoAmI, Err: err}
	}
	return remote.Request{Op: whoAmI, Cloud: "AWS STS", Method: http.MethodPost, URL: endpoint.String(), Header: req.Header, Timeout: whoTimeout,
		Sent:    []slog.Attr{slog.String("access key", creds.AccessKeyID)},
		Secrets: []stile.Secret{stile.NewSecret(creds.SecretAccessKey), stile.NewSecret(creds.SessionToken), stile.NewSecret(req.Header.Get("Authorization"))}}, nil
}

// A caller is whom STS saw. ARN, account and unique id are consistent with one another.
type caller struct {
	arn, account, id string
	role, session    string // of an assumed role; its id is that of the role, a colon and the session
}

// key leaves the session out, where there is one, if all that is wanted is the role.
func (c caller) key(role bool) stile.Key {
	if !role || c.session == "" {
		return stile.NewKey("from/aws identity", c.arn, c.account, c.id)
	}
	return stile.NewKey("from/aws role identity", strings.TrimSuffix(c.arn, "/"+c.session), c.account, strings.TrimSuffix(c.id, ":"+c.session))
}

// readCaller reads the answer of GetCallerIdentity, and takes none that could be read in two ways.
func readCaller(body []byte) (caller, error) {
	var answer struct {
		XMLName xml.Name
		Results []struct {
			ARN     []string `xml:"Arn"`
			Account []string
			ID      []string `xml:"UserId"`
		} `xml:"GetCallerIdentityResult"`
	}
	in := xml.NewDecoder(bytes.NewReader(body))
	if err := in.Decode(&answer); err != nil || answer.XMLName != (xml.Name{Space: stsSpace, Local: "GetCallerIdentityResponse"}) {
		return caller{}, errors.New("not the XML of GetCallerIdentity")
	}
	if !ended(in) || len(answer.Results) != 1 {
		return caller{}, errors.New("not one answer of GetCallerIdentity")
	}
	r := answer.Results[0]
	if len(r.ARN) != 1 || len(r.Account) != 1 || len(r.ID) != 1 {
		return caller{}, errors.New("not one each of Arn, Account and UserId")
	}
	return newCaller(r.ARN[0], r.Account[0], r.ID[0])
}

// ended reports whether nothing but white space is left.
func ended(in *xml.Decoder) bool {
	for {
		token, err := in.Token()
		if err != nil {
			return errors.Is(err, io.EOF)
		}
		if text, ok := token.(xml.CharData); !ok || len(bytes.TrimSpace(text)) > 0 {
			return false
		}
	}
}

// newCaller checks that the three speak of one identity.
// Source: IAM User Guide, IAM identifiers (ARNs and unique ids).
func newCaller(arn, account, id string) (caller, error) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[3] != "" || parts[4] != account {
		return caller{}, errors.New("an Arn that is none, or of another account")
	}
	if len(account) != 12 || strings.Trim(account, "0123456789") != "" || parts[1] == "" || id == "" || !visible(arn) || !visible(id) {
		return caller{}, errors.New("an Arn, Account or UserId with letters that it cannot have")
	}
	c := caller{arn: arn, account: account, id: id}
	switch kind, name, _ := strings.Cut(parts[5], "/"); {
	case parts[2] == "sts" && kind == "assumed-role":
		c.role, c.session, _ = strings.Cut(name, "/")
		unique, session, ok := strings.Cut(id, ":")
		if !ok || unique == "" || c.role == "" || c.session == "" || session != c.session || strings.Contains(c.session, "/") {
			return caller{}, errors.New("an assumed role whose Arn and UserId do not agree")
		}
	case parts[2] == "sts" && kind == "federated-user" && name != "", parts[2] == "iam" && (kind == "user" && name != "" || parts[5] == "root"):
	default:
		return caller{}, errors.New("an Arn of neither a role's session nor a user")
	}
	return c, nil
}

// visible reports whether s is of visible ASCII, and no longer than any name in AWS.
func visible(s string) bool {
	return len(s) <= 2048 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// The claims, in AWS's own object of the token, that tell the session and not the role: the instance that it was given
// to. All others stay: whoever signed in, tags, organization and function are what a far side's trust may ask for.
// Source: IAM User Guide, outbound identity federation, token claims.
var sessionClaims = []jwt.Claim{{"https://sts.amazonaws.com/", "ec2_source_instance_arn"}}

// Identity asks AWS for a token that is made out to audience, and covers its claims, less those that differ from one
// token to the next. The token's subject is the role without a session; with role, the instance that the session was
// given to is left out as well.
func (w *WebIdentityToken) Identity(ctx context.Context, audience string, role bool) (stile.Key, error) {
	token, err := w.SubjectToken(ctx, audience)
	if err != nil {
		return stile.Key{}, err
	}
	var without []jwt.Claim
	if role {
		without = sessionClaims
	}
	identity, err := jwt.Identity(token.Value.Reveal(), without...)
	if err != nil {
		return stile.Key{}, &stile.Error{Op: whoAmI, Err: fmt.Errorf("%w: the token that AWS gave cannot tell: %w", stile.ErrMisuse, err)}
	}
	return stile.NewKey("from/aws token identity", identity), nil
}

func unset(op string) error {
	return &stile.Error{Op: op, Hint: "fill in Credentials and Region, or take the Caller from awschain.Find",
		Err: fmt.Errorf("%w: the Caller has no Credentials or no Region", stile.ErrMisuse)}
}
