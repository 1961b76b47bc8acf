// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// asCaller makes a run of this test's program another process, which asks at an address for as long as it is told to.
const asCaller = "STILE_TEST_CALLER"

// TestCaller is no test, but what that other process does: for each line that it reads it connects, asks, prints the
// status, and stays connected. It ends with its input.
func TestCaller(t *testing.T) {
	address := os.Getenv(asCaller)
	if address == "" {
		return
	}
	for orders := bufio.NewScanner(os.Stdin); orders.Scan(); {
		c := dial(t, address)
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		fmt.Println("status", answer.StatusCode)
	}
}

// A caller is another process that asks a server of this one.
type caller struct {
	pid    int
	orders io.WriteCloser
	says   *bufio.Scanner
}

func startCaller(t testing.TB, address string) *caller {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestCaller$")
	cmd.Env = append(os.Environ(), asCaller+"="+address)
	orders, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = orders.Close()
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	return &caller{cmd.Process.Pid, orders, bufio.NewScanner(out)}
}

// asks over a new connection, and waits for the answer.
func (c *caller) asks(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(c.orders, "\n"); err != nil {
		t.Fatal(err)
	}
	for c.says.Scan() {
		if strings.HasPrefix(c.says.Text(), "status ") {
			return
		}
	}
	t.Fatal("the other process ended")
}

// Who asks over TCP is told by pid and user, as over a Unix socket. Here it may take as long as it does.
func TestPidOverTCP(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		records := &memoryHandler{}
		s := New(Options{Audit: records})
		s.audit.callers.limit, s.audit.callers.most, s.audit.callers.left = time.Hour, time.Hour, time.Hour
		if err := s.Listen(t.Context(), []Listener{{Name: "a", Address: address, Handler: give}}); err != nil {
			t.Skip(err) // no IPv6 here
		}
		stop := run(t, s)
		first, second := startCaller(t, addressOf(s, "a")), startCaller(t, addressOf(s, "a"))
		for n, c := range []*caller{first, second, first} {
			c.asks(t)
			until(t, "the audit tells", func() bool { return len(records.lines("credential handed out")) == n+1 })
			if line := records.lines("credential handed out")[n]; !strings.Contains(line, `"pid":`+strconv.Itoa(c.pid)+"}") || !strings.Contains(line, `"uid":`+strconv.Itoa(os.Getuid())+",") {
				t.Errorf("%s: want pid %d in %s", address, c.pid, line)
			}
		}
		_ = first.orders.Close()
		_ = second.orders.Close()
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}

// Where nobody reads an audit, nobody is looked for.
func TestNobodyIsLookedForWithoutAudit(t *testing.T) {
	t.Parallel()
	s := start(t, Options{}, Listener{Name: "a", Address: "127.0.0.1:0", Handler: give})
	if status, _ := ask(t, addressOf(s, "a"), "/"); status != 200 {
		t.Fatal(status)
	}
	if p := s.audit.callers.processes; p.folder != "" || p.recent != nil {
		t.Errorf("got %+v", p)
	}
}

// procOf makes a folder that looks like /proc: what each process has open, by pid.
func procOf(t testing.TB, all map[string][]string) string {
	t.Helper()
	folder := t.TempDir()
	for pid, open := range all {
		if err := os.MkdirAll(filepath.Join(folder, pid, "fd"), 0o755); err != nil {
			t.Fatal(err)
		}
		for n, to := range open {
			if err := os.Symlink(to, filepath.Join(folder, pid, "fd", strconv.Itoa(n))); err != nil {
				t.Fatal(err)
			}
		}
	}
	return folder
}

func never() bool { return false }

func TestHolding(t *testing.T) {
	t.Parallel()
	us, other := uint32(os.Getuid()), uint32(os.Getuid())+1
	tree := map[string][]string{
		"1": {"/dev/null", "socket:[100]"}, "20": {"socket:[200]", "socket:[1234]"}, "300": {"pipe:[300]", "socket:[30", "socket:300", "socket:[301]x"}, "7": {"socket:[77]", "socket:[100]"},
		"self": {"socket:[400]"}, "-5": {"socket:[400]"}, "0": {"socket:[400]"}, "99999999999": {"socket:[400]"}, "1x": {"socket:[400]"}, "42": {"socket:[12]", "socket:[77]"},
	}
	for name, test := range map[string]struct {
		inode  uint64
		uid    uint32
		recent []int32
		want   int32
	}{
		"one has it":                        {200, us, nil, 20},
		"its user's processes are others'":  {200, other, nil, 20},
		"two have it: the newest":           {100, us, nil, 7},
		"two have it: the one seen before":  {100, us, []int32{1}, 1},
		"the one seen before has it not":    {200, us, []int32{1, 42, 5}, 20},
		"this process itself, after others": {77, us, nil, 7},
		"this process itself":               {12, us, nil, 42},
		"a longer number":                   {123, us, nil, 0},
		"a pipe":                            {300, us, nil, 0},
		"no whole link":                     {30, us, nil, 0},
		"more than a link":                  {301, us, nil, 0},
		"no processes":                      {400, us, nil, 0},
		"nobody":                            {18446744073709551615, us, nil, 0},
	} {
		p := processes{folder: procOf(t, tree), self: 42, recent: test.recent}
		if got, whole := p.holding(test.inode, test.uid, never); got != test.want || !whole {
			t.Errorf("%s: got %d, %t, want %d", name, got, whole, test.want)
		}
		if got, whole := p.holding(test.inode, test.uid, func() bool { return true }); got != 0 || whole {
			t.Errorf("%s: got %d, %t although it was enough", name, got, whole)
		}
	}
	if got, _ := (&processes{folder: t.TempDir() + "/none"}).holding(1, us, never); got != 0 {
		t.Errorf("without /proc: %d", got)
	}
}

// Whom it found before it looks at first; but not at more and more of them.
func TestHoldingRemembers(t *testing.T) {
	t.Parallel()
	tree := map[string][]string{}
	for pid := range 3 * recently {
		tree[strconv.Itoa(pid+1)] = []string{"socket:[" + strconv.Itoa(pid+1) + "]"}
	}
	p := processes{folder: procOf(t, tree), self: 1}
	for range 2 {
		for pid := range 3 * recently {
			if got, _ := p.holding(uint64(pid+1), uint32(os.Getuid()), never); got != int32(pid+1) {
				t.Fatalf("got %d, want %d", got, pid+1)
			}
		}
	}
	if len(p.recent) != recently || p.recent[recently-1] != 3*recently {
		t.Errorf("got %v", p.recent)
	}
	looks := 0
	if got, _ := p.holding(3*recently, 0, func() bool { looks++; return looks > 2 }); got != 3*recently {
		t.Errorf("got %d: the last is not the first to be looked at", got)
	}
}

// It ends in the middle of a long list, and in the middle of a process that has very much open.
func TestHoldingEndsEarly(t *testing.T) {
	t.Parallel()
	var much []string
	for n := range 4 * atOnce {
		much = append(much, "socket:["+strconv.Itoa(n+1)+"]")
	}
	for name, tree := range map[string]map[string][]string{"a process": {"7": much}, "processes": {"1": nil, "2": nil, "3": nil, "4": nil, "5": nil, "6": nil, "7": nil, "8": nil}} {
		p := processes{folder: procOf(t, tree), self: 1}
		looks := 0
		if got, whole := p.holding(5*atOnce, uint32(os.Getuid()), func() bool { looks++; return looks > 20 }); got != 0 || whole || looks != 21 {
			t.Errorf("%s: got %d, %t after %d looks", name, got, whole, looks)
		}
	}
}

// Looking takes a part of the time, never while lines wait, and once for a connection.
func TestCallersAreLookedForWithinBounds(t *testing.T) {
	t.Parallel()
	folder := procOf(t, map[string][]string{"20": {"socket:[200]"}})
	synctest.Test(t, func(t *testing.T) {
		who := peer{known: true, uid: uint32(os.Getuid()), inode: 200}
		busy := never
		k := newCallers(func() bool { return busy() })
		k.processes.folder, k.left = folder, 0
		c := &conn{}
		if pid := k.pid(c, who); pid != 0 || c.sought {
			t.Errorf("with no time left: %d, %t", pid, c.sought)
		}
		time.Sleep(share * time.Millisecond)
		busy = func() bool { return true }
		if k.pid(c, who); c.sought || k.left != time.Millisecond {
			t.Errorf("while lines wait: %t, with %s left", c.sought, k.left)
		}
		begun := false
		busy = func() bool { was := begun; begun = true; return was }
		if k.pid(c, who); c.sought {
			t.Error("lines that come meanwhile have it looked for no more")
		}
		busy = never
		if pid := k.pid(c, who); pid != 20 || !c.sought {
			t.Errorf("with time left: %d, %t", pid, c.sought)
		}
		if err := os.RemoveAll(filepath.Join(folder, "20")); err != nil {
			t.Fatal(err)
		}
		if pid := k.pid(c, who); pid != 20 {
			t.Errorf("the same connection's next line: %d", pid)
		}
		c = &conn{}
		if pid := k.pid(c, who); pid != 0 || !c.sought {
			t.Errorf("another, whose process is gone: %d, %t", pid, c.sought)
		}
		time.Sleep(time.Hour)
		if k.pid(&conn{}, who); k.left != saved {
			t.Errorf("%s were saved up", k.left)
		}
		if pid := k.pid(&conn{}, peer{known: true, pid: 7}); pid != 7 {
			t.Errorf("a Unix socket's: %d", pid)
		}
		if c := (&conn{}); k.pid(c, peer{}) != 0 || c.sought {
			t.Error("nobody is looked for where there is no inode")
		}
	})
}

// What takes long is cut off, and not begun again for the same connection.
func TestSearchThatTakesTooLong(t *testing.T) {
	t.Parallel()
	tree := map[string][]string{"20": {"socket:[200]"}, "21": nil, "22": nil, "23": nil}
	folder := procOf(t, tree)
	synctest.Test(t, func(t *testing.T) {
		k := newCallers(func() bool { time.Sleep(searching / 3); return false })
		k.processes.folder = folder
		c := &conn{}
		if pid := k.pid(c, peer{inode: 200, uid: uint32(os.Getuid())}); pid != 0 || !c.sought {
			t.Errorf("got %d, %t", pid, c.sought)
		}
		if spent := saved - k.left; spent < searching || spent > 2*searching {
			t.Errorf("it spent %s", spent)
		}
	})
}

// BenchmarkCaller is what it costs the audit's writer to find a process, once for each connection: one that it has found
// before, one that it has not, and one that is not there.
func BenchmarkCaller(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	other := startCaller(b, l.Addr().String())
	if _, err := io.WriteString(other.orders, "\n"); err != nil {
		b.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n"); err != nil {
		b.Fatal(err)
	}
	who := lookUp(c)
	for _, test := range []struct {
		name   string
		inode  uint64
		forget bool
		want   int
	}{{"again", who.inode, false, other.pid}, {"new", who.inode, true, other.pid}, {"nobody", 1 << 40, false, 0}} {
		b.Run(test.name, func(b *testing.B) {
			p := newProcesses()
			b.ReportAllocs()
			for b.Loop() {
				if test.forget {
					p.recent = nil
				}
				if pid, _ := p.holding(test.inode, who.uid, never); int(pid) != test.want {
					b.Fatalf("got %d, want %d", pid, test.want)
				}
			}
			b.ReportMetric(float64(len((&search{folder: p.folder, enough: never}).pids())), "processes")
		})
	}
}

// BenchmarkConnection is what a connection with one request takes: where there is an audit, its pid is looked for beside.
func BenchmarkConnection(b *testing.B) {
	for name, o := range map[string]Options{"plain": {}, "audited": {Audit: JSON(io.Discard)}} {
		b.Run(name, func(b *testing.B) {
			s := start(b, o, Listener{Name: "a", Address: "127.0.0.1:0", Handler: give})
			at := addressOf(s, "a")
			b.ReportAllocs()
			for b.Loop() {
				c, err := net.Dial("tcp", at)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := exchange(c, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			if lost := s.metrics.auditLost.Load(); lost != 0 {
				b.Errorf("%d lines were lost", lost)
			}
		})
	}
}
