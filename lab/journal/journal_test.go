// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"strconv"
	"testing"

	"github.com/stile-project/stile/lab/journal"
)

func TestTakeGivesOldestFirstAndForgets(t *testing.T) {
	t.Parallel()
	var j journal.Journal
	e := journal.Entry{Operation: "a"}
	e.OK("fine: %d", 1)
	e.Fail("not fine")
	j.Add(e)
	j.Add(journal.Entry{Operation: "b"})
	taken := j.Take()
	if len(taken) != 2 || taken[0].Operation != "a" || taken[1].Operation != "b" {
		t.Fatalf("got %v", taken)
	}
	if c := taken[0].Checks; len(c) != 2 || !c[0].OK || c[0].Text != "fine: 1" || c[1].OK {
		t.Errorf("checks %v", c)
	}
	if again := j.Take(); len(again) != 0 {
		t.Errorf("not forgotten: %v", again)
	}
}

func TestJournalIsBounded(t *testing.T) {
	t.Parallel()
	var j journal.Journal
	const many = 10_000
	for i := range many {
		j.Add(journal.Entry{Operation: strconv.Itoa(i)})
	}
	taken := j.Take()
	if len(taken) == 0 || len(taken) > 4096 {
		t.Fatalf("%d entries kept", len(taken))
	}
	if last := taken[len(taken)-1].Operation; last != strconv.Itoa(many-1) {
		t.Errorf("the newest is %s", last)
	}
}
