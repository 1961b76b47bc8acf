// SPDX-License-Identifier: Apache-2.0

package serve

// descriptors: handles are not what Windows runs out of.
func descriptors() int { return 1 << 20 }
