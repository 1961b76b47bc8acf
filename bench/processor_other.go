// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package main

import "math"

// processorTime is not known here.
func processorTime() float64 { return math.NaN() }
