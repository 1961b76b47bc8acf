// SPDX-License-Identifier: Apache-2.0

package awstrust

import "slices"

// admitAction reports whether the statement is about the action. Letter case does not count, and no variable is read.
func (s selection) admitAction(action string) bool {
	found := slices.ContainsFunc(s.want, func(w pattern) bool {
		g, _ := w.expand(nil)
		return g.likeFold(action)
	})
	return found != s.not
}

// admitResource reports whether the statement is about the resource. missing is a variable without a value: what it
// stands in matches nothing, and NotResource with it admits nothing.
func (s selection) admitResource(resource string, ctx context) (ok bool, missing string) {
	found := false
	for _, w := range s.want {
		g, unset := w.expand(ctx)
		if unset != "" {
			missing = unset
			continue
		}
		found = found || g.like(resource)
	}
	if s.not {
		return !found && missing == "", missing
	}
	return found, missing
}
