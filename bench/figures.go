// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// median is the middle one; NaN of none.
func median(values []float64) float64 { return quantile(values, 0.5) }

// quantile is the value that the share q of all are at most; NaN of none.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, max(0, int(math.Ceil(q*float64(len(sorted))))-1))]
}

// pairwise divides the figures of the same round.
func pairwise(theirs, ours []float64) []float64 {
	var ratios []float64
	for i := range min(len(theirs), len(ours)) {
		ratios = append(ratios, theirs[i]/ours[i])
	}
	return ratios
}

// times writes the median of ratios, and between which it is.
func times(ratios []float64) string {
	if len(ratios) == 0 {
		return ""
	}
	return fmt.Sprintf("%s (%s–%s)", digits(median(ratios)), digits(slices.Min(ratios)), digits(slices.Max(ratios)))
}

// digits writes a number with three digits that count.
func digits(v float64) string {
	switch {
	case math.IsNaN(v):
		return "-"
	case v == 0, v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', max(2, 2-int(math.Floor(math.Log10(v)))), 64)
}

// span writes nanoseconds.
func span(ns float64) string {
	switch {
	case math.IsNaN(ns):
		return "-"
	case ns < 1e3:
		return digits(ns) + " ns"
	case ns < 1e6:
		return digits(ns/1e3) + " µs"
	case ns < 1e9:
		return digits(ns/1e6) + " ms"
	}
	return digits(ns/1e9) + " s"
}

// size writes bytes.
func size(bytes float64) string {
	switch {
	case bytes < 1<<10:
		return digits(bytes) + " B"
	case bytes < 1<<20:
		return digits(bytes/(1<<10)) + " KiB"
	}
	return digits(bytes/(1<<20)) + " MiB"
}

// grouped writes a count with its thousands apart.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func nanoseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) }
