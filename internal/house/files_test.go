// SPDX-License-Identifier: Apache-2.0

package house_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// root is the top of the tree, as seen from here.
var root = filepath.Join("..", "..")

const licence = "// SPDX-License-Identifier: Apache-2.0\n\n"

// Every Go file begins with the licence. Reading them all also makes go test see that a file has changed, so that it
// does not repeat from memory what the import graph was.
func TestGoFilesBeginWithTheLicence(t *testing.T) {
	t.Parallel()
	seen := 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata"):
			return filepath.SkipDir
		case entry.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		seen++
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !licensed(content) {
			t.Errorf("%s: the first line is not %q with an empty line after it", path, strings.TrimSpace(licence))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 50 {
		t.Errorf("saw %d Go files: this is not the top of the tree", seen)
	}
}

// licensed leaves line ends to the checkout's own habit.
func licensed(content []byte) bool {
	return bytes.HasPrefix(bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n")), []byte(licence))
}

func TestLicensed(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]bool{
		licence + "package x\n": true,
		strings.ReplaceAll(licence, "\n", "\r\n") + "package x\r\n": true,
		"":             false,
		"package x\n":  false,
		"\n" + licence: false,
		"// SPDX-License-Identifier: Apache-2.0\npackage x\n": false, // that would be the package's documentation
		"// SPDX-License-Identifier: MIT\n\npackage x\n":      false,
	} {
		if got := licensed([]byte(content)); got != want {
			t.Errorf("licensed(%q) = %t, want %t", content, got, want)
		}
	}
}
