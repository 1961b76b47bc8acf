// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// asProgram makes the test binary be stile-lab itself, for tests that need a process.
const asProgram = "STILELAB_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

func TestMisuse(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"unknown command": {"demonstrate"}, "unknown flag": {"demo", "--jsn"}, "argument": {"demo", "now"}, "missing value": {"up", "--env-file"},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, &out, &errs); code != 2 {
			t.Errorf("%s: exit code %d", name, code)
		}
		if out.Len() > 0 || !strings.HasPrefix(errs.String(), "stile-lab: error: ") {
			t.Errorf("%s: standard output %q, standard error %q", name, out.String(), errs.String())
		}
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"--help"}, {"demo", "--help"}, {"up", "--help"}} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, &out, &errs); code != 0 || errs.Len() > 0 || !strings.Contains(out.String(), "stile-lab demo") && !strings.Contains(out.String(), "stile-lab up") {
			t.Errorf("%q: exit code %d, standard output %q, standard error %q", args, code, out.String(), errs.String())
		}
	}
}

func TestUpFailsWhereItCannotWrite(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"up", "--env-file", t.TempDir() + "/no/such/folder/lab.env"}, &out, &errs); code != 1 {
		t.Errorf("exit code %d, standard error %q", code, errs.String())
	}
}

func TestUpEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	if code := run(ctx, []string{"up"}, &out, &errs); code != 0 || !strings.Contains(out.String(), "\nexport HTTPS_PROXY='http://127.0.0.1:") {
		t.Errorf("exit code %d, standard output %q, standard error %q", code, out.String(), errs.String())
	}
}
