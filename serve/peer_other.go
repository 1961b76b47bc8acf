// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package serve

import (
	"errors"
	"net"
	"syscall"
)

func lookUp(net.Conn) peer { return peer{} }

// holder tells who listens on a port: "" where that cannot be told.
func holder(net.Addr) string { return "" }

var errLinuxOnly = errors.New("only Linux can do that")

func setHopLimit(syscall.RawConn, int) error { return errLinuxOnly }

// setMode does nothing before the socket has its path.
func setMode(syscall.RawConn, uint32) error { return nil }
