// SPDX-License-Identifier: Apache-2.0

package toaws

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/remote"
	"github.com/stile-project/stile/internal/shape"
)

// maxChained is how long a session may last that was opened by another session.
// Source: IAM user guide, "Role chaining".
const maxChained = time.Hour

// A NextRole is a further role that the first role's session assumes: the role of another account, as a rule. AWS ends
// such a session after one hour at the latest, whatever the role's own maximum.
// Source: AWS STS API, AssumeRole.
type NextRole struct {
	// ARN is the role's. Required.
	ARN string
	// SessionName is as in [Role]. Empty: the first session's name.
	SessionName string
	// ExternalID is what the role's trust policy compares with sts:ExternalId.
	ExternalID string
	// Duration is in whole seconds, from 15 min to 1 h. Zero: STS gives 1 h.
	Duration time.Duration
	// Policy is a session policy, as in [Role].
	Policy string
	// Tags are session tags, at most 50. The role's trust policy must allow sts:TagSession.
	Tags map[string]string
}

// key is what decides the further session.
func (n *NextRole) key() string {
	if n == nil {
		return ""
	}
	tags := make([]string, 0, 2*len(n.Tags))
	for _, name := range slices.Sorted(maps.Keys(n.Tags)) {
		tags = append(tags, name, n.Tags[name])
	}
	return fmt.Sprintf("%q", append([]string{n.ARN, n.SessionName, n.ExternalID, n.Duration.String(), n.Policy}, tags...))
}

func (n *NextRole) check() error {
	for _, field := range []struct {
		what, value string
		shape       shape.Shape
	}{
		{"further role", cmp.Or(n.ARN, " "), shape.RoleARN}, {"further role's session name", n.SessionName, shape.SessionName},
		{"external id", n.ExternalID, shape.ExternalID},
	} {
		if _, err := field.shape(field.value); field.value != "" && err != nil {
			return fmt.Errorf("%w: %s %.200q: %w", stile.ErrMisuse, field.what, field.value, err)
		}
	}
	if _, err := shape.SessionPolicy(n.Policy); n.Policy != "" && err != nil {
		return fmt.Errorf("%w: the further role's session policy: %w", stile.ErrMisuse, err)
	}
	if n.Duration > maxChained {
		return fmt.Errorf("%w: duration %s of the further role: AWS ends a session that another session opened after 1h; for longer, let the role trust the token itself", stile.ErrMisuse, n.Duration)
	}
	if n.Duration != 0 && (n.Duration < 15*time.Minute || n.Duration%time.Second != 0) {
		return fmt.Errorf("%w: duration %s of the further role: want whole seconds from 15m to 1h", stile.ErrMisuse, n.Duration)
	}
	return n.checkTags()
}

func (n *NextRole) checkTags() error {
	if len(n.Tags) > 50 {
		return fmt.Errorf("%w: %d session tags: at most 50", stile.ErrMisuse, len(n.Tags))
	}
	seen := map[string]bool{}
	for name, value := range n.Tags {
		lower := strings.ToLower(name)
		switch {
		case !shape.IsTag(name, 1, 128) || !shape.IsTag(value, 0, 256):
			return fmt.Errorf("%w: session tag %.128q: want letters, digits, spaces and _.:/=+-@, at most 128 in the key and 256 in the value", stile.ErrMisuse, name)
		case strings.HasPrefix(lower, "aws:"):
			return fmt.Errorf("%w: session tag %.128q: keys that begin with aws: are Amazon's own", stile.ErrMisuse, name)
		case seen[lower]:
			return fmt.Errorf("%w: session tag %.128q is there twice: keys differ by more than upper and lower case", stile.ErrMisuse, name)
		}
		seen[lower] = true
	}
	return nil
}

func (n *NextRole) form(session string) url.Values {
	form := url.Values{"Action": {"AssumeRole"}, "Version": {"2011-06-15"}, "RoleArn": {n.ARN}, "RoleSessionName": {cmp.Or(n.SessionName, session)}}
	if n.Duration != 0 {
		form.Set("DurationSeconds", strconv.FormatInt(int64(n.Duration/time.Second), 10))
	}
	for name, value := range map[string]string{"ExternalId": n.ExternalID, "Policy": n.Policy} {
		if value != "" {
			form.Set(name, value)
		}
	}
	for i, name := range slices.Sorted(maps.Keys(n.Tags)) {
		member := fmt.Sprintf("Tags.member.%d.", i+1)
		form.Set(member+"Key", name)
		form.Set(member+"Value", n.Tags[name])
	}
	return form
}

// next assumes the further role with the first role's session.
func (r *Role) next(ctx context.Context, endpoint, session string, first stile.Credential) (stile.Credential, error) {
	q := remote.Request{
		Op: "assume the further role", Cloud: "AWS STS", Method: http.MethodPost, URL: endpoint, Body: []byte(r.Then.form(session).Encode()),
		Header:  http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}},
		Secrets: []stile.Secret{first.Session.SecretAccessKey, first.Session.SessionToken},
		Sent:    []slog.Attr{slog.String("role", r.Then.ARN), slog.String("as", first.Principal)},
	}
	if err := r.sign(ctx, &q, first.Session); err != nil {
		return stile.Credential{}, &stile.Error{Op: "sign the request for the further role", Err: err}
	}
	return ask(ctx, r.Client, q, "AssumeRole", r.Then.ARN, nextHint)
}

// sign adds Signature Version 4 to a request's headers, by the AWS SDK's own signer.
func (r *Role) sign(ctx context.Context, q *remote.Request, s stile.Session) error {
	req, err := http.NewRequestWithContext(ctx, q.Method, q.URL, strings.NewReader(string(q.Body)))
	if err != nil {
		return errors.New("the endpoint's URL is malformed")
	}
	req.Header = q.Header
	creds := aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey.Reveal(), SessionToken: s.SessionToken.Reveal()}
	sum := sha256.Sum256(q.Body)
	if err := v4.NewSigner().SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), "sts", r.Region, r.now()); err != nil {
		return err
	}
	q.Header = req.Header
	return nil
}

func nextHint(code, message string) string {
	switch code {
	case "AccessDenied":
		return "the first role needs sts:AssumeRole on the further role, and the further role's trust policy must name the first; with tags it must allow sts:TagSession, and with sts:ExternalId the external id must match"
	case "SignatureDoesNotMatch", "RequestExpired":
		return "check this machine's clock: AWS signatures live 5 minutes"
	}
	return hint(code, message)
}
