// SPDX-License-Identifier: Apache-2.0

//go:build unix

package realclients_test

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write docs/conformance.md")

// TestConformance has every client list a bucket with a credential that it finds in each place where it looks, and list
// again once stile has a newer one there. The lab's journal says whom it took the client for. docs/conformance.md is
// what came of it.
func TestConformance(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes a minute or two")
	}
	cells := theCells()
	programs := build(t)
	buildClients(t, programs)
	w := newWorld(t, programs, prefixes(cells))
	copyNode(t, w)
	w.serve(t)
	acting := make(chan struct{}, runtime.GOMAXPROCS(0)+1)
	var all sync.WaitGroup
	for _, c := range cells {
		all.Go(func() {
			t.Run(c.name(), func(t *testing.T) {
				during(acting, func() { c.begin(t, w) })
				c.waitForRotation(t)
				during(acting, func() { c.again(t, w) })
			})
		})
	}
	all.Wait()
	checkPage(t, cells)
}

// during holds a place among those who act at the same time.
func during(places chan struct{}, act func()) {
	places <- struct{}{}
	defer func() { <-places }()
	act()
}

// A cell is one client and one source.
type cell struct {
	client *client
	source source
	prefix string // below which it lists, and no other cell does

	shell   shell
	process *held // of a client that goes on running
	first   use
	version string
	done    bool // all of it was shown
}

// A client is a program that no one here wrote, and how it lists.
type client struct {
	name    string
	sources []source
	absence func() error // nil where it can be run
	argv    func(*world, *cell) []string
	stays   bool                           // it goes on running, and lists once for each line that it is sent
	version func(*testing.T, shell) string // of one that does not
	renews  map[string]string              // by source: what a client that stays must be told, to look for a newer credential
}

// A source is where a client finds a credential that stile keeps there.
type source struct {
	name   string
	bucket string
	object string
	caller string   // how whom the lab takes the client for begins
	own    bool     // the client gets a token to cross with, and makes the exchange itself
	under  []string // the command that runs the client; nil: nothing does
	vars   func(t *testing.T, w *world, s shell) map[string]string
}

func theCells() (cells []*cell) {
	for _, c := range clients() {
		for _, from := range c.sources {
			cells = append(cells, &cell{client: c, source: from, prefix: fmt.Sprintf("cell-%02d/", len(cells))})
		}
	}
	return cells
}

func prefixes(cells []*cell) (all []string) {
	for _, c := range cells {
		all = append(all, c.prefix)
	}
	return all
}

func (c *cell) name() string { return c.client.name + ", " + c.source.name }

// begin lists for the first time.
func (c *cell) begin(t *testing.T, w *world) {
	t.Helper()
	if err := c.client.absence(); err != nil {
		absent(t, err)
	}
	c.shell = w.client.shell(t)
	c.shell = c.shell.with(c.source.vars(t, w, c.shell))
	if c.client.stays {
		var err error
		if c.process, err = hold(t, c.shell, c.argv(w)...); err != nil {
			t.Fatal(err)
		}
	} else {
		c.version = c.client.version(t, c.shell)
	}
	c.first = c.list(t, w, "list")
}

// waitForRotation waits until what the client used has less of its life left than stile hands out.
func (c *cell) waitForRotation(t *testing.T) {
	t.Helper()
	wait := life
	if c.source.own {
		wait = proofLife
	}
	timer := time.NewTimer(wait/2 + time.Second)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
		t.FailNow()
	}
}

// again lists until another credential was used. A client may go on with the one it has for as long as that is good,
// while it asks for the next: Google's storage client for Go, and gsutil.
func (c *cell) again(t *testing.T, w *world) {
	t.Helper()
	second, deadline := c.first, time.Now().Add(life)
	for second.credential == c.first.credential {
		if time.Now().After(deadline) {
			t.Fatal("it goes on with the credential of before the rotation")
		}
		second = c.list(t, w, cmp.Or(c.client.renews[c.source.name], "list"))
	}
	before, _ := w.grantOf(c.first.credential)
	now, _ := w.grantOf(second.credential)
	if c.source.own && before.proof == now.proof {
		t.Fatal("it showed the token of before the rotation")
	}
	c.done = true
}

// list has the client list once, and looks in the lab for what it did that with.
func (c *cell) list(t *testing.T, w *world, say string) use {
	t.Helper()
	_, before := w.last(c.prefix)
	got, err := c.ask(t, w, say)
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	if !strings.Contains(got, c.prefix+c.source.object) && !strings.Contains(got, " "+c.source.object) {
		t.Fatalf("it listed %q, want %s in it", got, c.source.object)
	}
	used, times := w.last(c.prefix)
	if times == before || !strings.HasPrefix(used.caller, c.source.caller) {
		t.Fatalf("the lab saw %d listings by %q, want one more than %d by %s", times, used.caller, before, c.source.caller)
	}
	// Nobody but stile has an identity here: what the lab gave out, it gave for what stile had.
	if given, ok := w.grantOf(used.credential); !ok || c.source.own && given.proof == "" {
		t.Fatalf("the lab gave out no such credential, or not for a token: %t", ok)
	}
	return used
}

// argv runs the client, under what its source says.
func (c *cell) argv(w *world) []string {
	argv := c.client.argv(w, c)
	if c.source.under == nil {
		return argv
	}
	return slices.Concat(c.source.under, []string{"env"}, argv)
}

func (c *cell) ask(t *testing.T, w *world, say string) (string, error) {
	t.Helper()
	if c.process != nil {
		names, version, err := c.process.list(say)
		c.version = version
		return strings.Join(names, "\n"), err
	}
	got := c.shell.run(t, "", c.argv(w)...)
	if got.code != 0 {
		return "", fmt.Errorf("it ended with code %d: %s%s", got.code, got.stdout, got.stderr)
	}
	return got.stdout, nil
}

// how tells in what way a cell saw the rotation.
func (c *cell) how() string {
	switch {
	case !c.client.stays:
		return "the next run"
	case c.client.renews[c.source.name] != "":
		return "the next session of the same process"
	}
	return "the same process"
}

const pagePath = "../../docs/conformance.md"

const pageHead = `# Conformance

Programs that no one here wrote, unmodified, each finding a credential where its own documentation says it looks, and
where Stile keeps one. Fetched: the credential that the lab saw is one that it gave out for Stile's crossing. Used: the
lab listed a bucket for it, and its journal names the crossing's principal. After a rotation: the client listed once
more, with a newer credential, in the run that is named.

` + "`STILE_REQUIRE_CLIENTS=1 go test ./internal/realclients -run TestConformance -update`" + ` writes this page; ` + "`.ci/run`" + ` repeats it.
Versions are those of the last time it was written.

| client | version | where it finds the credential | fetched | used | after a rotation |
|---|---|---|---|---|---|
`

// checkPage compares the page with what was shown just now. Versions are not compared, nor are clients that are not here.
func checkPage(t *testing.T, cells []*cell) {
	t.Helper()
	if *update {
		if i := slices.IndexFunc(cells, func(c *cell) bool { return !c.done }); i >= 0 {
			t.Fatalf("the page is not written: %s was not shown", cells[i].name())
		}
		var b strings.Builder
		b.WriteString(pageHead)
		for _, c := range cells {
			fmt.Fprintf(&b, "| %s | %s | %s | ✓ | ✓ | ✓ %s |\n", c.client.name, c.version, c.source.name, c.how())
		}
		if err := os.WriteFile(filepath.FromSlash(pagePath), []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := samePage(cells); err != nil {
		t.Errorf("docs/conformance.md is not what the test found; STILE_REQUIRE_CLIENTS=1 go test ./internal/realclients -run TestConformance -update writes it: %v", err)
	}
}

func samePage(cells []*cell) error {
	data, err := os.ReadFile(filepath.FromSlash(pagePath))
	if err != nil {
		return err
	}
	table, found := strings.CutPrefix(string(data), pageHead)
	if !found {
		return errors.New("it begins otherwise")
	}
	rows := strings.Split(strings.TrimSuffix(table, "\n"), "\n")
	if len(rows) != len(cells) {
		return fmt.Errorf("it has %d rows, and there are %d", len(rows), len(cells))
	}
	for i, c := range cells {
		fields := strings.Split(rows[i], " | ")
		want := []string{"| " + c.client.name, "", c.source.name, "✓", "✓", "✓ " + c.how() + " |"}
		if len(fields) == len(want) {
			want[1] = fields[1]
		}
		if !slices.Equal(fields, want) {
			return fmt.Errorf("it says %q, want %q", rows[i], strings.Join(want, " | "))
		}
	}
	return nil
}
