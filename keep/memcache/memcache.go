// SPDX-License-Identifier: Apache-2.0

// Package memcache shares kept credentials through Memcached:
//
//	options, err := memcache.Parse("memcached://cache-1:11211,cache-2:11211")
//	engine, err := memcache.Open(options)
//	store := shared.New(engine, sealer)
//
// It speaks the text protocol itself (memcached's doc/protocol.txt; versions from 1.4), four commands of it: the usual
// client knows no context, and takes memory for an answer by what the answer says of itself. Memcached asks nobody for a
// password in that protocol, so whoever reaches the port can delete and replace what is kept, though not read or forge
// what is sealed: let only those reach it who share, or use TLS with client certificates.
//
// A server that restarts or runs out of memory forgets credentials and leases. Then two machines may exchange at once,
// which costs one exchange more and breaks nothing.
package memcache

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/keep/shared"
)

// Options say where the servers are. All machines that share name the same servers in the same words; their order does
// not matter.
type Options struct {
	// Addresses are HOST:PORT each. A name is kept by one of them, which its hash decides; if that one is down, what it
	// keeps is missed, and the others go on.
	Addresses []string

	// TLS secures the connections. Nil: they are plain.
	TLS *shared.TLS

	// Dial opens a connection. Nil: that of package net.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Parse reads memcached://HOST:PORT,HOST:PORT, or memcached+tls:// for TLS. Without a port it is 11211.
func Parse(raw string) (Options, error) {
	scheme, list, found := strings.Cut(raw, "://")
	if !found || scheme != "memcached" && scheme != "memcached+tls" {
		return Options{}, &stile.Error{Op: "read the address of Memcached", Hint: "write memcached://HOST:PORT,HOST:PORT",
			Err: fmt.Errorf("%w: it begins with neither memcached:// nor memcached+tls://", stile.ErrMisuse)}
	}
	addresses, err := shared.Addresses(strings.TrimSuffix(list, "/"), "11211")
	if err != nil {
		return Options{}, err
	}
	o := Options{Addresses: addresses}
	if scheme == "memcached+tls" {
		o.TLS = &shared.TLS{}
	}
	return o, nil
}

// Client is a [shared.Backend] on Memcached servers. It keeps at most two idle connections to each.
type Client struct {
	addresses []string
	lines     lines
}

var _ shared.Backend = (*Client)(nil)

// Open makes a Client. It connects to nobody before the first use, and fails with [stile.ErrMisuse] where the options
// are wrong.
func Open(o Options) (*Client, error) {
	if len(o.Addresses) == 0 {
		return nil, &stile.Error{Op: "open Memcached", Err: fmt.Errorf("%w: no server is named", stile.ErrMisuse)}
	}
	c := &Client{addresses: o.Addresses, lines: lines{dial: o.Dial, idle: map[string][]*line{}}}
	if c.lines.dial == nil {
		c.lines.dial = (&net.Dialer{}).DialContext
	}
	if o.TLS != nil {
		config, err := o.TLS.Config()
		if err != nil {
			return nil, err
		}
		c.lines.dial = secured(c.lines.dial, config)
	}
	return c, nil
}

// Close closes the connections. What is under way ends first.
func (c *Client) Close() error {
	c.lines.close()
	return nil
}

// longestTTL is the longest that Memcached takes as a time from now: past it, it takes the number for a date.
const longestTTL = 30 * 24 * time.Hour

// Get is as [shared.Backend] says. A credential that lives longer than 30 days is found for 30.
func (c *Client) Get(ctx context.Context, name string) ([]byte, error) {
	var it item
	err := c.do(ctx, "read a kept credential", name, func(l *line) (err error) {
		it, err = l.get(name)
		return err
	})
	if err == nil && !it.found {
		err = keep.ErrAbsent
	}
	return it.value, err
}

// Set is as [shared.Backend] says.
func (c *Client) Set(ctx context.Context, name string, value []byte, ttl time.Duration) error {
	const op = "keep a credential"
	if len(value) > shared.MaxValue {
		return &stile.Error{Op: op, Err: fmt.Errorf("%d bytes are more than the %d that a store takes", len(value), shared.MaxValue)}
	}
	// Memcached counts its own whole seconds, so what is to last n of them lasts up to two less, and never more.
	expiry := int64(min(ttl, longestTTL) / time.Second)
	if expiry < 1 {
		return &stile.Error{Op: op, Err: fmt.Errorf("%w: it would be kept for %v, and the least is a second", stile.ErrMisuse, ttl)}
	}
	return c.do(ctx, op, name, func(l *line) error {
		_, err := l.store("set", name, value, expiry, 0, stored)
		return err
	})
}

// mark is before the holder in what stands for a lease. Anything else under a lease's name was not put there by Add, and
// may have no end.
const mark = "stile lease of "

// leaseExpiry is ttl in Memcached's seconds, of which the first may have passed, and the second may be left out: its
// clock is a timer of one second that it reads the time by, and that drifts (memcached.c, clock_handler).
func leaseExpiry(ttl time.Duration) int64 {
	return int64((min(ttl, longestTTL-2*time.Second)+time.Second-1)/time.Second) + 2
}

// Add is as [shared.Backend] says. A lease lasts up to three seconds longer than asked, for Memcached counts roughly.
func (c *Client) Add(ctx context.Context, name, holder string, ttl time.Duration) (added bool, err error) {
	err = c.do(ctx, "take the lease", name, func(l *line) error {
		answer, err := l.store("add", name, []byte(mark+holder), leaseExpiry(ttl), 0, stored, notStored)
		if added = answer == stored; added || err != nil {
			return err
		}
		it, err := l.get(name)
		if err != nil || !it.found || bytes.HasPrefix(it.value, []byte(mark)) {
			return err
		}
		answer, err = l.store("cas", name, []byte(mark+holder), leaseExpiry(ttl), it.cas, stored, exists, notFound)
		added = answer == stored
		return err
	})
	return added, err
}

// Extend is as [shared.Backend] says.
func (c *Client) Extend(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	return c.replace(ctx, "extend the lease", name, holder, leaseExpiry(ttl))
}

// Remove is as [shared.Backend] says. Memcached cannot delete what it first compares, but it can let it end at once.
func (c *Client) Remove(ctx context.Context, name, holder string) error {
	_, err := c.replace(ctx, "end the lease", name, holder, -1)
	return err
}

// replace gives the holder's lease a new expiry if it is still the holder's, and reports whether it is.
func (c *Client) replace(ctx context.Context, op, name, holder string, expiry int64) (held bool, err error) {
	err = c.do(ctx, op, name, func(l *line) error {
		it, err := l.get(name)
		if err != nil || !it.found || string(it.value) != mark+holder {
			return err
		}
		answer, err := l.store("cas", name, it.value, expiry, it.cas, stored, exists, notFound)
		held = answer == stored
		return err
	})
	return held, err
}

// do has work done by the server that keeps name.
func (c *Client) do(ctx context.Context, op, name string, work func(*line) error) error {
	if err := legal(name); err != nil {
		return &stile.Error{Op: op, Err: err}
	}
	address := c.keeper(name)
	if err := c.lines.with(ctx, address, work); err != nil {
		if told := refusal(op, "Memcached at "+address, err); told != nil {
			return told
		}
		return shared.Fault(ctx, op, "Memcached at "+address, err)
	}
	return nil
}

// legal holds names to what the protocol can carry (doc/protocol.txt, "Keys").
func legal(name string) error {
	for _, c := range []byte(name) {
		if c <= ' ' || c >= 0x7f {
			return fmt.Errorf("%w: a name has a space or worse in it", stile.ErrMisuse)
		}
	}
	if len(name) == 0 || len(name) > 250 {
		return fmt.Errorf("%w: a name of %d bytes; Memcached takes 250", stile.ErrMisuse, len(name))
	}
	return nil
}

// keeper is the server that has the highest hash with what stands in braces in name: whatever order the servers are
// named in, and if one is added, only what it takes over moves.
func (c *Client) keeper(name string) (address string) {
	if _, after, found := strings.Cut(name, "{"); found {
		name, _, _ = strings.Cut(after, "}")
	}
	var highest [sha256.Size]byte
	for _, a := range c.addresses {
		if sum := sha256.Sum256([]byte(a + " " + name)); bytes.Compare(sum[:], highest[:]) > 0 {
			address, highest = a, sum
		}
	}
	return address
}

// secured has every connection begin with a TLS handshake.
func secured(dial func(context.Context, string, string) (net.Conn, error), config *tls.Config) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		plain, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		mine := config.Clone()
		if mine.ServerName == "" {
			mine.ServerName, _, _ = net.SplitHostPort(address)
		}
		conn := tls.Client(plain, mine)
		if err := conn.HandshakeContext(ctx); err != nil {
			_ = plain.Close()
			return nil, err
		}
		return conn, nil
	}
}
