// SPDX-License-Identifier: Apache-2.0

package gcptrust

import (
	"fmt"
	"maps"
	"slices"
)

// Limits on what a mapping gives. Source: Google IAM v1, WorkloadIdentityPoolProvider.
const (
	MaxSubject = 127      // bytes of google.subject
	MaxMapped  = 8 * 1024 // bytes of all mapped values together
)

// Attributes are what Google knows of a federated caller, and all that IAM can bind.
type Attributes struct {
	Subject string            // google.subject
	Groups  []string          // google.groups; nil when the mapping has none
	Custom  map[string]string // attribute.NAME by NAME
}

// A LimitError says that a mapping gave more than Google keeps. Its text is Google's own.
type LimitError struct {
	Attribute string // "google.subject"; empty for all attributes together
	Size      int    // bytes
	Limit     int    // bytes
}

// Error is the error_description of Google STS.
func (e *LimitError) Error() string {
	what := "mapped attribute " + e.Attribute
	if e.Attribute == "" {
		what = "all mapped attributes"
	}
	return fmt.Sprintf("The size of %s exceeds the %d bytes limit. Either modify your attribute mapping or the incoming"+
		" assertion to produce a mapped attribute that is less than %[2]d bytes.", what, e.Limit)
}

func (a Attributes) checkSize() error {
	if len(a.Subject) > MaxSubject {
		return &LimitError{Attribute: subjectKey, Size: len(a.Subject), Limit: MaxSubject}
	}
	size := len(a.Subject)
	for _, group := range a.Groups {
		size += len(group)
	}
	for _, value := range a.Custom {
		size += len(value)
	}
	if size > MaxMapped {
		return &LimitError{Size: size, Limit: MaxMapped}
	}
	return nil
}

// Members lists every IAM member that names this identity, the most specific first: the subject, each group, each custom
// attribute by name, and the whole pool. The pool is projects/NUMBER/locations/global/workloadIdentityPools/POOL.
// Values stand in a member as they are, unescaped; an empty one has no member.
func (a Attributes) Members(pool string) []string {
	one, set := "principal://iam.googleapis.com/"+pool, "principalSet://iam.googleapis.com/"+pool
	members := []string{one + "/subject/" + a.Subject}
	for _, group := range a.Groups {
		if group != "" {
			members = append(members, set+"/group/"+group)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.Custom)) {
		if a.Custom[name] != "" {
			members = append(members, set+"/attribute."+name+"/"+a.Custom[name])
		}
	}
	return append(members, set+"/*")
}
