// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stile-project/stile/internal/shape"
)

// An Input is a file's content under the name that messages call it by. An absent file has no Data.
type Input struct {
	Name string
	Data []byte
}

// ParseAWSProfile reads the crossing into AWS that a profile of the AWS configuration names, from the config
// file, where its section is [profile NAME], and the credentials file, where it is [NAME] and wins. The profile's
// role_arn becomes the target; region, role_session_name, duration_seconds, use_fips_endpoint and the endpoint_url for
// STS are what the AWS SDKs mean by them. The token comes from web_identity_token_file, as the SDKs have it, and without
// one from Google's metadata server; stile_audience is what the ID token is made out to. Other settings are left
// alone. An empty profile is "default". The error is [Problems].
//
// Source of the keys: AWS SDKs and Tools Reference Guide, shared config and credentials files.
func ParseAWSProfile(config, credentials Input, profile string, allow ForeignPolicy) (Crossing, error) {
	if profile == "" {
		profile = "default"
	}
	r := newReader(allow)
	r.unknown = func(field, []string) {}
	a := awsFiles{reader: r, profile: profile}
	a.config = a.sections(&config)
	a.credentials = a.sections(&credentials)
	n := a.merged(config.Name, credentials.Name)
	if n == nil || len(r.problems) > 0 {
		return Crossing{}, r.err()
	}
	c := a.crossing(n)
	if err := r.err(); err != nil {
		return Crossing{}, err
	}
	c.Name, c.Origin, c.Warnings = profile, n.at.file, r.warnings
	return c, nil
}

type awsFiles struct {
	*reader
	profile             string
	config, credentials map[string]*section
}

func (a awsFiles) sections(in *Input) map[string]*section {
	in.Name = shownName(in.Name)
	if len(bytes.TrimSpace(in.Data)) == 0 {
		return nil
	}
	return a.ini(in.Name, in.Data)
}

// merged gives the profile's settings from both files.
func (a awsFiles) merged(configName, credentialsName string) *node {
	wanted := strings.Join(strings.Fields(a.profile), " ")
	found := a.config["profile "+wanted]
	if found == nil && wanted == "default" {
		found = a.config["default"]
	}
	second := a.credentials[wanted]
	if found == nil && second == nil {
		if len(a.problems) == 0 {
			a.missing(configName, credentialsName)
		}
		return nil
	}
	n := &node{kind: mapping}
	for _, s := range []*section{second, found} {
		if s == nil {
			continue
		}
		n.at = s.at
		a.sound(s.body)
		above := len(n.fields)
		for _, f := range s.body.fields {
			if !slices.ContainsFunc(n.fields[:above], func(o field) bool { return o.key == f.key }) {
				n.fields = append(n.fields, f)
			}
		}
	}
	return n
}

func (a awsFiles) missing(configName, credentialsName string) {
	var names []string
	for name := range a.config {
		if p, ok := strings.CutPrefix(name, "profile "); ok || name == "default" {
			names = append(names, p)
		}
	}
	for name := range a.credentials {
		names = append(names, name)
	}
	hint := fmt.Sprintf("add [profile %s]", shown(a.profile))
	if near := nearest(a.profile, names); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	where := strings.Join(slices.DeleteFunc([]string{configName, credentialsName}, func(s string) bool { return s == "" }), " and ")
	if where == "" {
		where = "AWS configuration"
	}
	a.problem(position{file: where}, "no profile %q: %s", shown(a.profile), hint)
}

// shown bounds a name that came from a command line.
func shown(name string) string {
	name = shownName(name)
	if r := []rune(name); len(r) > 128 {
		return string(r[:128]) + "…"
	}
	return name
}

func (a awsFiles) crossing(n *node) Crossing {
	from, file, to := new(FromGCP), new(TokenFile), new(ToAWS)
	a.otherSource(n)
	a.mapping(n,
		may("role_arn", a.text(&to.Role, shape.RoleARN)),
		may("region", a.text(&to.Region, shape.Region)),
		may("role_session_name", a.text(&to.SessionName, shape.SessionName)),
		may("duration_seconds", a.secondsText(&to.Duration)),
		may("use_fips_endpoint", a.truthText(&to.FIPS)),
		may("stile_audience", a.text(&from.Audience, audience)),
		may("external_id", a.idle("a web identity has no external id")),
		may("web_identity_token_file", a.text(&file.Path, filePath)),
	)
	if !n.has("role_arn") {
		a.problem(n.at, "the profile names no role_arn: add the role to become")
	}
	a.endpoint(to, n)
	a.samePartition(n, to.Role, to.Region)
	if n.has("web_identity_token_file") {
		return Crossing{From: From{OIDC: &FromOIDC{Audience: from.Audience, File: file}}, To: To{AWS: to}}
	}
	return Crossing{From: From{GCP: from}, To: To{AWS: to}}
}

// otherSource refuses a profile whose role is assumed with keys of AWS itself.
func (a awsFiles) otherSource(n *node) {
	for _, key := range []string{"source_profile", "credential_source", "mfa_serial"} {
		if f, ok := n.field(key); ok {
			a.problem(f.at, "%s: this role is assumed from within AWS, which is no crossing: remove it, or use another profile", key)
		}
	}
}

func (a awsFiles) idle(why string) func(*node) {
	return func(n *node) {
		a.warnings = append(a.warnings, fmt.Sprintf("%s:%d: %s has no effect: %s", n.at.file, n.at.line, n.key, why))
	}
}

func (a awsFiles) secondsText(dst *Duration) func(*node) {
	return func(n *node) {
		s, ok := a.textOf(n)
		if !ok {
			return
		}
		v, err := strconv.Atoi(s)
		d := time.Duration(v) * time.Second
		if err != nil || v < 0 || v > int(sessionMost/time.Second) || d < sessionLeast {
			a.problem(n.at, "%s: want a whole number of seconds, 900 to 43200", n.key)
			return
		}
		*dst = Duration(d)
	}
}

func (a awsFiles) truthText(dst *bool) func(*node) {
	return func(n *node) {
		s, ok := a.textOf(n)
		switch {
		case !ok:
		case strings.EqualFold(s, "true"), strings.EqualFold(s, "false"):
			*dst = strings.EqualFold(s, "true")
		default:
			a.problem(n.at, "%s: want true or false", n.key)
		}
	}
}

// endpoint finds the STS endpoint: that of the profile's services section comes before the profile's own endpoint_url.
func (a awsFiles) endpoint(to *ToAWS, n *node) {
	f, ok := n.field("endpoint_url")
	if s, chosen := n.field("services"); chosen {
		name := "services " + strings.Join(strings.Fields(s.value.text), " ")
		services := a.config[name]
		if services == nil {
			a.problem(s.at, "services names no section: add [services NAME], or remove it")
			return
		}
		a.sound(services.body)
		if sts, found := services.body.field("sts"); found && sts.value.kind == mapping {
			a.sound(sts.value)
			if own, found := sts.value.field("endpoint_url"); found {
				f, ok = own, true
			}
		}
	}
	if !ok {
		return
	}
	a.text(&to.STSEndpoint, a.allow.stsEndpoint)(f.value)
	if to.FIPS {
		a.problem(f.at, "use_fips_endpoint chooses the STS host and so does endpoint_url: keep one")
	}
}
