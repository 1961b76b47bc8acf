// SPDX-License-Identifier: Apache-2.0

// Package house_test holds what is true of the whole tree: which way its imports run, and how its files begin.
package house_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// module is what the paths of the project's own packages begin with. Rules write "." and "./from/aws" for them.
const module = "github.com/stile-project/stile"

// A listed is one package as go list describes it, of the project or linked by it.
type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
}

// A graph is every package that the project links, by the name that rules give it.
type graph map[string]listed

// tree asks go for the packages of the project and all that they link. Test files do not count: a test may import
// both sides of what it compares.
func tree(t *testing.T) graph {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Standard,Imports", "./...")
	cmd.Dir = root
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("list the packages: %v\n%s", err, errs.Bytes())
	}
	g, err := readGraph(bytes.NewReader(out))
	if err != nil {
		t.Fatalf("read the list of packages: %v", err)
	}
	return g
}

func readGraph(r io.Reader) (graph, error) {
	g := graph{}
	for in := json.NewDecoder(r); ; {
		var p listed
		switch err := in.Decode(&p); {
		case errors.Is(err, io.EOF):
			return g, nil
		case err != nil:
			return nil, err
		}
		for i := range p.Imports {
			p.Imports[i] = short(p.Imports[i])
		}
		g[short(p.ImportPath)] = p
	}
}

// short is the name that rules give a package.
func short(path string) string {
	if rest, ok := strings.CutPrefix(path, module); ok && (rest == "" || rest[0] == '/') {
		return "." + rest
	}
	return path
}

// house lists the project's own packages.
func (g graph) house() []string {
	var own []string
	for name := range g {
		if matches("./...", name) {
			own = append(own, name)
		}
	}
	slices.Sort(own)
	return own
}

// links gives everything that a package links, and for each the shortest way there, for a reader to see who let it in.
// The standard library is left out: everyone may use it.
func (g graph) links(from string) map[string][]string {
	ways := map[string][]string{}
	for queue := [][]string{{from}}; len(queue) > 0; queue = queue[1:] {
		way := queue[0]
		for _, next := range g[way[len(way)-1]].Imports {
			if _, seen := ways[next]; seen || g[next].Standard || next == from || next == "C" {
				continue
			}
			ways[next] = append(slices.Clip(way), next)
			queue = append(queue, ways[next])
		}
	}
	return ways
}

// A rule says what some packages of the project never link, and why.
type rule struct {
	of     []string // patterns: whose links are judged
	never  []string // patterns: what they do not link
	except []string // patterns: what they may link all the same
	why    string
}

// broken lists where the graph breaks the rule, a line each, in a stable order. A rule for packages that are not
// there is broken as well: it holds nothing.
func (r rule) broken(g graph) []string {
	var lines []string
	judged := 0
	for _, name := range g.house() {
		if !anyMatches(r.of, name) {
			continue
		}
		judged++
		for to, way := range g.links(name) {
			if anyMatches(r.never, to) && !anyMatches(r.except, to) {
				lines = append(lines, fmt.Sprintf("%s links %s (%s): %s", name, to, strings.Join(way, " -> "), r.why))
			}
		}
	}
	if judged == 0 {
		lines = append(lines, fmt.Sprintf("no package is %s any more: mend this rule with the tree: %s", strings.Join(r.of, " or "), r.why))
	}
	slices.Sort(lines)
	return lines
}

func anyMatches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) })
}

// matches knows go's own patterns in their simplest form: a path, or a path and "/..." for it and all below.
func matches(pattern, name string) bool {
	if pattern == "..." {
		return true
	}
	if above, ok := strings.CutSuffix(pattern, "/..."); ok {
		return name == above || strings.HasPrefix(name, above+"/")
	}
	return name == pattern
}
