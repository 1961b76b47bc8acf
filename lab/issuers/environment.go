// SPDX-License-Identifier: Apache-2.0

package issuers

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Variables are the environment variables that a workload finds. Printed, they show their names alone.
type Variables map[string]string

// Lookup finds a variable as os.LookupEnv does.
func (v Variables) Lookup(name string) (string, bool) {
	value, ok := v[name]
	return value, ok
}

// Format keeps values out of logs and test output, for tokens are among them.
func (v Variables) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "[variables %s]", strings.Join(slices.Sorted(maps.Keys(v)), " "))
}

// Files are what a workload finds in its file system, by absolute path with forward slashes. Printed, they show their
// names alone.
type Files map[string]string

// Format keeps contents out of logs and test output, for tokens are among them.
func (v Files) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "[files %s]", strings.Join(slices.Sorted(maps.Keys(v)), " "))
}

// Write puts the files below folder. Each is replaced whole: a reader sees the old content or the new.
func (v Files) Write(folder string) error {
	for name, content := range v {
		if err := replace(filepath.Join(folder, filepath.FromSlash(name)), content); err != nil {
			return fmt.Errorf("writing the workload's files below %s: %w", folder, err)
		}
	}
	return nil
}

func replace(path, content string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
