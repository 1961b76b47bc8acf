// SPDX-License-Identifier: Apache-2.0

//go:build unix

// Launch runs a program for the benchmarks. Plainly, it tells on descriptor 3 what the program took: nanoseconds by the
// clock, of the processor, and the kernel's number for the most memory that was resident. Linux counts the memory of
// whoever starts a program as the program's own, so that must be something smaller than what is measured. With "wait"
// before the program it waits until its standard input ends, and becomes the program, at the lowest priority.
package main

import (
	"io"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

func main() {
	args := os.Args[1:]
	if len(args) > 1 && args[0] == "wait" {
		runtime.LockOSThread() // its priority is what the program has
		if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, 19); err != nil {
			fail(err)
		}
		_, _ = io.Copy(io.Discard, os.Stdin)                // however it ends, it has ended
		fail(syscall.Exec(args[1], args[1:], os.Environ())) //nolint:gosec // whoever runs it says what
	}
	began := time.Now()
	pid, err := syscall.ForkExec(args[0], args, &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}}) //nolint:gosec // as above
	if err != nil {
		fail(err)
	}
	var status syscall.WaitStatus
	var used syscall.Rusage
	for {
		if _, err = syscall.Wait4(pid, &status, 0, &used); err != syscall.EINTR {
			break
		}
	}
	took := time.Since(began)
	if err != nil {
		fail(err)
	}
	text := strconv.FormatInt(took.Nanoseconds(), 10) + " " + strconv.FormatInt(used.Utime.Nano()+used.Stime.Nano(), 10) +
		" " + strconv.FormatInt(int64(used.Maxrss), 10) + "\n" //nolint:unconvert // it is 32 bits wide on some systems
	if _, err := os.NewFile(3, "figures").WriteString(text); err != nil {
		fail(err)
	}
	os.Exit(status.ExitStatus())
}

func fail(err error) {
	_, _ = os.Stderr.WriteString("launch: " + err.Error() + "\n")
	os.Exit(125)
}
