// SPDX-License-Identifier: Apache-2.0

package process

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A terminal is one that a person sits at: what is written to it is typed, and a shell and its jobs show what they print.
type terminal struct {
	*os.File
	t     *testing.T
	shown chan string
	seen  string
}

// atATerminal has a shell with job control run a script at a terminal of its own.
func atATerminal(t *testing.T, f folder, script string) *terminal {
	t.Helper()
	screen, keys := openTerminal(t)
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "set -m; "+script)
	cmd.Dir, cmd.Env = string(f), append(os.Environ(), "PS1=$ ")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = screen, screen, screen
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = screen.Close()
	x := &terminal{File: keys, t: t, shown: make(chan string, 1000)}
	go func() {
		defer close(x.shown)
		for {
			b := make([]byte, 4096)
			n, err := keys.Read(b)
			if err != nil {
				return // the last that had the terminal open has ended
			}
			x.shown <- string(b[:n])
		}
	}()
	t.Cleanup(func() {
		_ = keys.Close() // the kernel hangs up, which ends whatever is left
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		for range x.shown {
		}
	})
	return x
}

// openTerminal opens a pseudo-terminal. Source: pts(4).
func openTerminal(t *testing.T) (screen, keys *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skip("there are no pseudo-terminals here: ", err)
	}
	keys = os.NewFile(uintptr(fd), "ptmx")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	// The kernel sends a key's signal first, and throws away what was shown after: on a busy machine that would be what
	// the signal had shown. Source: termios(3), NOFLSH.
	settings, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err == nil {
		settings.Lflag |= unix.NOFLSH
		err = unix.IoctlSetTermios(fd, unix.TCSETS, settings)
	}
	if err != nil {
		t.Fatal(err)
	}
	return screen, keys
}

func (x *terminal) types(keys string) {
	x.t.Helper()
	if _, err := x.WriteString(keys); err != nil {
		x.t.Fatal(err)
	}
}

// until waits for a text, and returns what was shown before it.
func (x *terminal) until(text string) string {
	x.t.Helper()
	deadline := time.After(2 * time.Minute) // a machine may be busy
	for {
		if before, after, ok := strings.Cut(x.seen, text); ok {
			x.seen = after
			return before
		}
		select {
		case more, open := <-x.shown:
			if !open {
				x.t.Fatalf("the terminal was closed before it showed %q: %q", text, x.seen)
			}
			x.seen += more
		case <-deadline:
			x.t.Fatalf("the terminal does not show %q: %q", text, x.seen)
		}
	}
}

// number waits for a number between two texts.
func (x *terminal) number(before, after string) int {
	x.t.Helper()
	x.until(before)
	n, err := strconv.Atoi(x.until(after))
	if err != nil {
		x.t.Fatal(err)
	}
	return n
}

// tells says which signals it gets, and ends at SIGUSR1. The signals come between one short sleep and the next.
const tells = `
for s in INT QUIT TERM HUP USR2 WINCH; do trap "echo told $s" $s; done
trap 'echo over; exit 5' USR1
echo "parent $PPID."
while :; do sleep 0.01; done
`

func TestTerminalTellsOnce(t *testing.T) {
	t.Parallel()
	f := scripts(t, map[string]string{"tells": tells})
	x := atATerminal(t, f, "set +m; trap : INT QUIT; run sh tells; echo end=$?")
	run := x.number("parent ", ".")
	// What runs the command takes what it was sent only after the command has: two at once would look like one.
	signalled := func(s syscall.Signal) {
		if err := syscall.Kill(run, s); err != nil {
			t.Fatal(err)
		}
	}
	signalled(syscall.SIGSTOP)
	for key, name := range map[string]string{"\x03": "INT", "\x1c": "QUIT"} {
		x.types(key)
		x.until("told " + name)
	}
	if err := unix.IoctlSetWinsize(int(x.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 99}); err != nil {
		t.Fatal(err)
	}
	x.until("told WINCH")
	signalled(syscall.SIGCONT)
	// This one is passed on after whatever came before it.
	signalled(syscall.SIGUSR1)
	if again := x.until("over"); strings.Contains(again, "told") {
		t.Errorf("told twice: %q", again)
	}
	x.until("end=5")
}

func TestTerminalOfAnotherSession(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip(err)
	}
	f := scripts(t, map[string]string{"tells": tells})
	x := atATerminal(t, f, "run setsid sh tells; echo end=$?")
	run := x.number("parent ", ".")
	x.types("\x03")
	x.until("told INT") // the terminal did not tell it, who runs it did
	if err := syscall.Kill(run, syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	x.until("end=5")
}

// A shell has the terminal back when the command stops, and not before; fg has both go on.
func TestTerminalStops(t *testing.T) {
	t.Parallel()
	const asks = "echo ready; read x; echo got $x; exit 4"
	for name, c := range map[string]struct{ script, key string }{
		"Ctrl-Z":             {asks, "\x1a"},
		"by itself":          {"echo ready; kill -STOP $$; " + asks, ""},
		"by itself, as less": {"echo ready; kill -TSTP $$; " + asks, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := scripts(t, map[string]string{"command": c.script})
			x := atATerminal(t, f, "run sh command; echo stopped=$?; fg; echo end=$?")
			x.until("ready")
			x.types(c.key)
			x.until("stopped=147")
			x.types("hello\n")
			x.until("got hello")
			x.until("end=4")
		})
	}
}

func TestTerminalStopIgnored(t *testing.T) {
	t.Parallel()
	f := scripts(t, map[string]string{"command": "trap '' TSTP; echo ready; read x; echo got $x; exit 4"})
	x := atATerminal(t, f, "run sh command; echo end=$?")
	x.until("ready")
	x.types("\x1a")
	x.types("hello\n")
	if before := x.until("got hello"); strings.Contains(before, "end=") {
		t.Errorf("the shell took the terminal: %q", before)
	}
	x.until("end=4")
}

// A shell inside has the terminal for itself, with job control of its own.
func TestTerminalOfAShellInside(t *testing.T) {
	t.Parallel()
	f := scripts(t, map[string]string{"wait": "echo waiting; read x"})
	x := atATerminal(t, f, "run sh -i; echo end=$?")
	x.until("$ ")
	x.types("test -t 0 && echo termi''nal\n")
	x.until("terminal")
	for _, key := range []string{"\x03", "\x1a"} {
		x.types("sh wait\n")
		x.until("waiting")
		x.types(key)
		x.until("$ ")
	}
	x.types("fg\n")
	x.until("sh wait")
	x.types("\n")
	x.until("$ ")
	x.types("echo on''ly; exit 6\n")
	x.until("only")
	x.until("end=")
	if code := x.until("\r\n"); code != "6" {
		t.Errorf("ended with %s, want the shell's own 6", code)
	}
}

func TestTerminalEndOfInput(t *testing.T) {
	t.Parallel()
	x := atATerminal(t, scripts(t, nil), "run cat; echo end=$?")
	x.types("one line\n\x04")
	x.until("end=0")
}
