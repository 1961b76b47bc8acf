// SPDX-License-Identifier: Apache-2.0

// Package process runs one command as its terminal, its supervisor and its shell expect, as if nothing stood between them
// and the command; it sees other processes end, and keeps folders that are swept once their process is dead.
//
//	child, err := process.Command(name, arguments...)
//	…
//	signals := process.Listen()
//	defer signals.Stop()
//	err = signals.Unless(ctx, prepare)
//	…
//	err = signals.Run(child)
package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"sync"
	"syscall"
)

// Command is the command with a name, found as a shell finds it, but not by way of the current folder: a checkout could
// bring a program of any name. The error is an [*Unstarted].
func Command(name string, args ...string) (*exec.Cmd, error) {
	path, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrDot) {
		err = fmt.Errorf("%w: name it by its path, if that is what you mean", err)
	}
	if err != nil {
		return nil, &Unstarted{"find the command", err}
	}
	child := exec.Command(path, args...) //nolint:gosec,noctx // running what the user named is the point, and it outlives no deadline
	child.Args[0] = name
	return child, nil
}

// Unstarted is why a command did not start.
type Unstarted struct {
	Op  string
	Err error
}

func (u *Unstarted) Error() string { return u.Op + ": " + u.Err.Error() }
func (u *Unstarted) Unwrap() error { return u.Err }

// Code is the exit code of env, nice, nohup and time: 127 for a command that is not there, 126 for one that cannot be run.
// 126 is also a script without #!, which execvp(3) would have /bin/sh run, and with it a program for another machine.
// Source: POSIX, env, EXIT STATUS.
func (u *Unstarted) Code() int {
	const cannotRun, notThere = 126, 127
	if errors.Is(u.Err, exec.ErrNotFound) || errors.Is(u.Err, fs.ErrNotExist) {
		return notThere
	}
	return cannotRun
}

// Ended is how a command ended that failed: by a signal, or where that is zero, by an exit code.
type Ended struct {
	Code   int
	Signal syscall.Signal
}

func (e Ended) Error() string {
	if e.Signal != 0 {
		return "ended by " + e.Signal.String()
	}
	return fmt.Sprintf("ended with code %d", e.Code)
}

// Alike ends this process by the signal that ended the command, if one did: a shell that runs it in a loop stops the loop
// at an interrupt only so, and to systemd it is no failure. Where that cannot be it returns, as it does after an exit code,
// with the exit code that a shell would give.
func (e Ended) Alike() int {
	if e.Signal == 0 {
		return e.Code
	}
	dieOf(e.Signal)
	return 128 + int(e.Signal)
}

// Signals are those that this process gets, from [Listen] to Stop.
type Signals struct{ got chan os.Signal }

// Listen has signals that would end this process end what [Signals.Unless] does.
func Listen() *Signals {
	s := &Signals{make(chan os.Signal, 16)}
	s.listen(endings)
	return s
}

// Stop gives signals their usual meaning back.
func (s *Signals) Stop() { signal.Stop(s.got) }

// listen takes signals, but those that whoever started this process wants ignored: the command is to ignore them too, as
// under nohup, or behind & in a script.
func (s *Signals) listen(which []os.Signal) {
	for _, one := range which {
		if slices.Contains(ignored, one) {
			signal.Ignore(one)
		} else {
			signal.Notify(s.got, one)
		}
	}
}

// ignored are the signals that this process was started with as ignored. Of others the Go runtime does not tell.
var ignored = slices.DeleteFunc([]os.Signal{os.Interrupt, syscall.SIGHUP}, func(s os.Signal) bool { return !signal.Ignored(s) })

// endings are the signals that end this process while there is no command yet.
var endings = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}

// Unless does what comes before the command, and gives up at a signal, which is then the error, an [Ended]: it is for the
// caller to leave nothing behind, and not to start the command.
func (s *Signals) Unless(ctx context.Context, do func(context.Context) error) error {
	watched, giveUp := context.WithCancel(ctx)
	defer giveUp()
	var by os.Signal
	var watching sync.WaitGroup
	over := make(chan struct{})
	watching.Go(func() {
		select {
		case by = <-s.got:
			giveUp()
		case <-over:
		}
	})
	err := do(watched)
	close(over)
	watching.Wait()
	if by == nil && errors.Is(ctx.Err(), context.Canceled) {
		by = os.Interrupt // main's context has no other end, and may have been faster
	}
	if number, ok := by.(syscall.Signal); ok {
		return Ended{Signal: number}
	}
	return err
}

// Run starts a command and waits for it. It gets the signals that this process gets. What a person types at the terminal
// reaches it by itself: this process only must not die first. The error is an [*Unstarted] or an [Ended].
func (s *Signals) Run(child *exec.Cmd) error {
	// The child's parent is this thread, to a kernel that tells it of its parent's death.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tie(child)
	s.listen(passedOn)
	err := child.Start()
	if errors.Is(err, syscall.ENOEXEC) {
		err = fmt.Errorf("%w: a script must begin with #! and its interpreter, a program must be made for this machine", err)
	}
	if err != nil {
		return &Unstarted{"start the command", err}
	}
	var following sync.WaitGroup
	defer following.Wait()
	over := make(chan struct{})
	defer close(over)
	following.Go(func() { followStops(child.Process) })
	following.Go(func() { reapOrphans(child.Process, over) })
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	for {
		select {
		case one := <-s.got:
			passOn(one, child.Process)
		case err := <-ended:
			var status *exec.ExitError
			if errors.As(err, &status) {
				return endOf(status)
			}
			return err
		}
	}
}
