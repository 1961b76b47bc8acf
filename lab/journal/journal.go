// SPDX-License-Identifier: Apache-2.0

// Package journal records what each emulated cloud was asked and what it checked before it answered, so that a person
// watching the lab sees why a request passed or failed.
package journal

import (
	"fmt"
	"sync"
	"time"
)

// A Check is one thing a cloud looked at, in the order it looked.
type Check struct {
	Text string `json:"text"` // "the signature is that of ASIA…'s secret"
	OK   bool   `json:"ok"`
}

// An Entry is one request as the cloud saw it. It holds no secret: no token, no signature, no key.
type Entry struct {
	Time      time.Time `json:"time"`
	Cloud     string    `json:"cloud"`     // "AWS" or "Google Cloud"
	Service   string    `json:"service"`   // "STS", "IAM Credentials", "Cloud Storage"
	Operation string    `json:"operation"` // "AssumeRoleWithWebIdentity"
	Caller    string    `json:"caller,omitempty"`
	Checks    []Check   `json:"checks"`
	Status    int       `json:"status"`
	Code      string    `json:"code,omitempty"`
	Message   string    `json:"message,omitempty"`
}

// OK notes a check that passed.
func (e *Entry) OK(format string, args ...any) { e.note(true, format, args...) }

// Fail notes the check that the request failed.
func (e *Entry) Fail(format string, args ...any) { e.note(false, format, args...) }

func (e *Entry) note(ok bool, format string, args ...any) {
	e.Checks = append(e.Checks, Check{Text: fmt.Sprintf(format, args...), OK: ok})
}

// A Journal keeps the newest entries. The zero Journal is ready for use, by many goroutines.
type Journal struct {
	mu      sync.Mutex
	entries []Entry
}

// limit bounds what a long-running lab remembers.
const limit = 4096

// Add appends a finished entry.
func (j *Journal) Add(e Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.entries) == limit {
		j.entries = append(j.entries[:0], j.entries[limit/2:]...)
	}
	j.entries = append(j.entries, e)
}

// Take returns all entries, oldest first, and forgets them.
func (j *Journal) Take() []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	taken := j.entries
	j.entries = nil
	return taken
}
