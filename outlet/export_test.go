// SPDX-License-Identifier: Apache-2.0

package outlet

// Reach has reach called before a disk is asked for what is at a path. It is set before Run.
func Reach(f *Files, reach func(path string)) { f.disks.reach = reach }
