// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"net"
	"syscall"
)

// lookUp asks the kernel whose program is at the other end of c.
func lookUp(c net.Conn) peer {
	switch c := c.(type) {
	case *net.UnixConn:
		return unixPeer(c)
	case *net.TCPConn:
		local, ok := c.LocalAddr().(*net.TCPAddr)
		remote, too := c.RemoteAddr().(*net.TCPAddr)
		if ok && too {
			return tcpPeer(local.AddrPort(), remote.AddrPort())
		}
	}
	return peer{}
}

// unixPeer is who connected, as it was when it did.
func unixPeer(c *net.UnixConn) peer {
	raw, err := c.SyscallConn()
	if err != nil {
		return peer{}
	}
	var who *syscall.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		who, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil || failed != nil {
		return peer{}
	}
	return peer{known: true, uid: who.Uid, pid: who.Pid}
}

// setHopLimit sets it for both versions of IP: one socket may serve both.
func setHopLimit(raw syscall.RawConn, hops int) error {
	var four, six error
	if err := raw.Control(func(fd uintptr) {
		four = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_TTL, hops)
		six = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_UNICAST_HOPS, hops)
	}); err != nil {
		return err
	}
	if four != nil && six != nil {
		return four
	}
	return nil
}

// setMode gives the socket its permission before it has a path, so that there is no moment in which it has a wider one.
// Linux takes it, less the umask, when the socket is bound: unix(7) does not say so, af_unix.c does.
func setMode(raw syscall.RawConn, mode uint32) error {
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = syscall.Fchmod(int(fd), mode) }); err != nil {
		return err
	}
	return failed
}
