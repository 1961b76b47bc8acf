// SPDX-License-Identifier: Apache-2.0

package house_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// compiledAtStart lists the positions at which a file compiles a regular expression before main begins: in the value
// of a package's variable. A function that is only called later may compile what it likes.
func compiledAtStart(file *ast.File, at func(token.Pos) token.Position) (found []token.Position) {
	name := ""
	for _, spec := range file.Imports {
		if spec.Path.Value == `"regexp"` {
			name = "regexp"
			if spec.Name != nil {
				name = spec.Name.Name
			}
		}
	}
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || name == "" {
			continue
		}
		ast.Inspect(gen, func(n ast.Node) bool {
			if _, later := n.(*ast.FuncLit); later {
				return false
			}
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == name && strings.HasPrefix(sel.Sel.Name, "MustCompile") {
					found = append(found, at(sel.Pos()))
				}
			}
			return true
		})
	}
	return found
}

// An agent runs the program anew for each request that it signs: what is compiled before main begins is paid for by
// every one of them, whether it is used or not.
func TestProgramCompilesNoPatternAtStart(t *testing.T) {
	t.Parallel()
	g := tree(t)
	own := []string{"./cmd/stile"}
	for name := range g.links("./cmd/stile") {
		if matches("./...", name) {
			own = append(own, name)
		}
	}
	slices.Sort(own)
	if len(own) < 10 {
		t.Fatalf("the program links %s of the project: it is not where it was", own)
	}
	for _, name := range own {
		files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(name), "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("list the files of %s: %d, %v", name, len(files), err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, where := range patternsOf(t, path, string(content)) {
				t.Errorf("%s: every command compiles this pattern as it starts, and most use it never: spell it out with internal/shape, or compile it where it is used", where)
			}
		}
	}
}

func patternsOf(t *testing.T, path, content string) []token.Position {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, content, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return compiledAtStart(file, set.Position)
}

func TestCompiledAtStartIsFound(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]int{
		"import \"regexp\"\nvar a = regexp.MustCompile(`a`)":                                                              1,
		"import \"regexp\"\nvar (\na = regexp.MustCompile(`a`)\nb = regexp.MustCompilePOSIX(`b`)\n)":                      2,
		"import re \"regexp\"\nvar all = map[string]*re.Regexp{`a`: re.MustCompile(`a`)}":                                 1,
		"import \"regexp\"\nfunc a() *regexp.Regexp { return regexp.MustCompile(`a`) }":                                   0,
		"import (\"regexp\"; \"sync\")\nvar a = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`a`) })": 0,
		"import \"regexp\"\nvar a *regexp.Regexp":                                                                         0,
		"var regexp pattern\nvar a = regexp.MustCompile(`a`)":                                                             0,
	} {
		if got := patternsOf(t, "x.go", "package x\n"+content+"\n"); len(got) != want {
			t.Errorf("%s\nfound %v, want %d", content, got, want)
		}
	}
}
