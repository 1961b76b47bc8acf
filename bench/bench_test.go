// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

// The benches that start no program run here as `go run ./bench -short` runs them, and fail where something is wrong.
func TestShort(t *testing.T) {
	var out, errs bytes.Buffer
	if err := run(t.Context(), []string{"-short", "-only", "read,rotation,keys"}, &out, &errs); err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	for _, want := range []string{"oauth2.ReuseTokenSource", "p50 / p99 / p99.9 / max", "100 keys: memory of one"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table has no %q:\n%s", want, out.String())
		}
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	chosen, err := choose("keys,read")
	if err != nil || len(chosen) != 2 || chosen[0].name != "keys" || chosen[1].name != "read" {
		t.Errorf("got %d benches and %v, want keys and read", len(chosen), err)
	}
	if _, err := choose("raed"); err == nil || !strings.Contains(err.Error(), "read, rotation") {
		t.Errorf("got %v, want an error that lists the benches", err)
	}
	all, err := choose("")
	if err != nil || len(all) != len(benches)-1 || slices.ContainsFunc(all, func(b bench) bool { return b.name == "soak" }) {
		t.Errorf("got %d benches and %v, want all but soak", len(all), err)
	}
}

// A bench that fails is told of, and the others run all the same.
func TestMeasureGoesOn(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	reports, err := measure(t.Context(), []bench{
		{"a", "A", func(context.Context, *place) (report, error) { return report{}, broken }, false},
		{"b", "B", func(context.Context, *place) (report, error) { return report{rows: []row{{what: "x"}}}, nil }, false},
	}, place{}, io.Discard)
	if !errors.Is(err, broken) || len(reports) != 1 || reports[0].title != "B" {
		t.Errorf("got %v and %v, want B's report and A's error", reports, err)
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	var hundred []float64
	for i := range 100 {
		hundred = append(hundred, float64(100-i))
	}
	for q, want := range map[float64]float64{0: 1, 0.5: 50, 0.99: 99, 0.999: 100, 1: 100} {
		if got := quantile(hundred, q); got != want {
			t.Errorf("quantile %v: got %v, want %v", q, got, want)
		}
	}
	if hundred[0] != 100 {
		t.Error("the figures were put in order where they stood")
	}
	if !math.IsNaN(quantile(nil, 0.5)) {
		t.Error("the quantile of nothing is a number")
	}
}

func TestFiguresAreWritten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ got, want string }{
		{span(6.431), "6.43 ns"}, {span(99.94), "99.9 ns"}, {span(1234), "1.23 µs"}, {span(200e6), "200 ms"}, {span(15e9), "15.0 s"}, {span(math.NaN()), "-"},
		{size(391), "391 B"}, {size(1640), "1.60 KiB"}, {size(14.2 * (1 << 20)), "14.2 MiB"},
		{grouped(7), "7"}, {grouped(100), "100"}, {grouped(1000), "1,000"}, {grouped(1234567), "1,234,567"},
		{times([]float64{3, 4, 2}), "3.00 (2.00–4.00)"}, {times(nil), ""}, {digits(0), "0"}, {digits(0.00512), "0.00512"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestPairwise(t *testing.T) {
	t.Parallel()
	if got := pairwise([]float64{6, 8}, []float64{2, 4}); !slices.Equal(got, []float64{3, 2}) {
		t.Errorf("got %v, want [3 2]", got)
	}
}

// What is slow in the control is the machine's doing; what waits for an exchange is not.
func TestInnocent(t *testing.T) {
	t.Parallel()
	reads := make([]float64, 1000)
	for name, c := range map[string]struct {
		ours, control rotated
		want          bool
	}{
		"nothing is slow":     {rotated{took: reads}, rotated{took: reads}, true},
		"both alike":          {rotated{took: reads, slow: 20}, rotated{took: reads, slow: 20}, true},
		"as chance has it":    {rotated{took: reads, slow: 30}, rotated{took: reads, slow: 20}, true},
		"more than chance":    {rotated{took: reads, slow: 40}, rotated{took: reads, slow: 20}, false},
		"in fewer reads":      {rotated{took: reads[:100], slow: 20}, rotated{took: reads, slow: 20}, false},
		"one that waited":     {rotated{took: reads, slow: 1, waited: 1}, rotated{took: reads, slow: 20}, false},
		"no control's figure": {rotated{took: reads, slow: 10}, rotated{}, false},
	} {
		if got := c.ours.innocent(c.control); got != c.want {
			t.Errorf("%s: got %t, want %t", name, got, c.want)
		}
	}
}

var sample = []report{{
	title: "A <title>",
	rows: []row{{what: "time", ours: "1 ns", against: "a|b", theirs: "4 ns", ratio: "4.00 (4.00–4.00)", budget: "at least 3", met: met},
		{what: "size", ours: "9 B", budget: "under 8 B", met: missed}, {what: "neither"}},
	panels: []panel{{title: "x & y", unit: span, budget: 3, groups: []group{{"g", []bar{{"us", 1, true}, {"them", 4, false}, {"none", 0, false}}}}}, {title: "empty", unit: span}},
	notes:  []string{"A note."},
}}

func TestResults(t *testing.T) {
	t.Parallel()
	got := string(results([][2]string{{"Date", "today"}}, sample))
	for _, want := range []string{"- **Date**: today\n", "| time | 1 ns, ratio 4.00 (4.00–4.00) to a\\|b | at least 3 | met |\n", "| size | 9 B | under 8 B | MISSED |\n",
		"| neither |  |  |  |  |  |  |\n", "\nA note.\n", "](results.svg)"} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %q in\n%s", want, got)
		}
	}
}

// What is written by itself is replaced by itself, and stays when the rest is written.
func TestPartsStay(t *testing.T) {
	t.Parallel()
	soaked := func(found string) []report {
		return []report{{title: "Soak", rows: []row{{what: "answers", ours: found}}}}
	}
	first := withParts([]byte("# Old\n"), [][2]string{{"Date", "today"}, {"Libraries", "many"}}, soaked("1"))
	second := string(withParts(first, [][2]string{{"Date", "tomorrow"}}, soaked("2")))
	if strings.Count(second, "## Soak") != 1 || !strings.HasPrefix(second, "# Old\n") || !strings.Contains(second, "| answers | 2 |") || !strings.Contains(second, "**Date**: tomorrow") {
		t.Errorf("the part was not replaced:\n%s", second)
	}
	if text := string(first); strings.Contains(text, "Libraries") || !strings.Contains(text, "**Date**: today") {
		t.Errorf("want the date of the part, and not the libraries:\n%s", text)
	}
	third := string(withPartsOf([]byte("# New\n"), []byte(second)))
	if !strings.HasPrefix(third, "# New\n") || strings.Contains(third, "Old") || !strings.Contains(third, "| answers | 2 |") {
		t.Errorf("the part did not stay:\n%s", third)
	}
	if got := string(withPartsOf([]byte("# New\n"), nil)); got != "# New\n" {
		t.Errorf("got %q of no old file", got)
	}
}

func TestPlotIsXML(t *testing.T) {
	t.Parallel()
	drawn := plot(sample)
	bars := 0
	for in := xml.NewDecoder(bytes.NewReader(drawn)); ; {
		token, err := in.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, drawn)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "rect" {
			bars++
		}
	}
	if bars != 1+3 {
		t.Errorf("drew %d rectangles, want the page and 3 bars", bars)
	}
	if bytes.Contains(drawn, []byte("NaN")) || !bytes.Contains(drawn, []byte("prefers-color-scheme: dark")) {
		t.Errorf("not fit to be seen:\n%s", drawn)
	}
}
