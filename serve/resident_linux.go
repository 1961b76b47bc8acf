// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"os"
	"strconv"
	"strings"
)

// residentBytes is the second field of /proc/self/statm, in pages (proc(5)).
func residentBytes() (int64, bool) {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err == nil
}
