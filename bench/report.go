// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// A report is what one bench found.
type report struct {
	title  string
	rows   []row
	panels []panel
	notes  []string // sentences: what a reader must know to read the rows
}

// A row is one line of the table. Cells that do not apply are empty.
type row struct {
	what            string // what was measured
	ours            string
	against, theirs string // what it is held against, and its figure
	ratio           string // in our favour where it is above 1
	budget          string
	met             verdict
}

type verdict int

const (
	noBudget verdict = iota
	met
	missed
)

func (v verdict) String() string { return [...]string{"", "met", "MISSED"}[v] }

func judge(ok bool) verdict {
	if ok {
		return met
	}
	return missed
}

var header = []string{"what", "Stile", "against", "theirs", "ratio", "budget", ""}

func (r row) cells() []string {
	return []string{r.what, r.ours, r.against, r.theirs, r.ratio, r.budget, r.met.String()}
}

func printTable(w io.Writer, reports []report) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(header, "\t"))
	for _, r := range reports {
		fmt.Fprintf(table, "-- %s\n", r.title)
		for _, row := range r.rows {
			fmt.Fprintln(table, strings.Join(row.cells(), "\t"))
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, r := range reports {
		for _, note := range r.notes {
			fmt.Fprintf(w, "\n%s: %s\n", r.title, note)
		}
	}
	return nil
}

// results is RESULTS.md.
func results(facts [][2]string, reports []report) []byte {
	var b strings.Builder
	b.WriteString("# What Stile takes\n\nWritten by `go run ./bench`; do not edit. Ratios above 1 are in Stile's favour. Each is of figures that were\n" +
		"taken in turns in the same run; figures are medians unless they say otherwise.\n\n![The same figures, drawn](results.svg)\n\n")
	for _, fact := range facts {
		fmt.Fprintf(&b, "- **%s**: %s\n", fact[0], fact[1])
	}
	b.WriteString("\n## Budgets\n\n")
	markdown(&b, []string{"what", "found", "budget", ""}, func(add func(...string)) {
		for _, r := range reports {
			for _, row := range r.rows {
				if row.met == noBudget {
					continue
				}
				found := row.ours
				if row.ratio != "" {
					found += ", ratio " + row.ratio + " to " + row.against
				}
				add(row.what, found, row.budget, row.met.String())
			}
		}
	})
	for _, r := range reports {
		fmt.Fprintf(&b, "\n## %s\n\n", r.title)
		r.write(&b)
	}
	return []byte(b.String())
}

// write adds the table and the notes.
func (r report) write(b *strings.Builder) {
	markdown(b, header, func(add func(...string)) {
		for _, row := range r.rows {
			add(row.cells()...)
		}
	})
	for _, note := range r.notes {
		fmt.Fprintf(b, "\n%s\n", note)
	}
}

// A part of RESULTS.md that is written by itself stands at its end, between this line and the next such or the end.
const partBegins = "\n<!-- written by itself -->\n"

// withParts puts reports in place of those of the same title that stand in the file, or else at its end.
func withParts(file []byte, facts [][2]string, reports []report) []byte {
	whole, parts := splitParts(file)
	for _, r := range reports {
		var b strings.Builder
		fmt.Fprintf(&b, "## %s\n\n", r.title)
		for _, fact := range facts {
			if slices.Contains([]string{"Date", "Processor", "Load before the run", "Stile"}, fact[0]) {
				fmt.Fprintf(&b, "- **%s**: %s\n", fact[0], fact[1])
			}
		}
		b.WriteString("\n")
		r.write(&b)
		i := slices.IndexFunc(parts, func(part string) bool { return strings.HasPrefix(part, "## "+r.title+"\n") })
		if i < 0 {
			i, parts = len(parts), append(parts, "")
		}
		parts[i] = b.String()
	}
	return joinParts(whole, parts)
}

// withPartsOf gives a new file the parts of the old one.
func withPartsOf(file, old []byte) []byte {
	_, parts := splitParts(old)
	return joinParts(string(file), parts)
}

func splitParts(file []byte) (whole string, parts []string) {
	all := strings.Split(string(file), partBegins)
	return all[0], all[1:]
}

func joinParts(whole string, parts []string) []byte {
	return []byte(strings.Join(append([]string{whole}, parts...), partBegins))
}

func markdown(b *strings.Builder, head []string, rows func(add func(...string))) {
	line := func(cells ...string) {
		for _, c := range cells {
			b.WriteString("| " + strings.ReplaceAll(c, "|", `\|`) + " ")
		}
		b.WriteString("|\n")
	}
	line(head...)
	b.WriteString(strings.Repeat("|---", len(head)) + "|\n")
	rows(line)
}
