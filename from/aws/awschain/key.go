// SPDX-License-Identifier: Apache-2.0

package awschain

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/jwt"
)

// maxKeyed bounds a file that becomes part of a key, in bytes. A configuration of a thousand profiles has 200,000.
const maxKeyed = 1 << 20

// surrounding are the variables, beside those that a place names for itself, that can change whose credentials come of
// one and the same setup: other hosts in place of AWS's, and the session's name, which is part of the ARN.
var surrounding = []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_SSO", "AWS_ENDPOINT_URL_SSO_OIDC", "AWS_ENDPOINT_URL_SIGNIN",
	"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_ROLE_SESSION_NAME"}

// key tells the identity of p, with the roles in front of it, from every other that this user's processes can find on
// this machine. It is empty where that cannot be told without asking.
func (s *search) key(p *place) string {
	if p.id == nil {
		return ""
	}
	shared := &s.profile.shared
	id := []string{p.name, s.options.Profile, s.options.Region, s.region.known, s.options.MetadataEndpoint,
		shared.BaseEndpoint, fmt.Sprint(shared.Services.ServiceValues), fmt.Sprint(shared.IgnoreConfiguredEndpoints != nil && *shared.IgnoreConfiguredEndpoints)}
	for _, name := range surrounding {
		id = append(id, s.env.get(name))
	}
	id = append(id, stile.NewKey("awschain place", p.id...).String())
	for _, role := range s.options.AssumeRole {
		id = append(id, role.key()...)
	}
	return stile.NewKey("awschain", id...).String()
}

// variablesID is that of keys in variables. An access key id is of one user or one session for good; the secrets go in
// as well, so that a mistyped one does not pass for the right one.
func (s *search) variablesID() []string {
	id, _ := s.env.first("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY")
	secret, _ := s.env.first("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY")
	return []string{id, secret, s.env.get("AWS_SESSION_TOKEN")}
}

// containerID is that of an endpoint: what it gives depends on the token that is shown to it. EKS's is one address for
// all pods of a node.
func (s *search) containerID(where string) []string {
	if file := s.env.get(tokenVariable + "_FILE"); file != "" {
		return tokenID(where, file)
	}
	return []string{where, jwt.Stable(s.env.get(tokenVariable))}
}

// instanceID is that of the metadata service. A pod that is not given the node's role is not to find it kept, either.
func (s *search) instanceID() []string {
	return []string{s.metadataEndpoint(), fmt.Sprint(s.inPod()), fmt.Sprint(s.options.AllowNodeRole)}
}

// tokenID is what stays of the token in a file when the platform replaces it, and nil where there is none to read: two
// pods that share a home directory find different tokens under one path.
func tokenID(role, path string) []string {
	token, err := tokenFile(path).GetIdentityToken()
	if err != nil {
		return nil
	}
	return []string{role, path, jwt.Stable(string(token))}
}

// profileID is that of a profile: all that its files say, since a profile may lead to any other, and what the end of
// the chain takes from elsewhere. It is nil where that cannot be told.
func (s *search) profileID() []string {
	id := []string{s.profile.name()}
	for _, file := range append(append([]string{}, s.profile.files...), s.profile.credentialsFiles...) {
		text, err := contents(file)
		switch {
		case errors.Is(err, fs.ErrNotExist): // people have one of the two, or neither
			id = append(id, "none", "")
		case err != nil:
			return nil
		default:
			id = append(id, "file", text)
		}
	}
	for c := &s.profile.shared; c != nil; c = c.Source {
		beyond, ok := s.beyondFiles(c)
		if !ok {
			return nil
		}
		id = append(append(id, "section"), beyond...)
	}
	return id
}

// beyondFiles is what one section of the shared configuration takes from elsewhere.
func (s *search) beyondFiles(c *config.SharedConfig) (id []string, ok bool) {
	switch {
	case c.Source != nil || c.Credentials.HasKeys():
		return nil, true
	case c.CredentialSource != "":
		id = s.credentialSource(c.CredentialSource)
	case c.WebIdentityTokenFile != "":
		id = tokenID(c.RoleARN, c.WebIdentityTokenFile)
	case c.SSOSessionName != "" || c.SSOStartURL != "":
		id = signOnID(c)
	case c.LoginSession != "":
		return nil, true // its name is the ARN of whoever signed in
	case strings.ContainsAny(c.CredentialProcess, "$`%"):
		return nil, false // the shell fills in what only the environment knows
	default:
		return nil, true // a process is taken at its name, which is in the file
	}
	return id, id != nil
}

func (s *search) credentialSource(name string) []string {
	switch name {
	case "Environment":
		return s.variablesID()
	case "EcsContainer":
		return s.containerID(s.env.get(relativeVariable) + "\n" + s.env.get(fullVariable))
	case "Ec2InstanceMetadata":
		return s.instanceID()
	}
	return nil
}

// signOnID is that of whoever signed on. The sign-on's token is opaque, and the next person's takes its place in the
// same file, so that a token that was renewed is another identity here: it costs one exchange.
func signOnID(c *config.SharedConfig) []string {
	name := c.SSOStartURL
	if c.SSOSessionName != "" {
		name = c.SSOSessionName
	}
	path, err := ssocreds.StandardCachedTokenFilepath(name)
	if err != nil {
		return nil
	}
	text, err := contents(path)
	if err != nil {
		return nil
	}
	return []string{path, text}
}

// contents reads a file of bounded length. What is no file is not read: the AWS SDK may have to read it yet, and a pipe
// gives what it has only once.
func contents(path string) (string, error) {
	if path == os.DevNull {
		return "", nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("no regular file")
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, maxKeyed+1))
	if err == nil && len(text) > maxKeyed {
		err = errors.New("too long")
	}
	return string(text), err
}
