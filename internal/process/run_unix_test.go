// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What does not start is told, with the exit code of env, and with what to do about it where it would start elsewhere.
func TestUnstarted(t *testing.T) {
	t.Parallel()
	f := scripts(t, map[string]string{"plain": "echo ran\n", "closed": "#!/bin/sh\necho ran\n", "lost": "#!/not/there\n"})
	for _, name := range []string{"plain", "lost"} {
		if err := os.Chmod(filepath.Join(string(f), name), 0o700); err != nil { //nolint:gosec // it is to be run
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		path, command string
		code          int
		want          string
	}{
		"none":                       {"/bin", "no-such-command", 127, "find the command: "},
		"none of that path":          {"/bin", "./no-such-command", 127, "find the command: "},
		"not to be run":              {"/bin", "./closed", 126, "find the command: "},
		"a script without #!":        {"/bin", "./plain", 126, "exec format error: a script must begin with #! and its interpreter"},
		"no such interpreter":        {"/bin", "./lost", 127, "start the command: "},
		"in the current folder":      {".:/bin", "plain", 126, "current directory: name it by its path"},
		"in an element that is none": {":/bin", "plain", 126, "current directory: name it by its path"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), "run", c.command)
			cmd.Dir, cmd.Env = string(f), append(os.Environ(), "PATH="+c.path)
			out, err := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(string(out), c.want) {
				t.Errorf("%d, %v, want %d: %s", code, err, c.code, out)
			}
		})
	}
}
