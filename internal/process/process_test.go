// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

// prefix is that of the tests' folders.
const prefix = "stile-test-"

func TestMain(m *testing.M) {
	testscript.Main(leakless{m}, programs)
}

// programs are those that tests start, by name.
var programs = map[string]func(){"run": func() { os.Exit(run(os.Args[1:])) }, "folder": makeAndWait}

// leakless fails where a test has left a goroutine behind.
type leakless struct{ *testing.M }

func (l leakless) Run() int {
	code := l.M.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// run is a program that runs a command, and has nothing to do before it.
func run(args []string) int {
	child, err := Command(args[0], args[1:]...)
	if err != nil {
		return code(err)
	}
	signals := Listen()
	defer signals.Stop()
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	return code(signals.Run(child))
}

// makeAndWait is a program that makes a folder where it is, prints its name and waits to be killed.
func makeAndWait() {
	f, err := NewFolder(prefix, ".")
	if err != nil {
		os.Exit(code(err))
	}
	fmt.Println(f.Path)
	_, _ = os.Stdin.Read(make([]byte, 1))
}

func code(err error) int {
	var ended Ended
	var unstarted *Unstarted
	switch {
	case errors.As(err, &ended):
		return ended.Alike()
	case errors.As(err, &unstarted):
		fmt.Fprintln(os.Stderr, err)
		return unstarted.Code()
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// A folder is where a test's programs run.
type folder string

// scripts is a folder with scripts in it, by name.
func scripts(t *testing.T, texts map[string]string) folder {
	t.Helper()
	f := t.TempDir()
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(f, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder(f)
}
