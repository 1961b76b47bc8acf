// SPDX-License-Identifier: Apache-2.0

//go:build unix

package realclients_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// buildClients makes the programs around Go's clients. Google's storage client is heavy, and its modules may have to be
// fetched first: it is made where clients are required.
func buildClients(t *testing.T, folder string) {
	t.Helper()
	goBuild(t, filepath.Join(folder, "awssdkgo"), "awssdkgo")
	if wantsStorageClient() == nil {
		// It is used over JSON here: without gRPC and xDS it takes a third of the time to build.
		goBuild(t, filepath.Join(folder, "storageclient"), "storageclient", "-tags=disable_grpc_modules")
	}
}

func goBuild(t *testing.T, program, folder string, flags ...string) {
	t.Helper()
	argv := slices.Concat([]string{"build", "-o", program}, flags, []string{"."})
	cmd := exec.CommandContext(t.Context(), "go", argv...)
	cmd.Dir = folder
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build in %s: %v\n%s", folder, err, out)
	}
}

func wantsStorageClient() error {
	if os.Getenv("STILE_REQUIRE_CLIENTS") != "1" {
		return errors.New("Google's storage client for Go is a module of its own, which is not fetched and built by default")
	}
	return nil
}

func onPath(program string) func() error {
	return func() error { return found(program) }
}

// boto3Python is a Python that has boto3; empty: none has.
var boto3Python = sync.OnceValue(func() string {
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(python, "-c", "import boto3").Run() == nil {
			return python
		}
	}
	return ""
})

func hasBoto3() error {
	if boto3Python() == "" {
		return errors.New("no python3 has boto3")
	}
	return nil
}

// sdkRoot is where gcloud is installed, with its own copy of Google's libraries for Python.
var sdkRoot = sync.OnceValue(func() string {
	out, err := exec.Command("gcloud", "info", "--format=value(installation.sdk_root)").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
})

// nodeModules is where npm ci has put what node/package-lock.json names.
func nodeModules() (string, error) {
	folder := os.Getenv("STILE_NODE_MODULES")
	if folder == "" {
		folder = filepath.Join("node", "node_modules")
	}
	folder, err := filepath.Abs(folder)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(folder, "google-auth-library", "package.json")); errors.Is(err, fs.ErrNotExist) {
		return "", errors.New("the clients for Node are not there: npm ci in internal/realclients/node, or STILE_NODE_MODULES=FOLDER/node_modules")
	} else if err != nil {
		return "", err
	}
	return folder, nil
}

func hasNode() error {
	if err := found("node"); err != nil {
		return err
	}
	_, err := nodeModules()
	return err
}

// copyNode puts the scripts for Node where they find their modules.
func copyNode(t *testing.T, w *world) {
	t.Helper()
	modules, err := nodeModules()
	if err != nil {
		return
	}
	must(t, os.Mkdir(w.path("node"), 0o700))
	must(t, os.Symlink(modules, w.path("node/node_modules")))
	for _, name := range []string{"package.json", "s3.mjs", "gcs.mjs", "storage.mjs"} {
		data, err := os.ReadFile(filepath.Join("node", name))
		must(t, err)
		must(t, os.WriteFile(w.path("node/"+name), data, 0o600))
	}
}

// says is a version as a program prints it.
func says(pattern string, argv ...string) func(*testing.T, shell) string {
	return func(t *testing.T, s shell) string {
		t.Helper()
		got := s.run(t, "", argv...)
		if m := regexp.MustCompile(pattern).FindStringSubmatch(got.stdout + got.stderr); m != nil {
			return m[1]
		}
		return fmt.Sprintf("(%s does not say)", argv[0])
	}
}
