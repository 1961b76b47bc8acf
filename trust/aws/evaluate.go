// SPDX-License-Identifier: Apache-2.0

package awstrust

// Evaluate decides the request: a Deny statement that matches settles it, then an Allow statement that matches does,
// and without either the policy is silent.
func (p *Policy) Evaluate(r Request) Decision {
	ctx := newContext(r.Context)
	var d Decision
	var allowed *statement
	for i := range p.statements {
		st := &p.statements[i]
		applies, why := st.applies(r, ctx)
		d.Reasons = append(d.Reasons, st.reason(applies, why))
		switch {
		case !applies:
		case st.deny && !d.ExplicitDeny:
			d.ExplicitDeny, d.Statement = true, st.name()
		case !st.deny && allowed == nil:
			allowed = st
		}
	}
	if allowed != nil && !d.ExplicitDeny {
		d.Allowed, d.Statement = true, allowed.name()
	}
	return d
}

// applies looks at the elements in the order in which a reader wants to hear of them, and stops at the first that does
// not match.
func (st *statement) applies(r Request, ctx context) (ok bool, why string) {
	if st.principals != nil {
		if ok, why := st.principals.admit(r.Principal); !ok {
			return false, why
		}
	}
	if !st.actions.admitAction(r.Action) {
		return false, st.actions.mismatch("action", r.Action, "")
	}
	if st.resources != nil {
		if ok, missing := st.resources.admitResource(r.Resource, ctx); !ok {
			return false, st.resources.mismatch("resource", r.Resource, missing)
		}
	}
	return st.checkClauses(r, ctx)
}

// checkClauses tells of every condition that fails, for they are mended together, or else of those that hold.
func (st *statement) checkClauses(r Request, ctx context) (ok bool, why string) {
	var failed, held []string
	for _, c := range st.clauses {
		f := c.check(ctx)
		if f.ok {
			held = append(held, f.story(ctx))
		} else {
			failed = append(failed, f.story(ctx))
		}
	}
	if len(failed) > 0 {
		return false, join(failed)
	}
	if st.principals != nil && st.principals.not && st.deny && r.Principal.Kind == AWS {
		held = append([]string{st.principals.denied(r.Principal)}, held...)
	}
	return true, join(held)
}

func (st *statement) name() string {
	if st.sid != "" {
		return st.sid
	}
	return st.label()
}
