// SPDX-License-Identifier: Apache-2.0

package main

import "io/fs"

// isOurs is not known here: folders of others are closed to this user by their own lists of who may write.
func isOurs(fs.FileInfo) bool { return true }
