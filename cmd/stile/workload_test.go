// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stile-project/stile/lab"
	"github.com/stile-project/stile/lab/stage"
)

// A workload is a place in a lab of its own, the environment that a program has there, and every secret that the
// clouds gave out or were shown.
type workload struct {
	scene  *stage.Stage
	server *lab.Server
	folder string
	env    []string

	mu      sync.Mutex
	faults  map[string]http.Handler // by host, or host and the path's beginning
	secrets map[string]bool
}

// newWorkload sets a new stage and puts a workload at a place: ec2, ecs, gce, both (EC2 and Google Cloud at once),
// nowhere (nothing listens) or blackhole (nothing ever answers). Whoever made it closes it.
func newWorkload(place, folder string) (*workload, error) {
	scene, err := stage.Set(lab.Options{})
	if err != nil {
		return nil, err
	}
	w := &workload{scene: scene, folder: folder, faults: map[string]http.Handler{}, secrets: map[string]bool{}}
	scene.World.Faults.Add(lab.Fault{Replace: http.HandlerFunc(w.cloud)})
	if w.server, err = scene.World.Listen(); err != nil {
		return nil, err
	}
	if err := w.settle(place); err != nil {
		w.server.Close()
		return nil, err
	}
	return w, nil
}

func (w *workload) close() { w.server.Close() }

// settle writes the workload's files and environment: the same that stile-lab up prints, one place at a time.
func (w *workload) settle(place string) error {
	ca, home := filepath.Join(w.folder, "ca.pem"), filepath.Join(w.folder, "home")
	for _, err := range []error{
		os.MkdirAll(home, 0o700), os.WriteFile(ca, w.server.CA, 0o600),
		os.WriteFile(filepath.Join(w.folder, "credential.json"), []byte(stage.CredentialFile), 0o600),
	} {
		if err != nil {
			return err
		}
	}
	w.set("HOME", home)
	w.set("XDG_CONFIG_HOME", filepath.Join(home, ".config"))
	w.set("XDG_CACHE_HOME", filepath.Join(home, ".cache"))
	w.set("STILE_NO_KEYRING", "1") // that of whoever runs the tests is theirs
	w.set("HTTPS_PROXY", w.server.Proxy)
	w.set("NO_PROXY", "127.0.0.1,localhost")
	w.set("STILE_CA_FILE", ca)
	w.set("SSL_CERT_FILE", ca)
	const nobody = "127.0.0.1:1"
	addresses := map[string]string{"instance": nobody, "machine": nobody}
	handlers := map[string]http.Handler{}
	switch place {
	case "ec2":
		handlers["instance"] = w.scene.EC2.Metadata
	case "ecs":
		handlers["task"] = w.scene.ECS.Container
	case "gce":
		handlers["machine"] = w.scene.VM.Metadata
	case "both":
		handlers["instance"], handlers["machine"] = w.scene.EC2.Metadata, w.scene.VM.Metadata
	case "blackhole":
		handlers["instance"], handlers["machine"] = http.HandlerFunc(hang), http.HandlerFunc(hang)
	case "nowhere":
	default:
		return fmt.Errorf("no place %q", place)
	}
	hosts := map[string]string{"instance": "169.254.169.254", "machine": "metadata.google.internal", "task": "169.254.170.2"}
	for name, handler := range handlers {
		address, err := w.server.ServePlain(w.faulty(hosts[name], handler))
		if err != nil {
			return err
		}
		addresses[name] = address
	}
	w.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://"+addresses["instance"]+"/")
	w.set("GCE_METADATA_HOST", addresses["machine"])
	if task := addresses["task"]; task != "" {
		w.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://"+task+w.scene.Task.CredentialsPath())
		w.set("ECS_CONTAINER_METADATA_URI_V4", "http://"+task+w.scene.Task.MetadataPath())
	}
	return nil
}

func (w *workload) set(name, value string) { w.env = append(w.env, name+"="+value) }

func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// cloud answers for the clouds' hosts, through the faults in force.
func (w *workload) cloud(rw http.ResponseWriter, r *http.Request) {
	host, _, _ := strings.Cut(r.Host, ":")
	h, ok := w.scene.World.AWS.Handler(host)
	if !ok {
		h, _ = w.scene.World.Google.Handler(host)
	}
	w.faulty(host, h).ServeHTTP(rw, r)
}

// faulty puts the faults in front of a host, and notes the secrets that pass.
func (w *workload) faulty(host string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		asked, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(asked))
		w.note(string(asked), r.Header.Get("Authorization"), r.Header.Get("X-Aws-Ec2-Metadata-Token"))
		h := next
		if fault := w.faultAt(host, r.URL.Path); fault != nil {
			h = fault
			if real, ok := fault.(realFault); ok {
				real(rw, r, next)
				return
			}
		}
		tee := &teeWriter{ResponseWriter: rw, copied: &bytes.Buffer{}}
		h.ServeHTTP(tee, r)
		w.note(tee.copied.String())
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/api/token") {
			w.addSecret(tee.copied.String())
		}
	})
}

// spoil puts a fault in force at a host, or a host and the path's beginning.
func (w *workload) spoil(where string, fault http.Handler) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults[where] = fault
}

func (w *workload) faultAt(host, path string) http.Handler {
	w.mu.Lock()
	defer w.mu.Unlock()
	for where, fault := range w.faults {
		if faultHost, prefix, _ := strings.Cut(where, "/"); faultHost == host && strings.HasPrefix(path, "/"+prefix) {
			return fault
		}
	}
	return nil
}

type teeWriter struct {
	http.ResponseWriter
	copied *bytes.Buffer
}

func (t *teeWriter) Write(p []byte) (int, error) {
	if t.copied.Len() < 1<<20 {
		t.copied.Write(p)
	}
	return t.ResponseWriter.Write(p)
}

func (t *teeWriter) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// secretForms find secrets in what passes: JSON and XML members, form fields, JWTs, signatures, bearer tokens.
var secretForms = []*regexp.Regexp{
	regexp.MustCompile(`"(?:SecretAccessKey|Token|SessionToken|access_token|accessToken|token|id_token)"\s*:\s*"([^"]{8,})"`),
	regexp.MustCompile(`<(?:SecretAccessKey|SessionToken)>([^<]{8,})<`),
	regexp.MustCompile(`(?:subject_token|WebIdentityToken)=([^&]{8,})`),
	regexp.MustCompile(`(eyJ[\w-]+\.[\w-]+\.[\w-]{16,})`),
	regexp.MustCompile(`Signature=([0-9a-f]{64})`),
	regexp.MustCompile(`Bearer (\S{8,})`),
}

func (w *workload) note(texts ...string) {
	for _, text := range texts {
		for _, form := range secretForms {
			for _, match := range form.FindAllStringSubmatch(text, -1) {
				w.addSecret(match[1])
			}
		}
	}
}

func (w *workload) addSecret(s string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(s) >= 8 {
		w.secrets[s] = true
	}
}

// tells says which secret a text has in it.
func (w *workload) tells(text string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for secret := range w.secrets {
		if strings.Contains(text, secret) {
			return fmt.Errorf("it shows a secret: …%.8s…", secret)
		}
	}
	return nil
}

// untidy says what is wrong with a command's standard error: a secret, or a line that is not Stile's.
func (w *workload) untidy(stderr string) error {
	if err := w.tells(stderr); err != nil {
		return fmt.Errorf("standard error: %w", err)
	}
	for line := range strings.Lines(stderr) {
		if !stileLine.MatchString(line) {
			return fmt.Errorf("a line of standard error is not Stile's: %.200q", line)
		}
		if len(line) > 4000 {
			return fmt.Errorf("a line of standard error has %d bytes: %.200q", len(line), line)
		}
	}
	return nil
}

var stileLine = regexp.MustCompile(`^stile: (error|hint|warning): [^\x00-\x1f\x7f]+\n$`)

// An outcome is what a command did.
type outcome struct {
	code           int
	stdout, stderr string
	took           time.Duration
}

// stile runs the program in a process of its own.
func (w *workload) stile(t *testing.T, more []string, args ...string) outcome {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "stile", args...)
	cmd.Dir, cmd.Env = w.folder, append(append([]string{"PATH=" + os.Getenv("PATH")}, w.env...), more...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	started := time.Now()
	err := cmd.Run()
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		t.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), out.String(), errs.String(), time.Since(started)}
}
