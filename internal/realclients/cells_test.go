// SPDX-License-Identifier: Apache-2.0

//go:build unix

package realclients_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stile-project/stile/lab/stage"
)

// noInstance keeps AWS SDKs from looking at the instance metadata of the machine that runs the tests.
const noInstance = "AWS_EC2_METADATA_DISABLED"

func intoAWS(name string, own bool, vars func(*testing.T, *world, shell) map[string]string) source {
	return source{name: name, bucket: stage.Images, object: stage.CatName, caller: fromSession, own: own, vars: vars}
}

func awsSources() []source {
	return []source{
		intoAWS("ECS", false, func(t *testing.T, w *world, _ shell) map[string]string {
			// As ECS and older SDKs have it: the token itself, and no file.
			token, err := os.ReadFile(w.found["images"][tokenFile])
			must(t, err)
			vars := maps.Clone(w.found["images"])
			vars[tokenFile], vars["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "", strings.TrimSpace(string(token))
			return vars
		}),
		intoAWS("Pod Identity", false, func(_ *testing.T, w *world, _ shell) map[string]string { return w.found["images"] }),
		intoAWS("IMDS", false, func(_ *testing.T, w *world, _ shell) map[string]string { return w.found["machine"] }),
		intoAWS("credential_process", false, func(t *testing.T, w *world, s shell) map[string]string {
			config := "[profile images]\nregion = " + stage.Region + "\ncredential_process = " + w.asWorkload(t, s, "credential-process", "images") + "\n"
			return map[string]string{noInstance: "true", "AWS_PROFILE": "images", "AWS_CONFIG_FILE": s.write(t, "aws-config", config)}
		}),
		intoAWS("web identity file", true, func(_ *testing.T, w *world, _ shell) map[string]string {
			return map[string]string{noInstance: "true", "AWS_ROLE_ARN": stage.FromGCP, "AWS_WEB_IDENTITY_TOKEN_FILE": w.path("for-aws")}
		}),
	}
}

const tokenFile = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"

// asWorkload writes a script that runs stile as the workload, which the client is not.
func (w *world) asWorkload(t *testing.T, s shell, args ...string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("#!/bin/sh\n")
	for name, value := range w.workload.vars {
		fmt.Fprintf(&b, "export %s='%s'\n", name, value)
	}
	fmt.Fprintf(&b, "exec '%s' %s\n", w.program("stile"), strings.Join(args, " "))
	path := s.write(t, "as-workload", b.String())
	must(t, os.Chmod(path, 0o700))
	return path
}

func googleSources() []source {
	own := func(name string, credentialSource func(t *testing.T, w *world, s shell) map[string]any) source {
		return source{name: name, bucket: stage.Direct, object: stage.OrdersName, caller: proofCaller, own: true, vars: func(t *testing.T, w *world, s shell) map[string]string {
			file := s.write(t, "credential.json", externalAccount(t, credentialSource(t, w, s)))
			return map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": file, "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": file,
				"GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES": "1"}
		}}
	}
	return []source{
		{name: "metadata", bucket: stage.Warehouse, object: stage.OrdersName, caller: stage.Reader,
			vars: func(_ *testing.T, w *world, _ shell) map[string]string { return w.found["warehouse"] }},
		own("executable", func(t *testing.T, w *world, s shell) map[string]any {
			return map[string]any{"executable": map[string]any{"command": w.asWorkload(t, s, "token", "for-google", "--executable", "--no-cache"), "timeout_millis": 30000}}
		}),
		own("file", func(_ *testing.T, w *world, _ shell) map[string]any {
			return map[string]any{"file": w.path("for-google"), "format": map[string]string{"type": "text"}}
		}),
		own("URL", func(_ *testing.T, w *world, _ shell) map[string]any {
			return map[string]any{"url": "http://" + w.found["warehouse"]["GCE_METADATA_HOST"] + "/computeMetadata/v1/instance/service-accounts/default/identity?format=full&audience=" + proofAudience,
				"headers": map[string]string{"Metadata-Flavor": "Google"}, "format": map[string]string{"type": "text"}}
		}),
	}
}

// externalAccount is a credential file for direct access.
func externalAccount(t *testing.T, credentialSource map[string]any) string {
	t.Helper()
	file, err := json.Marshal(map[string]any{"universe_domain": "googleapis.com", "type": "external_account", "audience": proofAudience,
		"subject_token_type": "urn:ietf:params:oauth:token-type:id_token", "token_url": "https://sts.googleapis.com/v1/token",
		"token_info_url": "https://sts.googleapis.com/v1/introspect", "credential_source": credentialSource})
	must(t, err)
	return string(file)
}

// underExec has stile exec run the client, with an endpoint that is the client's alone.
func underExec(like source, crossing string) source {
	like.name, like.under = "stile exec", []string{"stile", "exec", crossing, "--"}
	like.vars = func(_ *testing.T, w *world, _ shell) map[string]string { return w.workload.vars }
	return like
}

func clients() []*client {
	aws, google := awsSources(), googleSources()
	goingOnAWS := append(slices.Clone(aws), underExec(aws[0], "images"))
	goingOnGoogle := append(slices.Clone(google), underExec(google[0], "warehouse"))
	return []*client{
		{name: "aws CLI", sources: aws, absence: onPath("aws"), version: says(`aws-cli/(\S+)`, "aws", "--version"),
			argv: func(_ *world, c *cell) []string { return []string{"aws", "s3", "ls", "s3://" + c.below()} }},
		{name: "boto3", sources: goingOnAWS, stays: true, absence: hasBoto3, renews: map[string]string{"IMDS": "new"},
			argv: func(_ *world, c *cell) []string { return c.script(boto3Python(), "python/s3.py") }},
		{name: "AWS SDK for Go v2", sources: goingOnAWS, stays: true, absence: func() error { return nil },
			argv: func(w *world, c *cell) []string { return []string{w.program("awssdkgo"), c.source.bucket, c.prefix} }},
		{name: "AWS SDK for JavaScript v3", sources: goingOnAWS, stays: true, absence: hasNode,
			argv: func(w *world, c *cell) []string {
				return []string{"node", w.path("node/s3.mjs"), c.source.bucket, c.prefix}
			}},
		{name: "curl", sources: aws[:2], absence: onPath("curl"), version: says(`curl (\S+)`, "curl", "--version"),
			argv: func(_ *world, c *cell) []string { return c.curl("curl/ecs.sh") }},
		{name: "curl", sources: aws[2:3], absence: onPath("curl"), version: says(`curl (\S+)`, "curl", "--version"),
			argv: func(_ *world, c *cell) []string { return c.curl("curl/imds.sh") }},
		{name: "gcloud", sources: google, absence: onPath("gcloud"), version: says(`Google Cloud SDK (\S+)`, "gcloud", "--version"),
			argv: func(_ *world, c *cell) []string { return []string{"gcloud", "storage", "ls", "gs://" + c.below()} }},
		{name: "gsutil", sources: google[:1], absence: onPath("gsutil"), version: says(`gsutil version: (\S+)`, "gsutil", "version"),
			argv: func(w *world, c *cell) []string {
				return []string{"gsutil", "-o", "Boto:ca_certificates_file=" + w.path("ca.pem"), "ls", "gs://" + c.below()}
			}},
		{name: "google-auth for Python", sources: goingOnGoogle, stays: true, absence: onPath("gcloud"),
			argv: func(_ *world, c *cell) []string {
				return append([]string{"PYTHONPATH=" + filepath.Join(sdkRoot(), "lib", "third_party")}, c.script("python3", "python/gcs.py")...)
			}},
		{name: "google-auth-library for Node", sources: goingOnGoogle, stays: true, absence: hasNode,
			argv: func(w *world, c *cell) []string {
				return []string{"node", w.path("node/gcs.mjs"), c.source.bucket, c.prefix}
			}},
		{name: "@google-cloud/storage for Node", sources: google[:1], stays: true, absence: hasNode,
			argv: func(w *world, c *cell) []string {
				return []string{"node", w.path("node/storage.mjs"), c.source.bucket, c.prefix}
			}},
		{name: "cloud.google.com/go/storage", sources: goingOnGoogle, stays: true, absence: wantsStorageClient,
			argv: func(w *world, c *cell) []string {
				return []string{w.program("storageclient"), c.source.bucket, c.prefix}
			}},
		{name: "curl", sources: google[:1], absence: onPath("curl"), version: says(`curl (\S+)`, "curl", "--version"),
			argv: func(_ *world, c *cell) []string { return c.curl("curl/gce.sh") }},
	}
}

func (c *cell) below() string { return c.source.bucket + "/" + c.prefix }

// script is an interpreter, one of the scripts beside this test, and what to list.
func (c *cell) script(interpreter, path string) []string {
	here, err := filepath.Abs(filepath.FromSlash(path))
	if err != nil {
		here = path
	}
	return []string{interpreter, here, c.source.bucket, c.prefix}
}

// curl sends what it is given as it is.
func (c *cell) curl(path string) []string {
	argv := c.script("sh", path)
	argv[len(argv)-1] = url.QueryEscape(c.prefix)
	return argv
}
