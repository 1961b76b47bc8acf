// SPDX-License-Identifier: Apache-2.0

package awschain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/shape"
)

// webIdentity is a token in a file, which STS takes for a role: IRSA on EKS, and whoever does the same.
// Source: AWS SDKs and Tools Reference Guide, "Assume role with web identity".
func (s *search) webIdentity() place {
	p := place{name: "web identity"}
	file, role := s.env.get("AWS_WEB_IDENTITY_TOKEN_FILE"), s.env.get("AWS_ROLE_ARN")
	if file == "" {
		p.detail = s.env.absent("AWS_WEB_IDENTITY_TOKEN_FILE")
		return p
	}
	p.here, p.id, p.detail = true, tokenID(role, file), "AWS_WEB_IDENTITY_TOKEN_FILE is "+file+", for role "+role
	if role == "" {
		p.wrong = misconfigured("set AWS_ROLE_ARN to the role that trusts the token's issuer",
			"AWS_WEB_IDENTITY_TOKEN_FILE is set, and %s", s.env.absent("AWS_ROLE_ARN"))
	} else if _, err := shape.RoleARN(role); err != nil {
		p.wrong = misconfigured("", "AWS_ROLE_ARN %.200q: %w", role, err)
	}
	p.open = func(cfg aws.Config) aws.CredentialsProvider {
		return aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
			return s.byToken(ctx, cfg, tokenFile(file), role)
		})
	}
	return p
}

func (s *search) byToken(ctx context.Context, cfg aws.Config, file tokenFile, role string) (aws.Credentials, error) {
	region, err := s.region.find(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	client := once{sts.NewFromConfig(cfg, func(o *sts.Options) { o.Region = region })}
	creds, err := stscreds.NewWebIdentityRoleProvider(client, role, file, func(o *stscreds.WebIdentityRoleOptions) {
		o.RoleSessionName = s.env.get("AWS_ROLE_SESSION_NAME")
	}).Retrieve(ctx)
	if err == nil {
		return creds, nil
	}
	const op = "assume the role by web identity"
	sent := []slog.Attr{slog.String("role", role), slog.String("token file", string(file))}
	var unread *unreadable
	if errors.As(err, &unread) {
		return aws.Credentials{}, &stile.Error{Op: op, Sent: sent, Err: fmt.Errorf("%w: %w", stile.ErrNoIdentity, unread),
			Hint: "the token file is written by the platform: see that it is mounted, and that this user may read it"}
	}
	return aws.Credentials{}, refused(ctx, op, sent, err,
		"the account needs an OIDC provider for the token's issuer with the token's audience among its client ids, and the role's trust policy has to name both")
}

// once leaves out the retries that the provider asks for on top of the client's own: a token that STS refuses is not
// better a second later, and what may pass is tried again by whoever keeps the credential.
type once struct{ *sts.Client }

// AssumeRoleWithWebIdentity calls STS.
func (c once) AssumeRoleWithWebIdentity(ctx context.Context, in *sts.AssumeRoleWithWebIdentityInput, _ ...func(*sts.Options)) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	return c.Client.AssumeRoleWithWebIdentity(ctx, in)
}

// maxToken bounds a token file, in bytes: three times what STS takes.
const maxToken = 64 << 10

// A tokenFile is read again each time: what writes it replaces it long before the token in it expires.
type tokenFile string

// unreadable is why a token file gave no token. It never quotes the file.
type unreadable struct {
	path string
	err  error
}

func (u *unreadable) Error() string { return "token file " + u.path + ": " + u.err.Error() }
func (u *unreadable) Unwrap() error { return u.err }

// GetIdentityToken gives the token without the white space around it, which STS and agents would take for part of it.
func (f tokenFile) GetIdentityToken() ([]byte, error) {
	const attempts = 3
	var last error
	for range attempts {
		content, changed, err := f.read()
		if err != nil {
			return nil, &unreadable{string(f), err}
		}
		token := bytes.TrimSpace(content)
		switch {
		case changed:
			last = errors.New("it was replaced while it was read")
		case len(token) == 0:
			last = errors.New("it is empty")
		case len(token) > maxToken:
			return nil, &unreadable{string(f), fmt.Errorf("longer than %d bytes: no token", maxToken)}
		case bytes.ContainsAny(token, "\r\n\x00"):
			return nil, &unreadable{string(f), errors.New("more than one line: no token")}
		default:
			return token, nil
		}
	}
	return nil, &unreadable{string(f), last}
}

// read tells whether the file that was read was still there, unchanged, when it had been read.
func (f tokenFile) read() (content []byte, changed bool, err error) {
	file, err := os.Open(string(f))
	if err != nil {
		return nil, false, plain(err)
	}
	defer func() { _ = file.Close() }()
	before, err := file.Stat()
	if err != nil {
		return nil, false, plain(err)
	}
	if before.IsDir() {
		return nil, false, errors.New("is a folder")
	}
	if content, err = io.ReadAll(io.LimitReader(file, maxToken+2)); err != nil {
		return nil, false, plain(err)
	}
	after, err := file.Stat()
	if err != nil {
		return nil, false, plain(err)
	}
	part := after.Mode().IsRegular() && len(content) <= maxToken && int64(len(content)) != after.Size() // time stamps alone are too coarse
	return content, part || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()), nil
}

// plain is an error of the file system without the path, which is said already.
func plain(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
