// SPDX-License-Identifier: Apache-2.0

// Package shape knows what the names of both clouds look like, so that files, flags and targets agree on it.
package shape

// A Shape checks one value and gives it in its canonical spelling. Its error says what is wanted and never quotes the
// value: it may be someone's secret, put in the wrong place.
type Shape = func(string) (string, error)
