// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestUnchanged(t *testing.T) {
	t.Parallel()
	const smaps = `00400000-00b50000 r-xp 00000000 fe:00 10948680     /opt/my stile
Rss:                7488 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me sd
00b50000-0134f000 r--p 00750000 fe:00 10948680     /opt/my stile
Anonymous:             0 kB
Swap:                  0 kB
0134f000-013b6000 rw-p 00f4f000 fe:00 10948680     /opt/my stile
Anonymous:             0 kB
Swap:                  0 kB
013b6000-013b7000 r--p 00f4f000 fe:00 10948680     /opt/my stile
Anonymous:             4 kB
Swap:                  0 kB
013b7000-013b8000 r--p 00f4f000 fe:00 10948680     /opt/my stile
Anonymous:             0 kB
Swap:                  4 kB
013b8000-013b9000 r--p 00f4f000 fe:00 10948680     /opt/my stile
Rss:                   4 kB
7fb095ae0000-7fb095e00000 r--p 00000000 00:00 0
Anonymous:             0 kB
Swap:                  0 kB
7ffc0a9d5000-7ffc0a9d7000 r-xp 00000000 00:00 0    [vdso]
Anonymous:             0 kB
Swap:                  0 kB
7ffc0b9d5000-7ffc0b9d7000 r--p 00000000 fe:00 7    /opt/my stile.so
Anonymous:             0 kB
Swap:                  0 kB`
	want := []mapping{{0x400000, 0xb50000}, {0xb50000, 0x134f000}}
	if got := unchanged(strings.NewReader(smaps), "/opt/my stile"); !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	if got := unchanged(strings.NewReader("garbage\n-- :\nff-0 r-xp 0 0 0 x\nAnonymous: 0\nSwap: 0"), "x"); len(got) != 0 {
		t.Errorf("found %x in garbage", got)
	}
}

// TestShed: the process goes on, and its own mappings are found.
func TestShed(t *testing.T) {
	t.Parallel()
	name, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if len(unchanged(f, name)) == 0 {
		t.Error("nothing of this program's file is mapped")
	}
	shed()
}
