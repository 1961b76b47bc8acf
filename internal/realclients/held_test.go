// SPDX-License-Identifier: Apache-2.0

//go:build unix

package realclients_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// held is a client that goes on running: it lists once for each line that it is sent.
type held struct {
	in   io.Writer
	out  *bufio.Reader
	errs *bytes.Buffer
	kill func()
}

// hold starts one, and ends it with the test.
func hold(t *testing.T, s shell, argv ...string) (*held, error) {
	t.Helper()
	cmd := exec.Command("env", argv...) // env finds the program by the PATH that it is given
	errs := &bytes.Buffer{}
	cmd.Env, cmd.Dir, cmd.Stderr, cmd.WaitDelay = s.env(), s.vars["HOME"], errs, 10*time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		_ = in.Close() // it ends by itself, and what it runs before it
		defer time.AfterFunc(patience, func() { _ = cmd.Process.Kill() }).Stop()
		_ = cmd.Wait()
	})
	return &held{in, bufio.NewReader(out), errs, func() { _ = cmd.Process.Kill() }}, nil
}

// list has it list once more. It gives the names, and the client's version.
func (h *held) list(say string) (names []string, version string, err error) {
	defer time.AfterFunc(patience, h.kill).Stop()
	if _, err := fmt.Fprintln(h.in, say); err != nil {
		return nil, "", h.failed(err)
	}
	line, err := h.out.ReadBytes('\n')
	if err != nil {
		return nil, "", h.failed(err)
	}
	var said struct {
		Version, Error string
		Names          []string
	}
	if err := json.Unmarshal(line, &said); err != nil {
		return nil, "", h.failed(fmt.Errorf("it said %q: %w", line, err))
	}
	if said.Error != "" {
		return nil, said.Version, errors.New(said.Error)
	}
	return said.Names, said.Version, nil
}

func (h *held) failed(err error) error {
	h.kill() // so that nothing more is said while it is read
	return fmt.Errorf("%w: %s", err, strings.TrimSpace(h.errs.String()))
}
