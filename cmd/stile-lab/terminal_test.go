// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestColourOnlyOnATerminal(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	device, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // a character device, as a terminal is
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = device.Close() }()
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if !newTerminal(device).colour {
		t.Error("no colour on a device")
	}
	if newTerminal(file).colour {
		t.Error("colour in a file")
	}
	if newTerminal(&bytes.Buffer{}).colour {
		t.Error("colour in a buffer")
	}
	t.Setenv("NO_COLOR", "1")
	if newTerminal(device).colour {
		t.Error("colour despite NO_COLOR")
	}
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "dumb")
	if newTerminal(device).colour {
		t.Error("colour on a dumb terminal")
	}
}

func TestPaint(t *testing.T) {
	t.Parallel()
	if got := (terminal{}).paint(red, "x"); got != "x" {
		t.Errorf("without colour: %q", got)
	}
	if got := (terminal{colour: true}).paint(red, "x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("with colour: %q", got)
	}
}
