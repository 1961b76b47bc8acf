// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"testing"
)

// A command is built alone where it is asked for by its name, and must then be the same that help finds among all.
func TestACommandAlone(t *testing.T) {
	t.Parallel()
	help := func(args ...string) string {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), args, nil, &stdout, &stderr); code != done || stderr.Len() > 0 {
			t.Errorf("%v ended with %d: %s", args, code, &stderr)
		}
		return stdout.String()
	}
	p := &program{env: func(string) string { return "" }}
	for _, cmd := range p.root(nil).Commands() {
		name := cmd.Name()
		if alone, among := help(name, "--help"), help("help", name); alone != among {
			t.Errorf("stile %s --help says\n%s\nand stile help %[1]s\n%s", name, alone, among)
		}
		if builtIn := name == "help" || name == "completion"; !builtIn && len(p.root([]string{name}).Commands()) != 2 {
			t.Errorf("to %s, others were built: it and help are enough", name)
		}
	}
}
