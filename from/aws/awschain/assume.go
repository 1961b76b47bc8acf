// SPDX-License-Identifier: Apache-2.0

package awschain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/shape"
)

// AssumeRole is a role to take on before crossing.
// Source: AWS STS API, AssumeRole.
type AssumeRole struct {
	Role        string // the role's ARN
	SessionName string // empty: "stile"
	ExternalID  string // empty: none
	// Duration is in whole seconds, from 15 min to the role's maximum, at most 12 h. Zero: 1 h, which is also the most
	// when the credentials before are a role's already.
	Duration time.Duration
	// SourceIdentity stays with the session and all that follow it. Empty: none is set.
	SourceIdentity string
	// Tags are session tags, at most 50, and TransitiveTags the keys of those that stay on through further roles.
	Tags           map[string]string
	TransitiveTags []string
	// MFASerial is the device whose code the role wants: see [Options.MFA]. Only a user has one, so only the first role
	// of several can want it. Empty: none.
	MFASerial string
}

const (
	chainedMax     = time.Hour // of a role assumed with a role's credentials
	renewBefore    = 5 * time.Minute
	defaultSession = "stile"
)

// checkRoles finds what STS would refuse, before anyone is asked.
func checkRoles(roles []AssumeRole) error {
	for i, r := range roles {
		if err := r.check(i > 0); err != nil {
			return &stile.Error{Op: "assume a role first", Err: fmt.Errorf("%w: role %.200q: %w", stile.ErrMisuse, r.Role, err)}
		}
	}
	return nil
}

func (r AssumeRole) check(chained bool) error {
	if _, err := shape.RoleARN(r.Role); err != nil {
		return err
	}
	for _, field := range []struct {
		what, value string
		shape       shape.Shape
	}{
		{"session name", r.SessionName, shape.SessionName}, {"external id", r.ExternalID, shape.ExternalID}, {"source identity", r.SourceIdentity, shape.SessionName},
	} {
		if _, err := field.shape(field.value); field.value != "" && err != nil {
			return fmt.Errorf("%s: %w", field.what, err)
		}
	}
	switch {
	case r.Duration != 0 && (r.Duration < 15*time.Minute || r.Duration > 12*time.Hour || r.Duration%time.Second != 0):
		return fmt.Errorf("duration %s: want whole seconds from 15m to 12h", r.Duration)
	case chained && r.Duration > chainedMax:
		return fmt.Errorf("duration %s: a role assumed from a role lasts 1h at most", r.Duration)
	case chained && r.MFASerial != "":
		return errors.New("MFA: only the first role is assumed by a user, who can have a device")
	}
	return r.checkTags()
}

func (r AssumeRole) checkTags() error {
	if len(r.Tags) > 50 {
		return fmt.Errorf("%d tags: at most 50", len(r.Tags))
	}
	for key, value := range r.Tags {
		if n := utf8.RuneCountInString(key); n < 1 || n > 128 || utf8.RuneCountInString(value) > 256 {
			return fmt.Errorf("tag %.40q: want a key of 1 to 128 characters, and a value of at most 256", key)
		}
	}
	for _, key := range r.TransitiveTags {
		if _, ok := r.Tags[key]; !ok {
			return fmt.Errorf("transitive tag %.40q: it is not among the tags", key)
		}
	}
	return nil
}

// key is all that decides the session.
func (r AssumeRole) key() []string {
	parts := []string{r.Role, r.SessionName, r.ExternalID, r.Duration.String(), r.SourceIdentity, r.MFASerial, strconv.Itoa(len(r.Tags))}
	for _, key := range slices.Sorted(maps.Keys(r.Tags)) {
		parts = append(parts, key, r.Tags[key])
	}
	return append(append(parts, strconv.Itoa(len(r.TransitiveTags))), r.TransitiveTags...)
}

// assume puts the roles in front of the credentials found, each asked for with those before it.
func (s *search) assume(cfg *aws.Config) {
	for _, role := range s.options.AssumeRole {
		before := cfg.Copy()
		provider := aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
			return s.session(ctx, before, role)
		})
		cache := aws.NewCredentialsCache(provider, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = renewBefore })
		cfg.Credentials = explained{cache, "role " + role.Role, nil}
		s.roles = append(s.roles, cfg.Credentials)
	}
}

func (s *search) session(ctx context.Context, before aws.Config, role AssumeRole) (aws.Credentials, error) {
	region, err := s.region.find(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	// What this fails with is of the place before, and not of the role.
	if _, err := before.Credentials.Retrieve(ctx); err != nil {
		return aws.Credentials{}, err
	}
	client := sts.NewFromConfig(before, func(o *sts.Options) { o.Region = region })
	creds, err := stscreds.NewAssumeRoleProvider(client, role.Role, role.options, s.withMFA).Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, refused(ctx, "assume a role first", []slog.Attr{slog.String("role", role.Role)}, err,
			"let the role's trust policy name this workload's role, and allow that sts:AssumeRole; mind an external id, and sts:TagSession or sts:SetSourceIdentity where they are used")
	}
	return creds, nil
}

func (r AssumeRole) options(o *stscreds.AssumeRoleOptions) {
	o.RoleSessionName = cmp.Or(r.SessionName, defaultSession)
	o.Duration = cmp.Or(r.Duration, time.Hour)
	o.ExternalID, o.SourceIdentity, o.SerialNumber = optional(r.ExternalID), optional(r.SourceIdentity), optional(r.MFASerial)
	for _, key := range slices.Sorted(maps.Keys(r.Tags)) {
		o.Tags = append(o.Tags, types.Tag{Key: aws.String(key), Value: aws.String(r.Tags[key])})
	}
	o.TransitiveTagKeys = r.TransitiveTags
	if r.MFASerial != "" {
		o.TokenProvider = func() (string, error) { return "", noPrompt(r.MFASerial) } // unless there is someone to ask
	}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func isMFACode(s string) bool { return shape.Only(s, 6, 6, "0-9") }

// code asks the user, and makes sure that what comes back can be a code.
func (s *search) code(serial string) (string, error) {
	code, err := s.options.MFA(serial)
	if err != nil {
		return "", &stile.Error{Op: "ask for the MFA code of " + serial, Err: fmt.Errorf("%w: %w", stile.ErrNoIdentity, err)}
	}
	if code = strings.TrimSpace(code); !isMFACode(code) {
		return "", &stile.Error{Op: "ask for the MFA code of " + serial, Err: fmt.Errorf("%w: want the 6 digits that the device shows", stile.ErrMisuse)}
	}
	return code, nil
}

// noPrompt is for a role that wants a code where nobody can be asked.
func noPrompt(serial string) error {
	return misconfigured("run this on a terminal, or take a role that wants no MFA: a workload has no device",
		"the role wants a code of MFA device %.200s (mfa_serial), and there is nobody to ask for it", serial)
}

// refused tells AWS's no from having nothing to ask with.
func refused(ctx context.Context, op string, sent []slog.Attr, err error, hint string) error {
	if e, ok := errors.AsType[*stile.Error](err); ok {
		return e // whoever failed first said it better
	}
	var answer smithy.APIError
	var status interface{ HTTPStatusCode() int }
	if !errors.As(err, &answer) || !errors.As(err, &status) {
		if ctx.Err() != nil {
			return err
		}
		return &stile.Error{Op: op, Cloud: cloudOf(err), Sent: sent, Err: fmt.Errorf("%w: %w", stile.ErrTemporary, plainly(err))}
	}
	e := &stile.Error{Op: op, Cloud: cloudOf(err), Status: status.HTTPStatusCode(), Code: clean(answer.ErrorCode()), Message: clean(answer.ErrorMessage()),
		Sent: sent, Err: stile.ErrRefused, Hint: hint}
	switch {
	case e.Status >= 500, e.Status == http.StatusTooManyRequests, e.Code == "Throttling", e.Code == "IDPCommunicationError":
		e.Err = stile.ErrTemporary
	case untimely(e):
		e.Hint = "check this machine's clock, and the age of what was presented"
	}
	return e
}

// untimely reports whether AWS found something too old or too young.
func untimely(e *stile.Error) bool {
	if e.Code == "ExpiredTokenException" {
		return true
	}
	return slices.ContainsFunc([]string{"Signature expired", "Signature not yet current", "not yet valid"}, func(words string) bool {
		return strings.Contains(e.Message, words)
	})
}

// cloudOf names who an error of the AWS SDK is about.
func cloudOf(err error) string {
	switch serviceOf(err) {
	case portalService, renewalService:
		return "AWS access portal"
	case imds.ServiceID:
		return instanceMetadata
	}
	return "AWS STS"
}
