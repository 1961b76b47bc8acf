// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/stile-project/stile"
)

// An address is one that a listener was told.
type address struct {
	text string
	path string           // of a Unix socket
	at   []netip.AddrPort // otherwise; two for localhost, of which the second may not be there
}

// parseAddress reads what [Listener.Address] says it may be.
func parseAddress(text string, allowRemote bool) (address, error) {
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		return parsePath(text, path)
	}
	const want = "write 127.0.0.1:PORT, [::1]:PORT, localhost:PORT or unix:/PATH"
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return address{}, misuse(want, "address %q: want a host and a port", text)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return address{}, misuse(want, "address %q: the port is not a number from 0 to 65535", text)
	}
	if host == "localhost" {
		return address{text: text, at: []netip.AddrPort{
			netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(number)), netip.AddrPortFrom(netip.IPv6Loopback(), uint16(number))}}, nil
	}
	ip := netip.IPv6Unspecified()
	if host != "" {
		if ip, err = netip.ParseAddr(host); err != nil {
			return address{}, misuse(want, "address %q: a name could come to mean another address", text)
		}
	}
	if ip = ip.Unmap(); !ip.IsLoopback() && !allowRemote {
		return address{}, misuse("listen on 127.0.0.1; if other machines are meant to reach it, describe the endpoint in a stile.yaml, with allow_remote: true",
			"address %q: other machines could reach it, and whoever reaches it gets credentials", text)
	}
	return address{text: text, at: []netip.AddrPort{netip.AddrPortFrom(ip, uint16(number))}}, nil
}

// longestPath is what fits into a sockaddr_un with its closing zero: 108 bytes on Linux and Windows, 104 on others.
func longestPath() int {
	if runtime.GOOS == "linux" || runtime.GOOS == "windows" {
		return 107
	}
	return 103
}

func parsePath(text, path string) (address, error) {
	switch {
	case !filepath.IsAbs(path):
		return address{}, misuse("write unix:/PATH", "address %q: the path of a Unix socket must be absolute", text)
	case strings.ContainsRune(path, 0) || strings.HasSuffix(path, "/"):
		return address{}, misuse("write unix:/PATH", "address %q: no path of a file", text)
	case len(path) > longestPath():
		return address{}, misuse("choose a shorter path", "address %q: the path of a Unix socket has at most %d bytes, and this has %d", text, longestPath(), len(path))
	}
	return address{text: text, path: filepath.Clean(path)}, nil
}

// free reports whether the system chooses the port.
func (a address) free() bool { return a.path == "" && a.at[0].Port() == 0 }

func misuse(hint, format string, args ...any) error {
	return &stile.Error{Op: "listen", Hint: hint, Err: fmt.Errorf("%w: %s", stile.ErrMisuse, fmt.Sprintf(format, args...))}
}
