// SPDX-License-Identifier: Apache-2.0

package awschain

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/smithy-go"

	"github.com/stile-project/stile"
)

// The services behind a sign-on, as the AWS SDK's errors name them: one gives a role's credentials for a person's token,
// the other renews the token.
const (
	portalService  = "SSO"
	renewalService = "SSO OIDC"
)

// A profile is a section of the shared configuration.
type profile struct {
	named            string // by the caller or by AWS_PROFILE; empty: the default one, if there is one
	coded            bool   // the caller named it: it comes before the environment
	files            []string
	credentialsFiles []string
	shared           config.SharedConfig
	missing          bool
}

// name is the profile's, as people call it.
func (p profile) name() string {
	if p.named == "" {
		return config.DefaultSharedConfigProfile
	}
	return p.named
}

// readProfile reads the shared configuration. A profile that was named has to be there.
func (s *search) readProfile(ctx context.Context) error {
	p := &s.profile
	named, variable := s.env.first("AWS_PROFILE", "AWS_DEFAULT_PROFILE")
	if raw, set := s.env.lookup("AWS_PROFILE"); set && raw != "" && strings.TrimSpace(raw) == "" {
		return misread(errors.New("AWS_PROFILE is set to blanks: unset it, or name a profile"))
	}
	if p.named = named; s.options.Profile != "" {
		p.named, p.coded, variable = s.options.Profile, true, ""
	}
	p.files = []string{config.DefaultSharedConfigFilename()}
	if file := s.env.get("AWS_CONFIG_FILE"); file != "" {
		p.files = []string{file}
	}
	p.credentialsFiles = []string{config.DefaultSharedCredentialsFilename()}
	if file := s.env.get("AWS_SHARED_CREDENTIALS_FILE"); file != "" {
		p.credentialsFiles = []string{file}
	}
	var err error
	p.shared, err = config.LoadSharedConfigProfile(ctx, p.name(), func(o *config.LoadSharedConfigOptions) {
		o.ConfigFiles, o.CredentialsFiles = p.files, p.credentialsFiles
	})
	var absent config.SharedConfigProfileNotExistError
	switch {
	case errors.As(err, &absent) && p.named == "":
		p.missing = true
	case errors.As(err, &absent) && absent.Profile == p.named:
		return misread(fmt.Errorf("there is no profile %.100q%s in %s", p.named, by(variable), p.where()))
	case err != nil:
		return misread(err)
	}
	return nil
}

func by(variable string) string {
	if variable == "" {
		return ""
	}
	return " (named by " + variable + ")"
}

// where lists the files, and says of those that are there but closed to us that they are.
func (p profile) where() string {
	var list []string
	for _, file := range slices.Concat(p.files, p.credentialsFiles) {
		f, err := os.Open(file)
		switch {
		case err == nil:
			_ = f.Close()
			list = append(list, file)
		case errors.Is(err, os.ErrNotExist):
			list = append(list, file+" (not there)")
		default:
			list = append(list, fmt.Sprintf("%s (%v)", file, plain(err)))
		}
	}
	return strings.Join(list, " or ")
}

// sharedProfile is whatever a profile says: keys, a role, a sign-on, a process.
func (s *search) sharedProfile() place {
	p := place{name: "profile"}
	how := howOf(&s.profile.shared)
	switch {
	case s.profile.missing:
		p.detail = "no default profile in " + s.profile.where()
		return p
	case how == "":
		p.detail = fmt.Sprintf("profile %s says nothing of credentials", s.profile.name())
		return p
	}
	p.here, p.detail = true, fmt.Sprintf("profile %s: %s", s.profile.name(), how)
	p.id = s.profileID()
	if serial := mfaOf(&s.profile.shared); serial != "" && s.options.MFA == nil {
		p.wrong = fmt.Errorf("profile %s: %w", s.profile.name(), noPrompt(serial))
	} else if needsSTS(&s.profile.shared) && s.region.known == "" {
		p.wrong = misconfigured("set AWS_REGION, or region in the profile", "profile %s assumes a role, and nothing says in which region to ask STS", s.profile.name())
	}
	return p
}

// howOf says which form of credentials a profile has, in the order the AWS SDK takes them.
func howOf(c *config.SharedConfig) string {
	how := ""
	switch {
	case c.Source != nil:
		how = "source_profile " + c.SourceProfileName + " (" + howOf(c.Source) + ")"
	case c.Credentials.HasKeys():
		how = "keys in the file"
	case c.CredentialSource != "":
		how = "credential_source " + c.CredentialSource
	case c.WebIdentityTokenFile != "":
		how = "web_identity_token_file " + c.WebIdentityTokenFile
	case c.SSOSessionName != "":
		how = "single sign-on, session " + c.SSOSessionName
	case c.SSORegion != "" || c.SSOAccountID != "" || c.SSOStartURL != "" || c.SSORoleName != "":
		how = "single sign-on at " + c.SSOStartURL
	case c.LoginSession != "":
		how = "the sign-in of aws login"
	case c.CredentialProcess != "":
		how = "credential_process"
	}
	if c.RoleARN != "" {
		how += ", then role " + c.RoleARN
	}
	return how
}

func mfaOf(c *config.SharedConfig) string {
	for ; c != nil; c = c.Source {
		if c.RoleARN != "" && c.MFASerial != "" {
			return c.MFASerial
		}
	}
	return ""
}

func needsSTS(c *config.SharedConfig) bool {
	for ; c != nil; c = c.Source {
		if c.RoleARN != "" {
			return true
		}
	}
	return false
}

// usesSSO reports whether a profile stands on a person's sign-on.
func usesSSO(c *config.SharedConfig) bool {
	for c.Source != nil {
		c = c.Source
	}
	return strings.HasPrefix(howOf(c), "single sign-on")
}

// explain puts the AWS SDK's errors about a profile into words, and leaves out what a process wrote.
func (p profile) explain(ctx context.Context, err error) error {
	if e, ok := errors.AsType[*stile.Error](err); ok {
		return e
	}
	op := "use profile " + p.name()
	var process *processcreds.ProviderError
	switch {
	case errors.As(err, &process):
		return &stile.Error{Op: op, Err: fmt.Errorf("%w: its credential_process %s", stile.ErrNoIdentity, whatOf(process)),
			Hint: "run the profile's credential_process by hand: it has to end with 0 and write JSON with Version 1"}
	case usesSSO(&p.shared) && signedOff(err):
		return &stile.Error{Op: op, Err: fmt.Errorf("%w: the single sign-on has ended, or was never made", stile.ErrNoIdentity),
			Hint: "aws sso login --profile " + p.name()}
	}
	hint := "see that the role's trust policy names the identity before it, and that it may call sts:AssumeRole; mind external_id"
	if serviceOf(err) == portalService {
		hint = "whoever signed in is not assigned this sso_role_name in this sso_account_id"
	}
	return refused(ctx, op, nil, err, hint)
}

// signedOff reports whether a person has to sign on again: the token is not there, has ended, or is not taken.
func signedOff(err error) bool {
	var invalid *ssocreds.InvalidTokenError
	var status interface{ HTTPStatusCode() int }
	switch serviceOf(err) {
	case "": // no service was asked: the AWS SDK had nothing to ask with
		return true
	case portalService:
		return errors.As(err, &status) && status.HTTPStatusCode() == http.StatusUnauthorized
	case renewalService:
		return errors.As(err, &status) && status.HTTPStatusCode() >= 400 && status.HTTPStatusCode() < 500
	}
	return errors.As(err, &invalid)
}

// serviceOf is the service whose answer, or silence, an error of the AWS SDK is about; empty where none was asked.
func serviceOf(err error) string {
	var operation *smithy.OperationError
	if !errors.As(err, &operation) {
		return ""
	}
	return operation.Service()
}

// whatOf says how a process failed. Its output, which the AWS SDK quotes when it is not JSON, may hold secrets.
func whatOf(err *processcreds.ProviderError) string {
	text := err.Error()
	for _, known := range []string{"timed out", "wrong version", "missing AccessKeyId", "missing SecretAccessKey"} {
		if strings.Contains(text, known) && !strings.Contains(text, "parse failed") {
			return "failed: " + known
		}
	}
	if strings.Contains(text, "parse failed") {
		return "wrote something other than JSON"
	}
	var exit interface{ ExitCode() int }
	if errors.As(err, &exit) {
		return fmt.Sprintf("ended with %d", exit.ExitCode())
	}
	return "could not be run"
}
