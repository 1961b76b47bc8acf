// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"time"
)

// A FileStatus is how a file with a crossing's credential stands.
type FileStatus struct {
	Crossing string
	Path     string
	Profile  string    // of a file of profiles; else empty
	Ready    bool      // it holds a credential that is valid
	Expires  time.Time // of what it holds; zero: it holds nothing
	Failures int       // to renew it, since the last success
}

// files tells of credentials in files. Labels are as many as the configuration names files.
func (x *exposition) files(all []FileStatus, now time.Time) {
	if len(all) == 0 {
		return
	}
	gauge := func(name, help string, of func(FileStatus) (float64, bool)) {
		x.family(name, "gauge", help)
		for _, f := range all {
			if v, ok := of(f); ok {
				x.value(name, v, "crossing", f.Crossing, "file", f.Path, "profile", f.Profile)
			}
		}
	}
	gauge("stile_file_ready", "Whether the file holds a credential that is valid.", func(f FileStatus) (float64, bool) {
		if f.Ready {
			return 1, true
		}
		return 0, true
	})
	gauge("stile_file_expires_in_seconds", "How long the credential in the file lives from now.", func(f FileStatus) (float64, bool) {
		return f.Expires.Sub(now).Seconds(), !f.Expires.IsZero()
	})
	gauge("stile_file_failures", "Attempts to renew the file that failed since the last that did not.", func(f FileStatus) (float64, bool) {
		return float64(f.Failures), true
	})
}
