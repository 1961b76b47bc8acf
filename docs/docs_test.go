// SPDX-License-Identifier: Apache-2.0

// Package docs_test holds the project's pages true: what they show works, and what they name exists.
package docs_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stile-project/stile/config"
	awstrust "github.com/stile-project/stile/trust/aws"
	gcptrust "github.com/stile-project/stile/trust/gcp"
)

// pages are all that a reader is sent to, from here.
var pages = []string{"../README.md", "../ARCHITECTURE.md", "../SECURITY.md", "../CONTRIBUTING.md", "../CHANGELOG.md", "trust.md", "lab.md", "sources.md", "caching.md", "serve.md", "conformance.md"}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(data), "\r\n", "\n")
}

// blocks are the fenced blocks of a language on a page.
func blocks(page, language string) []string {
	var found []string
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(page, -1) {
		found = append(found, m[1])
	}
	return found
}

// The lines of Go in the README are those of the examples, which run. An example has a Client more, since it runs in
// the lab, and hands the credentials to its own storage service for the same reason.
func TestReadmeShowsTheExamples(t *testing.T) {
	t.Parallel()
	examples := read(t, "../example_test.go")
	for _, inTheLab := range []string{", Client: client", "Client: client", ", config.WithHTTPClient(client)"} {
		examples = strings.ReplaceAll(examples, inTheLab, "")
	}
	examples = strings.ReplaceAll(examples, "storageService(ctx, client, ", "storage.NewService(ctx, ")
	if lines := shown(t, "../README.md", examples); lines != 6 {
		t.Errorf("README.md shows %d lines of Go, want 3 for each direction", lines)
	}
}

func TestLabPageShowsTheExamples(t *testing.T) {
	t.Parallel()
	if shown(t, "lab.md", read(t, "../example_test.go")) == 0 {
		t.Error("lab.md shows no Go")
	}
}

// shown counts the lines of Go on a page, and reports those that are not among the examples.
func shown(t *testing.T, page, examples string) (lines int) {
	t.Helper()
	for _, block := range blocks(read(t, page), "go") {
		for line := range strings.Lines(block) {
			lines++
			if !strings.Contains(examples, "\t"+line) {
				t.Errorf("%s shows a line that no example runs:\n%s", page, line)
			}
		}
	}
	return lines
}

func TestFilesShownAreGood(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	for _, name := range pages {
		page := read(t, name)
		for i, block := range blocks(page, "yaml") {
			seen["yaml"]++
			allowing := config.ForeignPolicy{AllowStores: true, AllowExecutables: strings.Contains(block, "executable:")}
			if _, err := config.ParseAllowing(fmt.Sprintf("%s, block %d", name, i+1), []byte(block), allowing); err != nil {
				t.Error(err)
			}
		}
		for i, block := range blocks(page, "json") {
			seen["json"]++
			parse := awstrust.ParseIdentity
			if strings.Contains(block, `"Principal"`) {
				parse = awstrust.ParseTrust
			}
			if _, err := parse([]byte(block)); err != nil {
				t.Errorf("%s, block %d: %v", name, i+1, err)
			}
		}
		for _, m := range regexp.MustCompile(`--attribute-condition="([^"]+)"`).FindAllStringSubmatch(page, -1) {
			seen["condition"]++
			if _, err := gcptrust.Compile(gcptrust.DefaultAWS(), m[1]); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for _, kind := range []string{"yaml", "json", "condition"} {
		if seen[kind] == 0 {
			t.Errorf("no page shows a %s: the pages are not read as they are written", kind)
		}
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#\s]+)(?:#[^)]*)?\)`)
	for _, name := range pages {
		for _, m := range link.FindAllStringSubmatch(read(t, name), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
			}
		}
	}
}

func TestPagesNameRealTests(t *testing.T) {
	t.Parallel()
	known := tests(t)
	named := 0
	for _, name := range pages {
		for _, test := range regexp.MustCompile(`\b(?:Test|Fuzz|Example)[A-Z]\w+`).FindAllString(read(t, name), -1) {
			named++
			if !known[test] {
				t.Errorf("%s names %s, and there is no such test", name, test)
			}
		}
	}
	if named == 0 {
		t.Error("no page names a test")
	}
}

// tests are the names of all test functions in the tree.
func tests(t *testing.T) map[string]bool {
	t.Helper()
	known := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example)\w+)\(`)
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		data, err := os.ReadFile(path)
		for _, m := range function.FindAllStringSubmatch(string(data), -1) {
			known[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return known
}
