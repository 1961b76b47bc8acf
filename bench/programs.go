// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// programs are what is built for a run, as a release is built.
type programs struct{ stile, hello, launch, bare, load string }

func build(ctx context.Context, root, folder string) (programs, error) {
	flags := []string{"build", "-trimpath", "-ldflags=-s -w", "-o", folder + string(filepath.Separator), "./cmd/stile", "./bench/hello", "./bench/launch", "./bench/bare", "./bench/load"}
	cmd := exec.CommandContext(ctx, "go", flags...) //nolint:gosec // the folder is ours
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return programs{}, fmt.Errorf("build: %w\n%s", err, out)
	}
	at := func(name string) string { return filepath.Join(folder, name) }
	return programs{at("stile"), at("hello"), at("launch"), at("bare"), at("load")}, nil
}

// A command is a program with its arguments and its environment.
type command struct {
	argv []string
	env  []string
}

// isSession checks what an SDK would be given.
func isSession(out []byte) error {
	var s struct{ AccessKeyID, SecretAccessKey, SessionToken, Expiration string }
	if err := json.Unmarshal(out, &s); err != nil {
		return errors.New("what it printed is no JSON")
	}
	if s.AccessKeyID == "" || s.SecretAccessKey == "" || s.SessionToken == "" || s.Expiration == "" {
		return errors.New("what it printed is no session")
	}
	return nil
}

// cost is what a program took, from start to end.
type cost struct{ wall, cpu, memory float64 } // in nanoseconds, and in bytes

// measured runs a command by way of launch.
func (p programs) measured(ctx context.Context, c command, check func([]byte) error) (cost, error) {
	figures, tell, err := os.Pipe()
	if err != nil {
		return cost{}, err
	}
	defer func() { _ = figures.Close() }()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, p.launch, c.argv...) //nolint:gosec // what runs is ours
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = c.env, &out, &errs, []*os.File{tell}
	err = cmd.Run()
	_ = tell.Close() // so that reading ends
	if err == nil {
		err = check(out.Bytes())
	}
	if err != nil {
		return cost{}, fmt.Errorf("%s: %w\n%s", filepath.Base(c.argv[0]), err, errs.Bytes())
	}
	text, err := io.ReadAll(figures)
	if err != nil {
		return cost{}, err
	}
	var took cost
	if _, err := fmt.Fscan(bytes.NewReader(text), &took.wall, &took.cpu, &took.memory); err != nil {
		return cost{}, fmt.Errorf("launch said %q: %w", text, err)
	}
	took.memory *= residentUnit
	return took, nil
}

// python finds an interpreter with boto3, itself and not a shim before it. Empty: there is none.
func python(ctx context.Context, env []string) (path, version string) {
	shim, err := exec.LookPath("python3")
	if err != nil {
		return "", ""
	}
	out, err := exec.CommandContext(ctx, shim, "-c", "import sys; print(sys.executable)").Output() //nolint:gosec // found in PATH
	if err != nil {
		return "", ""
	}
	path = strings.TrimSpace(string(out))
	cmd := exec.CommandContext(ctx, path, "-c", "import boto3, platform; print('Python', platform.python_version() + ', boto3', boto3.__version__)")
	cmd.Env = env
	if out, err = cmd.Output(); err != nil {
		return "", ""
	}
	return path, strings.TrimSpace(string(out))
}
