// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func init() { programs["adopt"] = adopt }

// adopt is a program that runs a command as a container's first process does: orphans fall to it. Beside that it starts a
// program, as a source may be, which ends when this is told to, and says how.
func adopt() {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		os.Exit(code(err))
	}
	source := exec.CommandContext(context.Background(), "sh", "-c", "exit 7")
	if err := source.Start(); err != nil {
		os.Exit(code(err))
	}
	ended := run(os.Args[1:])
	_ = source.Wait() // late, and it is to be had all the same
	fmt.Println("source:", source.ProcessState)
	os.Exit(ended)
}

// Orphans are gone once they have ended, and what os/exec waits for it gets.
func TestOrphans(t *testing.T) {
	t.Parallel()
	f := scripts(t, map[string]string{
		// Each orphan's parent ends at once. Then the command looks until none of them is left.
		"command": `
for i in 1 2 3 4 5 6 7 8; do sh -c 'sh -c "exit 3" & echo $! >>orphans'; done
for pid in $(cat orphans); do while test -d /proc/$pid; do sleep 0.01; done; done
echo none left
exit 5
`})
	cmd := away(t, f, "adopt", "sh", "command")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() }).Stop()
	if got, want := ending(t, cmd), "exit status 5"; got != want || out.String() != "none left\nsource: exit status 7\n" {
		t.Errorf("%s, want %s: %s", got, want, &out)
	}
}

// The same as a container's first process itself, where this user may make such a one.
func TestOrphansOfTheFirstProcess(t *testing.T) {
	t.Parallel()
	f := scripts(t, map[string]string{"command": `
sh -c 'sh -c "exit 3" & echo $! >orphan'
read pid <orphan
while test -d /proc/$pid; do sleep 0.01; done
kill -TERM $$
`})
	cmd := away(t, f, "sh", "-c", "mount -t proc none /proc && echo mounted >&2 && exec run sh command")
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skip("no namespace of processes can be had: ", err)
	}
	defer time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() }).Stop()
	lines := bufio.NewScanner(errs)
	mounted := lines.Scan() && strings.TrimSpace(lines.Text()) == "mounted"
	got := ending(t, cmd)
	if !mounted {
		t.Skip("no /proc can be mounted: ", lines.Text())
	}
	// It is not ended by the signal that ended its command: the kernel lets no first process die so.
	if want := "exit status 143"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
