// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/outlet"
)

const defaultProfile = "default"

// fileVariables are those by which SDKs find the files that hold the crossing, and the files that no variable is sure to
// be for. Of several profiles the first counts: there is one AWS_PROFILE.
func (f *finding) fileVariables() (vars []outlet.Variable, shadows, others []string) {
	for _, k := range f.plan.Serve.Files {
		if k.Crossing != f.name {
			continue
		}
		path := f.fileOf(k)
		var its []outlet.Variable
		var over []string
		switch {
		case k.AWSProfile != nil:
			its, over = f.profileVariables(k.AWSProfile, path)
		case f.isWebIdentity(k.Token):
			its, over = webIdentityVariables(path)
		case f.isGcloudToken(k.Token):
			its = []outlet.Variable{{Name: "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", Value: path}}
			over = []string{"CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE", "CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT"}
		default:
			others = append(others, path)
			continue
		}
		if len(vars) > 0 {
			continue
		}
		vars, shadows = its, over
		f.mustBeThere(path, "writes it once it has the credential")
		f.warnOfRest(its[0].Name)
	}
	return vars, shadows, others
}

var awsKeys = []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}

// profileVariables name a profile, and its file where that is not the one that SDKs read anyway.
func (f *finding) profileVariables(k *config.KeptAWSProfile, path string) (vars []outlet.Variable, shadows []string) {
	vars = []outlet.Variable{{Name: "AWS_PROFILE", Value: cmp.Or(k.Profile, defaultProfile)}}
	// botocore prefers AWS_DEFAULT_PROFILE to AWS_PROFILE, and some SDKs prefer what stands in the environment to a profile.
	shadows = slices.Concat(awsKeys, []string{"AWS_DEFAULT_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME"})
	if f.options.Home != "" && path == filepath.Join(f.options.Home, ".aws", "credentials") {
		shadows = append(shadows, "AWS_SHARED_CREDENTIALS_FILE")
	} else {
		vars = append(vars, outlet.Variable{Name: "AWS_SHARED_CREDENTIALS_FILE", Value: path})
	}
	if region := f.region(); region != "" {
		// Go and JavaScript read the one, botocore the other.
		vars = append(vars, outlet.Variable{Name: "AWS_REGION", Value: region}, outlet.Variable{Name: "AWS_DEFAULT_REGION", Value: region})
	}
	return vars, shadows
}

// isWebIdentity reports whether a file is what AWS_WEB_IDENTITY_TOKEN_FILE is for: an OIDC token for AWS STS and nothing
// else, for some SDKs present a line end too.
func (f *finding) isWebIdentity(t *config.KeptToken) bool {
	return isForSTS(f.crossing) && (t.Form == "" || t.Form == config.FormToken)
}

// isForSTS reports whether a crossing ends in a token that is made out to AWS STS.
func isForSTS(c config.Crossing) bool {
	audience := ""
	switch {
	case c.To.Token != nil:
		audience = c.To.Token.Audience
	case givesIDToken(c):
		audience = c.To.GCP.IDToken.Audience
	}
	host, _, _ := strings.Cut(strings.TrimPrefix(audience, "https://"), "/")
	return host == "sts.amazonaws.com" || host == "sts.amazonaws.com.cn"
}

// webIdentityVariables have AWS SDKs find a token for AWS STS.
func webIdentityVariables(path string) (vars []outlet.Variable, shadows []string) {
	return []outlet.Variable{{Name: "AWS_WEB_IDENTITY_TOKEN_FILE", Value: path}}, slices.Concat(awsKeys, []string{"AWS_PROFILE", "AWS_DEFAULT_PROFILE"})
}

// warnOfNoRole tells what a token for AWS STS does not say.
func (p *program) warnOfNoRole() {
	if p.env("AWS_ROLE_ARN") == "" {
		p.warn("AWS_WEB_IDENTITY_TOKEN_FILE says who the program is, and not which role it wants: set AWS_ROLE_ARN too")
	}
}

// isGcloudToken reports whether a file is an access token alone.
func (f *finding) isGcloudToken(t *config.KeptToken) bool {
	return f.crossing.To.GCP != nil && !givesIDToken(f.crossing) && (t.Form == "" || t.Form == config.FormToken || t.Form == config.FormLine)
}

// warnOfRest tells what a variable does not do.
func (f *finding) warnOfRest(variable string) {
	switch variable {
	case "AWS_WEB_IDENTITY_TOKEN_FILE":
		f.program.warnOfNoRole()
	case "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE":
		f.program.warn("gcloud reads CLOUDSDK_AUTH_ACCESS_TOKEN_FILE, and Google's libraries do not: they find a gce endpoint")
	}
}

// keepsDefault reports whether serve itself keeps this crossing in the default profile of a file: then nothing else wins.
func (f *finding) keepsDefault(path string) bool {
	for _, k := range f.plan.Serve.Files {
		if k.Crossing == f.name && k.AWSProfile != nil && cmp.Or(k.AWSProfile.Profile, defaultProfile) == defaultProfile && f.fileOf(k) == filepath.Clean(path) {
			return true
		}
	}
	return false
}
