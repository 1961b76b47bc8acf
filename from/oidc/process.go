// SPDX-License-Identifier: Apache-2.0

package fromoidc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"time"

	"github.com/stile-project/stile"
)

// drain is how long a program's output may stay open once the program itself has ended.
const drain = 2 * time.Second

var errTooMuch = fmt.Errorf("%w: it printed more than %d bytes", stile.ErrNoIdentity, maxContent)

// run starts a program without a shell and gives what it printed to its standard output. Nobody survives a failure: the
// program runs in a process group of its own, which is ended at the timeout, when ctx ends, when it prints too much, and
// when it has left something behind that holds its output. Errors say how much it wrote and never what.
func run(ctx context.Context, command, env []string, timeout time.Duration) ([]byte, error) {
	late := fmt.Errorf("%w: it did not end within %s", stile.ErrTemporary, timeout)
	bounded, cancel := context.WithTimeoutCause(ctx, timeout, late)
	defer cancel()
	bounded, stop := context.WithCancelCause(bounded)
	defer stop(nil)

	cmd := exec.CommandContext(bounded, command[0], command[1:]...) //nolint:gosec // what to run is the caller's to say, and allowed by name
	out := &output{keep: maxContent, over: func() { stop(errTooMuch) }}
	complaints := &output{over: func() {}}
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = env, out, complaints, drain
	ownGroup(cmd)
	cmd.Cancel = func() error { return killGroup(cmd) }
	err := cmd.Run()
	switch {
	case err == nil && bounded.Err() == nil && out.written == 0:
		return nil, fmt.Errorf("%w: it wrote nothing to its standard output, and %d bytes to its standard error", stile.ErrNoIdentity, complaints.written)
	case err == nil && bounded.Err() == nil:
		return out.kept.Bytes(), nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("gave up waiting: %w", context.Cause(ctx))
	case bounded.Err() != nil:
		return nil, context.Cause(bounded)
	case errors.Is(err, exec.ErrWaitDelay):
		_ = killGroup(cmd) // it may be gone by now
		return nil, fmt.Errorf("%w: it ended, but left a process behind that holds its output open", stile.ErrNoIdentity)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil, fmt.Errorf("%w: it ended with %s, having written %d bytes to its standard error", stile.ErrNoIdentity, exit.ProcessState, complaints.written)
	}
	return nil, fmt.Errorf("%w: it cannot be started: %w", stile.ErrMisuse, unstarted(err))
}

// unstarted says why a program cannot be started, without its arguments.
func unstarted(err error) error {
	if lookup, ok := errors.AsType[*exec.Error](err); ok {
		return lookup.Err
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	return err
}

// An output keeps the beginning of what is written to it and counts the rest.
type output struct {
	keep    int
	over    func() // called once more is written than is kept
	kept    bytes.Buffer
	written int
}

func (o *output) Write(p []byte) (int, error) {
	o.written += len(p)
	room := max(o.keep-o.kept.Len(), 0)
	o.kept.Write(p[:min(room, len(p))])
	if o.written > o.keep {
		o.over()
	}
	return len(p), nil
}
