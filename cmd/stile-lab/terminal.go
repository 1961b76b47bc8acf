// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/stile-project/stile/lab/journal"
	"github.com/stile-project/stile/lab/stage"
)

// terminal tells the play to a person. Colour only helps: every mark is a character too.
type terminal struct {
	w      io.Writer
	colour bool
}

func newTerminal(w io.Writer) terminal {
	f, ok := w.(*os.File)
	colour := false
	if ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" {
		info, err := f.Stat()
		colour = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return terminal{w, colour}
}

const (
	bold  = "1"
	dim   = "2"
	red   = "31"
	green = "32"
)

func (t terminal) paint(style, text string) string {
	if !t.colour {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

func (t terminal) line(format string, args ...any) { fmt.Fprintf(t.w, format+"\n", args...) }

func (t terminal) story(number int, s story) {
	if number > 1 {
		t.line("")
	} else {
		t.line("Two clouds on this machine. Nothing leaves it, and no account is needed.\n")
	}
	t.line("%s", t.paint(bold, fmt.Sprintf("%d. %s", number, s.Title)))
	t.line("   %s", s.Who)
}

func (t terminal) step(s step) {
	t.line("\n   %s %s", t.paint(bold, "The workload"), t.paint(bold, s.Does))
	t.asked(s.Asked)
	if !s.OK {
		t.line("   %s %s", t.paint(red, "✗ failed:"), s.Error)
		return
	}
	tail := fmt.Sprintf("%.0f ms", s.TookMS)
	if s.Expires != nil {
		tail += ", expires in " + time.Until(*s.Expires).Round(time.Second).String()
	}
	t.line("   %s %s %s", t.paint(green, "="), s.Got, t.paint(dim, "("+tail+")"))
}

func (t terminal) asked(entries []journal.Entry) {
	for _, e := range entries {
		answer := fmt.Sprintf("%d", e.Status)
		if e.Code != "" {
			answer += " " + e.Code
		}
		t.line("     %s %s %s %s", t.paint(dim, "·"), who(e), e.Operation, t.paint(dim, "→ "+answer))
		for _, c := range e.Checks {
			mark := t.paint(green, "✓")
			if !c.OK {
				mark = t.paint(red, "✗")
			}
			t.line("         %s %s", mark, short(c.Text))
		}
	}
}

// who names a service as its users do.
func who(e journal.Entry) string {
	service := strings.TrimPrefix(e.Service, "Cloud ")
	if strings.HasPrefix(service, "Google ") {
		return service
	}
	return e.Cloud + " " + service
}

// short leaves out of a resource name what is the same in every line.
func short(text string) string {
	const prefix = "//iam.googleapis.com/projects/" + stage.Number + "/locations/global/workloadIdentityPools/"
	return strings.ReplaceAll(text, prefix, "//…/")
}

func (t terminal) refusals() {
	t.line("\n%s", t.paint(bold, "3. What the clouds refuse"))
}

func (t terminal) refusal(number int, r refusal) {
	t.line("\n   %s", t.paint(bold, fmt.Sprintf("%d) %s", number, r.Attempt)))
	for _, e := range r.Asked {
		for _, c := range e.Checks {
			if !c.OK {
				t.line("     %s %s: %s", t.paint(red, "✗"), who(e), short(c.Text))
			}
		}
	}
	if !r.OK {
		t.line("   %s %s", t.paint(red, "✗ not as it should be:"), r.Error)
		return
	}
	t.line("     %s answered %d %s: %s", r.Cloud, r.Status, r.Code, short(r.Message))
	if r.Hint != "" {
		t.line("     %s", t.paint(dim, "hint: "+r.Hint))
	}
}

func (t terminal) end(p play, took time.Duration) {
	t.line("")
	if p.OK {
		t.line("%s in %.1f s. No key was stored anywhere.", t.paint(green, fmt.Sprintf("Both crossings done, %d attempts refused,", len(p.Refusals))), took.Seconds())
	}
}
