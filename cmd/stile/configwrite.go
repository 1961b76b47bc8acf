// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
)

func (p *program) configGCPCommand() *cobra.Command {
	var s settings
	var file string
	cmd := &cobra.Command{
		Use:   "gcp [CROSSING]",
		Short: "Write a crossing as the external_account file that Google's libraries read",
		Long: `Write a crossing into Google Cloud as a credential configuration file of type external_account, byte for byte as
gcloud iam workload-identity-pools create-cred-config writes it. Google's own libraries then cross by themselves, from the
places that they know: the environment and EC2 metadata on AWS, files, URLs, executables.`,
		Example: `  stile config gcp warehouse --file credential.json
  export GOOGLE_APPLICATION_CREDENTIALS=$PWD/credential.json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.take(cmd, args)
			ctx, cancel := p.within(cmd.Context())
			defer cancel()
			c, err := p.crossing(ctx, &s, intoGoogle)
			if err != nil {
				return err
			}
			data, err := config.WriteExternalAccount(c)
			if err != nil {
				return &stile.Error{Op: "write " + c.Name, Err: err}
			}
			if file == "" {
				_, err := p.stdout.Write(append(data, '\n'))
				return err
			}
			return replaceFile(file, data, ownerOnly) // a URL source's headers may be secrets
		},
	}
	p.fileFlags(cmd, &s)
	p.googleFlags(cmd, &s)
	p.completesCrossings(cmd, &s, intoGoogle)
	cmd.Flags().StringVar(&file, "file", "", "write to this `FILE`, readable by you alone (default: standard output)")
	return cmd
}

func (p *program) configAWSCommand() *cobra.Command {
	var s settings
	var file, profile, tokenFile string
	cmd := &cobra.Command{
		Use:   "aws CROSSING",
		Short: "Write a crossing as a profile that every AWS SDK reads",
		Long: `Write a crossing into AWS as a profile of the AWS configuration: one that runs stile for its credential, or, with
--web-identity-token-file, one by which the SDKs cross themselves with a token that they find in a file. Every other byte of the
file stays as it is.`,
		Example: `  stile config aws images --profile images
  aws --profile images s3 ls
  stile config aws images --profile images --web-identity-token-file /var/run/secrets/tokens/aws`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.take(cmd, args)
			ctx, cancel := p.within(cmd.Context())
			defer cancel()
			c, err := p.crossing(ctx, &s, intoAWS)
			if err != nil {
				return err
			}
			if !intoAWS(c.To) {
				return misuse("write the profile", "%s does not lead into AWS", c.Name)
			}
			lines, err := p.profileLines(&s, c, tokenFile)
			if err != nil {
				return err
			}
			return p.setProfile(file, cmp.Or(profile, c.Name), lines)
		},
	}
	p.fileFlags(cmd, &s)
	p.completesCrossings(cmd, &s, intoAWS)
	f := cmd.Flags()
	f.StringVar(&profile, "profile", "", "the profile's `NAME` (default: the crossing's)")
	f.StringVar(&file, "file", "", "write into this `FILE` (default $AWS_CONFIG_FILE, then ~/.aws/config)")
	f.StringVar(&tokenFile, "web-identity-token-file", "", "have the SDKs cross by themselves, with the token in this `FILE`")
	return cmd
}

// profileLines are what the profile must say.
func (p *program) profileLines(s *settings, c config.Crossing, tokenFile string) ([]config.Setting, error) {
	var lines []config.Setting
	if region := p.region(c.To.AWS.Region); region != "" {
		lines = append(lines, config.Setting{Key: "region", Value: region})
	}
	if tokenFile != "" {
		more, err := webIdentity(c, tokenFile)
		return append(lines, more...), err
	}
	more, err := p.runsStile(s, c)
	return append(lines, more...), err
}

// runsStile names the program by its path, since an SDK may run with another PATH, and passes on what this run was
// allowed.
func (p *program) runsStile(s *settings, c config.Crossing) ([]config.Setting, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	where, err := absolute(cmp.Or(s.configFile, p.defaultConfig()))
	if err != nil {
		return nil, err
	}
	words := []string{self, "credential-process", c.Name, "--config", where}
	if p.allowExecutables {
		words = append(words, "--allow-executables")
	}
	for _, host := range s.allowHosts {
		words = append(words, "--allow-host", host)
	}
	command, err := config.CredentialProcess(words...)
	return []config.Setting{{Key: "credential_process", Value: command}}, err
}

// webIdentity has the SDKs cross by themselves. They send no more than the role, the token and the session's name, so
// what else the crossing has would be lost: its user would have more rights, or be someone else.
func webIdentity(c config.Crossing, tokenFile string) ([]config.Setting, error) {
	to := c.To.AWS
	for _, lost := range []struct {
		name string
		had  bool
	}{
		{"a session policy", to.Policy != "" || len(to.PolicyARNs) > 0}, {"a further role", to.Then != nil},
		{"a duration", to.Duration != 0}, {"an STS endpoint", to.STSEndpoint != ""},
	} {
		if lost.had {
			return nil, misuse("write the profile", "%s has %s, which no SDK uses by itself: leave --web-identity-token-file out", c.Name, lost.name)
		}
	}
	tokenFile, err := filepath.Abs(tokenFile)
	lines := []config.Setting{{Key: "role_arn", Value: to.Role}, {Key: "web_identity_token_file", Value: tokenFile}}
	if to.SessionName != "" {
		lines = append(lines, config.Setting{Key: "role_session_name", Value: to.SessionName})
	}
	if to.FIPS {
		lines = append(lines, config.Setting{Key: "use_fips_endpoint", Value: "true"})
	}
	if to.DualStack {
		lines = append(lines, config.Setting{Key: "use_dualstack_endpoint", Value: "true"})
	}
	return lines, err
}

// absolute leaves URLs alone.
func absolute(where string) (string, error) {
	if strings.Contains(where, "://") {
		return where, nil
	}
	return filepath.Abs(where)
}

func (p *program) setProfile(file, profile string, lines []config.Setting) error {
	file = cmp.Or(file, p.env("AWS_CONFIG_FILE"))
	if file == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return misuse("write the profile", "no home folder: name the file with --file")
		}
		file = filepath.Join(home, ".aws", "config")
	}
	before, err := os.ReadFile(filepath.Clean(file))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return misuse("write the profile", "%w", err)
	}
	if err := unshadowed(before, profile, lines); err != nil {
		return err
	}
	after, err := config.SetAWSProfile(before, config.ConfigFile, profile, lines)
	if problems, ok := errors.AsType[config.Problems](err); ok {
		for _, problem := range problems {
			problem.File = file
		}
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return misuse("write the profile", "%w", err)
	}
	return replaceFile(file, after, keepMode)
}

// winners are the settings of a profile that some SDK believes before the one written: a profile that has one would
// go on being who it was. Source: the resolvers of aws-sdk-go-v2 and botocore.
var winners = map[string][]string{
	"credential_process":      {"role_arn", "source_profile", "credential_source", "web_identity_token_file", "sso_session", "sso_start_url", "aws_access_key_id", "login_session"},
	"web_identity_token_file": {"source_profile", "credential_source", "aws_access_key_id"},
}

// unshadowed refuses a profile in which the new settings would not count.
func unshadowed(file []byte, profile string, lines []config.Setting) error {
	keys, err := config.AWSProfileKeys(file, config.ConfigFile, profile)
	if err != nil {
		return nil //nolint:nilerr // SetAWSProfile reads the same and names the place
	}
	for _, line := range lines {
		for _, key := range winners[line.Key] {
			if slices.Contains(keys, key) {
				return misuse("write the profile", "%s has %s already, which SDKs believe before %s: remove it, or name another profile with --profile", profile, key, line.Key)
			}
		}
	}
	return nil
}

// Who may read a file that replaces another. A new one is always its owner's alone.
const (
	ownerOnly = false
	keepMode  = true
)

// replaceFile puts a whole file in place of the old one, so that nobody reads half.
func replaceFile(path string, data []byte, asBefore bool) error {
	mode := fs.FileMode(0o600)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // a link stays a link
	}
	if info, err := os.Stat(path); err == nil {
		if !info.Mode().IsRegular() {
			return misuse("write the file", "%s is no regular file", path)
		}
		if asBefore {
			mode = info.Mode().Perm()
		}
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return misuse("write the file", "%w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already where all went well
	for _, step := range []func() error{
		func() error { return f.Chmod(mode) },
		func() error { _, err := f.Write(data); return err },
		f.Sync, f.Close,
		func() error { return os.Rename(f.Name(), path) },
	} {
		if err := step(); err != nil {
			_ = f.Close()
			return misuse("write the file", "%w", err)
		}
	}
	return nil
}
