// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stile-project/stile"
)

// stranger is a user id that is not ours.
const stranger = 54321

// asStranger runs this test's program as another user, who asks at address. It returns what the program wrote.
func asStranger(t *testing.T, address string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can become another user")
	}
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	folder, err := os.MkdirTemp("", "stile-serve-") //nolint:usetesting // other users can be let in, unlike into t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	if err := errors.Join(os.Chmod(folder, 0o755), os.WriteFile(folder+"/client", b, 0o755), os.Chmod(folder+"/client", 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(folder + "/client")
	cmd.Dir, cmd.Env = "/", []string{asClient + "=" + address}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stranger, Gid: stranger}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestUsers(t *testing.T) {
	t.Parallel()
	folder, err := os.MkdirTemp("", "stile-serve-") //nolint:usetesting // as above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, address := range map[string]string{"tcp": "127.0.0.1:0", "tcp6": "[::1]:0", "unix": "unix:" + folder + "/s"} {
		t.Run(name, func(t *testing.T) {
			us := uint32(os.Getuid())
			l := Listener{Name: "a", Address: address, Handler: give, AllowUsers: []uint32{us}}
			if name == "unix" {
				l.Mode = 0o666
			}
			records := &memoryHandler{}
			s := start(t, Options{Audit: records}, l)
			at := addressOf(s, "a")
			if status, _ := ask(t, at, "/"); status != 200 {
				t.Errorf("we ourselves: %d", status)
			}
			if got := asStranger(t, at); got != "403" {
				t.Errorf("the other user: %s", got)
			}
			until(t, "the audit tells", func() bool { return len(records.lines("request turned away")) == 1 })
			if line := records.lines("request turned away")[0]; !strings.Contains(line, `"reason":"user"`) || !strings.Contains(line, `"uid":`+strconv.Itoa(stranger)) {
				t.Error(line)
			}
			if name == "tcp" {
				l.Address, l.AllowUsers = address, []uint32{stranger}
			} else {
				l.AllowUsers = []uint32{stranger}
			}
			if err := s.Listen(t.Context(), []Listener{l}); err != nil {
				t.Fatal(err)
			}
			if got := asStranger(t, at); got != "200" {
				t.Errorf("the other user, now allowed: %s", got)
			}
			if status, _ := ask(t, at, "/"); status != 403 {
				t.Errorf("we ourselves, no longer allowed: %d", status)
			}
		})
	}
}

// pairOf is both ends of one connection.
func pairOf(t *testing.T, listen, to string) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		t.Skip(err)
	}
	defer func() { _ = l.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	client = dial(t, net.JoinHostPort(to, port))
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return client, server
}

// Both ways to ask the kernel agree, whatever kind of socket listens.
func TestPeerByBothTables(t *testing.T) {
	t.Parallel()
	for _, at := range [][2]string{{"127.0.0.1:0", "127.0.0.1"}, {"[::1]:0", "::1"}, {"[::]:0", "127.0.0.1"}, {"[::]:0", "::1"}} {
		_, server := pairOf(t, at[0], at[1])
		local, remote := server.LocalAddr().(*net.TCPAddr).AddrPort(), server.RemoteAddr().(*net.TCPAddr).AddrPort()
		asked, err := diagnose(remote, local)
		if err != nil {
			t.Fatalf("%v: %v", at, err)
		}
		read, err := readTable(func(from, to netip.AddrPort, _ row) bool { return from == plain(remote) && to == plain(local) })
		if err != nil || asked != read || asked.state != established || asked.uid != uint32(os.Getuid()) || asked.inode == 0 {
			t.Errorf("%v: %+v, %+v, %v", at, asked, read, err)
		}
		if who := lookUp(server); !who.known || who.uid != uint32(os.Getuid()) {
			t.Errorf("%v: %+v", at, who)
		}
	}
}

// A socket that its program has closed is root's in the table.
func TestPeerThatHungUp(t *testing.T) {
	t.Parallel()
	client, server := pairOf(t, "127.0.0.1:0", "127.0.0.1")
	_ = client.Close()
	if who := lookUp(server); who.known {
		t.Errorf("got %+v", who)
	}
	// One that has only said all it will say still waits for an answer.
	client, server = pairOf(t, "127.0.0.1:0", "127.0.0.1")
	if err := client.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(server); err != nil {
		t.Fatal(err)
	}
	if who := lookUp(server); !who.known {
		t.Error("it is not found")
	}
}

func TestPeerThatCannotBeTold(t *testing.T) {
	t.Parallel()
	nobody := netip.MustParseAddrPort("127.0.0.1:1")
	if who := tcpPeer(nobody, nobody); who.known {
		t.Errorf("got %+v", who)
	}
	s := &site{users: map[uint32]bool{0: true, uint32(os.Getuid()): true}}
	c := &conn{}
	c.asked.Do(func() {})
	if why := s.refuse(request(t), c); why != noSuchUser {
		t.Errorf("got %v", why)
	}
}

func TestHopLimit(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		hops := make(chan [2]int, 1)
		s := start(t, Options{}, Listener{Name: "a", Address: address, HopLimit: 3, Handler: says("hello")})
		address = addressOf(s, "a")
		client := dial(t, address)
		until(t, "it is accepted", func() bool { return len(s.running[0].held()) == 1 })
		raw, err := s.running[0].held()[0].Conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := raw.Control(func(fd uintptr) {
			four, _ := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_TTL)
			six, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_UNICAST_HOPS)
			if err != nil {
				six = 3
			}
			hops <- [2]int{four, six}
		}); err != nil {
			t.Fatal(err)
		}
		if got := <-hops; got != [2]int{3, 3} {
			t.Errorf("%s: got %v", address, got)
		}
		_ = client.Close()
	}
}

func TestHolderIsNamed(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:0", "[::]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		s := New(Options{})
		until(t, address+": its pid is told", func() bool { // it is looked for no longer than a second, which can be too short on a busy machine
			err = s.Listen(t.Context(), []Listener{{Name: "a", Address: "127.0.0.1:" + port, Handler: says("x")}})
			e, ok := errors.AsType[*stile.Error](err)
			user := "user id " + strconv.Itoa(os.Getuid())
			if !ok || !strings.Contains(e.Error(), user) {
				t.Fatalf("%s: got %v", address, err)
			}
			return strings.Contains(e.Error(), "(pid "+strconv.Itoa(os.Getpid())+", "+user+") has it: ")
		})
		_, _ = s.Close(), l.Close()
	}
}

func FuzzParseRow(f *testing.F) {
	f.Add("   0: 0100007F:AD3B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     7        0 1344076 1 0 100 0 0 10 0")
	f.Add("   0: 0000000000000000FFFF00000100007F:1F90 00000000000000000000000001000000:0001 01 0:0 00:0 0 4294967295 0 18446744073709551615 1")
	f.Add("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode")
	f.Fuzz(func(t *testing.T, line string) {
		if from, to, _, ok := parseRow(line); ok && (!from.IsValid() || !to.IsValid()) {
			t.Fatalf("%q: %v %v", line, from, to)
		}
	})
}

func TestParseRow(t *testing.T) {
	t.Parallel()
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("these rows were written by a little-endian machine")
	}
	from, to, r, ok := parseRow("   0: 0000000000000000FFFF00000100007F:1F90 B80D01200000000000000000010000FE:0001 01 0:0 00:0 0 1000 0 77 1")
	if !ok || from.String() != "127.0.0.1:8080" || to.String() != "[2001:db8::fe00:1]:1" || r != (row{1, 1000, 77}) {
		t.Errorf("got %v %v %+v %t", from, to, r, ok)
	}
}

func FuzzReadDiag(f *testing.F) {
	f.Add(bytes.Repeat([]byte{0}, 88))
	f.Add(diagQuestion(netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("[::1]:2")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := readDiag(b); err != nil && r != (row{}) {
			t.Fatalf("%+v with %v", r, err)
		}
	})
}

// The socket must not be wider for a moment: it has its permission from when it has its path.
func TestSocketIsBornWithItsMode(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/s"
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error { return setMode(raw, 0o600) }}
	l, err := lc.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info, err)
	}
}

// Nobody can connect between a socket's making and its chmod: it has its mode from the first.
func TestSocketIsNeverOpenToOthers(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := folder + "/s"
	var stop, open atomic.Bool
	var looking sync.WaitGroup
	looking.Go(func() {
		for !stop.Load() {
			if info, err := os.Lstat(path); err == nil && info.Mode().Perm()&^0o600 != 0 {
				open.Store(true)
			}
		}
	})
	for range 200 {
		s := New(Options{})
		if err := s.Listen(t.Context(), []Listener{{Name: "sock", Address: "unix:" + path, Handler: says("x")}}); err != nil {
			t.Error(err)
		}
		_ = s.Close()
	}
	stop.Store(true)
	looking.Wait()
	if open.Load() {
		t.Error("others could connect for a moment")
	}
}
