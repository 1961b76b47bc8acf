// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A row is one socket of the kernel's table.
type row struct {
	state byte
	uid   uint32
	inode uint64
}

// States of a TCP socket whose program can still be handed an answer, and of one that listens (net/tcp_states.h).
const (
	established = 1
	finWait1    = 4
	finWait2    = 5
	listening   = 10
)

// tcpPeer looks for the other end's own socket: ours with the addresses exchanged. It is only in the table if the other
// program runs on this machine, in this network namespace.
//
// A socket whose program has closed it still stands there for a while, as root's and with no inode: that says nothing of
// who asked, and nobody waits for the answer.
func tcpPeer(local, remote netip.AddrPort) peer {
	found, err := diagnose(remote, local)
	if err != nil {
		found, err = readTable(func(from, to netip.AddrPort, _ row) bool { return from == plain(remote) && to == plain(local) })
	}
	alive := found.state == established || found.state == finWait1 || found.state == finWait2
	if err != nil || found.inode == 0 || !alive {
		return peer{}
	}
	return peer{known: true, uid: found.uid, inode: found.inode}
}

func plain(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

const (
	sockDiag       = 4  // NETLINK_SOCK_DIAG
	diagByFamily   = 20 // SOCK_DIAG_BY_FAMILY
	diagRequest    = 56 // sizeof(struct inet_diag_req_v2)
	diagAnswer     = 72 // sizeof(struct inet_diag_msg)
	netlinkTimeout = time.Second
)

// diagnose asks for one socket by its addresses, with sock_diag(7).
func diagnose(from, to netip.AddrPort) (row, error) {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, sockDiag)
	if err != nil {
		return row{}, os.NewSyscallError("socket", err)
	}
	defer func() { _ = syscall.Close(fd) }()
	wait := syscall.NsecToTimeval(int64(netlinkTimeout))
	if err := syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &wait); err != nil {
		return row{}, os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Sendto(fd, diagQuestion(plain(from), plain(to)), 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return row{}, os.NewSyscallError("sendto", err)
	}
	var buf [4096]byte
	n, _, err := syscall.Recvfrom(fd, buf[:], 0)
	if err != nil {
		return row{}, os.NewSyscallError("recvfrom", err)
	}
	return readDiag(buf[:n])
}

// diagQuestion is a struct nlmsghdr and a struct inet_diag_req_v2.
func diagQuestion(from, to netip.AddrPort) []byte {
	family, all := byte(syscall.AF_INET), ^uint32(0)
	if from.Addr().Is6() {
		family = syscall.AF_INET6
	}
	b := make([]byte, 0, syscall.NLMSG_HDRLEN+diagRequest)
	native := binary.NativeEndian
	b = native.AppendUint32(b, syscall.NLMSG_HDRLEN+diagRequest)
	b = native.AppendUint16(b, diagByFamily)
	b = native.AppendUint16(b, syscall.NLM_F_REQUEST)
	b = native.AppendUint64(b, 0) // sequence and port: this socket asks once
	b = append(b, family, syscall.IPPROTO_TCP, 0, 0)
	b = native.AppendUint32(b, all) // in any state
	b = binary.BigEndian.AppendUint16(b, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	for _, ip := range []netip.Addr{from.Addr(), to.Addr()} {
		var field [16]byte
		copy(field[:], ip.AsSlice())
		b = append(b, field[:]...)
	}
	b = native.AppendUint32(b, 0)   // any interface
	b = native.AppendUint32(b, all) // INET_DIAG_NOCOOKIE
	return native.AppendUint32(b, all)
}

// readDiag reads a struct inet_diag_msg. That there is no such socket is an answer, and no error.
func readDiag(b []byte) (row, error) {
	messages, err := syscall.ParseNetlinkMessage(b)
	if err != nil || len(messages) == 0 {
		return row{}, fmt.Errorf("sock_diag gave no answer: %w", err)
	}
	native := binary.NativeEndian
	switch m := messages[0]; {
	case m.Header.Type == syscall.NLMSG_ERROR && len(m.Data) >= 4:
		errno := syscall.Errno(-int32(native.Uint32(m.Data))) //nolint:gosec // the kernel sends a negative errno
		if errno == syscall.ENOENT {
			return row{}, nil // most kernels say ENOENT for: no such socket; one without the module says it too, and who cannot be told is refused
		}
		return row{}, os.NewSyscallError("sock_diag", errno)
	case m.Header.Type == diagByFamily && len(m.Data) >= diagAnswer:
		return row{state: m.Data[1], uid: native.Uint32(m.Data[64:]), inode: uint64(native.Uint32(m.Data[68:]))}, nil
	}
	return row{}, fmt.Errorf("sock_diag gave an answer of type %d", messages[0].Header.Type)
}

// readTable finds a row in /proc/net/tcp and tcp6, which is slow where there are many sockets.
func readTable(want func(from, to netip.AddrPort, r row) bool) (row, error) {
	var failed error
	for _, path := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(path)
		if err != nil {
			failed = err
			continue
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			if from, to, r, ok := parseRow(lines.Text()); ok && want(from, to, r) {
				_ = f.Close()
				return r, nil
			}
		}
		_ = f.Close()
	}
	return row{}, failed
}

// parseRow reads a line of proc(5)'s /proc/net/tcp; its first line, of titles, is no row.
func parseRow(line string) (from, to netip.AddrPort, r row, ok bool) {
	field := strings.Fields(line)
	if len(field) < 10 {
		return from, to, row{}, false
	}
	from, first := parseEnd(field[1])
	to, second := parseEnd(field[2])
	state, third := strconv.ParseUint(field[3], 16, 8)
	uid, fourth := strconv.ParseUint(field[7], 10, 32)
	inode, fifth := strconv.ParseUint(field[9], 10, 64)
	ok = first && second && third == nil && fourth == nil && fifth == nil
	return from, to, row{byte(state), uint32(uid), inode}, ok
}

// parseEnd reads 0100007F:1F90: an address in 32-bit words of this machine's order, and a port.
func parseEnd(text string) (netip.AddrPort, bool) {
	address, port, _ := strings.Cut(text, ":")
	b, err := hex.DecodeString(address)
	number, failed := strconv.ParseUint(port, 16, 16)
	if err != nil || failed != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for word := range slices.Chunk(b, 4) {
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	ip, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(ip.Unmap(), uint16(number)), ok
}

// holder tells who listens on a port, as far as this user may know: "python3 (pid 812, user id 1000)".
func holder(at net.Addr) string {
	tcp, ok := at.(*net.TCPAddr)
	if !ok {
		return ""
	}
	want := plain(tcp.AddrPort())
	found, err := readTable(func(from, _ netip.AddrPort, r row) bool {
		return r.state == listening && from.Port() == want.Port() && (from.Addr() == want.Addr() || from.Addr().IsUnspecified() || want.Addr().IsUnspecified())
	})
	if err != nil || found.inode == 0 {
		return ""
	}
	user := "user id " + strconv.FormatUint(uint64(found.uid), 10)
	all, late := newProcesses(), time.Now().Add(time.Second)
	pid, _ := all.holding(found.inode, found.uid, func() bool { return time.Now().After(late) })
	if pid == 0 {
		return "a program of " + user
	}
	name, _ := os.ReadFile(fmt.Sprintf("%s/%d/comm", all.folder, pid))
	return fmt.Sprintf("%q (pid %d, %s)", strings.TrimSpace(string(name)), pid, user)
}
