// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-project/stile/lab"
	"github.com/stile-project/stile/lab/stage"
)

func upCommand(failed *bool) *cobra.Command {
	var envFile string
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Keep the clouds running, and print the environment to use them from another shell",
		Long: `Keep the clouds running until interrupted, and print the environment to use them from another shell: one in which
you are both workloads, the EC2 instance and the Compute Engine machine. The clouds answer under their real host names,
by way of a proxy on loopback that leads nowhere else.`,
		Example: `  stile-lab up --env-file lab.env     # in one shell
  . ./lab.env                         # in another
  stile token warehouse
  stile credential-process images`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			*failed = true
			folder, err := os.MkdirTemp("", "stile-lab-")
			if err != nil {
				return err
			}
			defer func() { _ = os.RemoveAll(folder) }()
			out, errs := cmd.OutOrStdout(), cmd.ErrOrStderr()
			up, err := raise(folder)
			if err != nil {
				return err
			}
			defer up.server.Close()
			if err := publish(up, envFile, out, errs); err != nil {
				return err
			}
			<-cmd.Context().Done()
			fmt.Fprintln(errs, "stile-lab: the clouds are gone")
			return nil
		},
	}
	cmd.Flags().StringVar(&envFile, "env-file", "", "write the environment to this file in place of standard output, readable by you alone")
	return cmd
}

func publish(up *running, envFile string, out, errs io.Writer) error {
	if envFile != "" {
		if err := os.WriteFile(envFile, []byte(up.script()), 0o600); err != nil {
			return err
		}
		fmt.Fprintf(errs, "stile-lab: both clouds are up; in another shell:  . %s\n", envFile)
	} else if _, err := io.WriteString(out, up.script()); err != nil {
		return err
	}
	fmt.Fprintln(errs, "stile-lab: interrupt to end them")
	return nil
}

// running is a stage on loopback, and what another process must be told of it.
type running struct {
	scene  *stage.Stage
	server *lab.Server
	folder string

	instance, machine, task string // where the places' metadata is: host:port
}

func raise(folder string) (*running, error) {
	scene, err := stage.Set(lab.Options{})
	if err != nil {
		return nil, err
	}
	server, err := scene.World.Listen()
	if err != nil {
		return nil, err
	}
	r := &running{scene: scene, server: server, folder: folder}
	if err := r.places(); err != nil {
		server.Close()
		return nil, err
	}
	if err := r.files(); err != nil {
		server.Close()
		return nil, err
	}
	return r, nil
}

func (r *running) places() (err error) {
	if r.instance, err = r.server.ServePlain(r.scene.EC2.Metadata); err != nil {
		return err
	}
	if r.machine, err = r.server.ServePlain(r.scene.VM.Metadata); err != nil {
		return err
	}
	r.task, err = r.server.ServePlain(r.scene.ECS.Container)
	return err
}

func (r *running) path(name string) string { return filepath.Join(r.folder, name) }

func (r *running) files() error {
	for name, content := range map[string]string{
		"ca.pem":          string(r.server.CA),
		"credential.json": stage.CredentialFile,
		"stile.yaml":      crossings,
		"aws-config":      "[profile images]\nregion = " + stage.Region + "\ncredential_process = stile credential-process images\n",
		"aws-credentials": "",
	} {
		if err := os.WriteFile(r.path(name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

const crossings = `version: 1
crossings:
  warehouse:                       # the AWS workload reads gs://` + stage.Warehouse + `
    from: { aws: {} }
    to:
      gcp:
        provider: ` + stage.Provider + `
        service_account: ` + stage.Reader + `
  direct:                          # the same with no service account between: gs://` + stage.Direct + `
    from: { aws: {} }
    to: { gcp: { provider: ` + stage.Provider + ` } }
  images:                          # the Google workload reads and writes s3://` + stage.Images + `
    from: { gcp: { audience: ` + stage.ImagesAudience + ` } }
    to:
      aws: { role: ` + stage.FromGCP + `, region: ` + stage.Region + ` }
`

// variables are what a program of any language needs to meet the lab's clouds in place of the real ones.
func (r *running) variables() [][2]string {
	ca := r.path("ca.pem")
	return [][2]string{
		{"HTTPS_PROXY", r.server.Proxy}, {"https_proxy", r.server.Proxy}, {"NO_PROXY", "127.0.0.1,localhost"}, {"no_proxy", "127.0.0.1,localhost"},
		{"STILE_CA_FILE", ca}, {"SSL_CERT_FILE", ca}, {"AWS_CA_BUNDLE", ca}, {"REQUESTS_CA_BUNDLE", ca}, {"CURL_CA_BUNDLE", ca},
		{"NODE_EXTRA_CA_CERTS", ca}, {"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", ca},
		{"AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://" + r.instance + "/"}, {"AWS_REGION", stage.Region}, {"AWS_DEFAULT_REGION", stage.Region},
		{"AWS_CONFIG_FILE", r.path("aws-config")}, {"AWS_SHARED_CREDENTIALS_FILE", r.path("aws-credentials")},
		{"GCE_METADATA_HOST", r.machine}, {"GCE_METADATA_IP", r.machine}, {"GCE_METADATA_ROOT", r.machine},
		{"CLOUDSDK_CONFIG", r.path("gcloud")}, {"CLOUDSDK_CORE_PROJECT", stage.Project},
		{"GOOGLE_APPLICATION_CREDENTIALS", r.path("credential.json")},
		{"STILE_CONFIG", r.path("stile.yaml")}, {"STILE_CACHE_DIR", r.path("cache")},
	}
}

// hidden are variables of the user's own that would win over the lab's.
var hidden = []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ROLE_ARN",
	"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_ENDPOINT_URL",
	"AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_S3", "AWS_EC2_METADATA_DISABLED", "CLOUDSDK_AUTH_ACCESS_TOKEN", "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"}

func (r *running) script() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Both clouds of the lab, for this shell: it is an EC2 instance and a Compute Engine machine at once.\n")
	fmt.Fprintf(&b, "unset %s\n", strings.Join(hidden, " "))
	for _, v := range r.variables() {
		fmt.Fprintf(&b, "export %s='%s'\n", v[0], v[1])
	}
	fmt.Fprintf(&b, "# To be an ECS task in place of the instance:\n")
	fmt.Fprintf(&b, "# export AWS_CONTAINER_CREDENTIALS_FULL_URI='http://%s%s' ECS_CONTAINER_METADATA_URI_V4='http://%s%s'\n",
		r.task, r.scene.Task.CredentialsPath(), r.task, r.scene.Task.MetadataPath())
	return b.String()
}
