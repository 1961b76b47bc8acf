// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep/shared"
)

// A Kind is how the servers work together.
type Kind int

// The kinds.
const (
	Standalone Kind = iota // one server, or an address that leads to the one in charge
	Cluster                // names are spread over servers, which know each other
	Sentinel               // sentinels know which server is in charge
)

// Options say where the servers are, and as whom to come.
type Options struct {
	Kind Kind

	// Addresses are HOST:PORT each: the one server; some servers of the cluster; the sentinels.
	Addresses []string

	// Master is what the sentinels call the servers that are meant. Only for [Sentinel], and required there.
	Master string

	// Username is the user of Redis' access control lists. Empty: the default user.
	Username string
	// Password is the user's. Empty: none, or that of PasswordFile.
	Password stile.Secret
	// PasswordFile holds the password, less a line's end after it, and is read for each connection.
	PasswordFile string

	// SentinelUsername and SentinelPassword are for the sentinels themselves, where they ask.
	SentinelUsername string
	SentinelPassword stile.Secret

	// Database is the number of the database. A cluster has only 0.
	Database int

	// TLS secures the connections to servers and sentinels. Nil: they are plain.
	TLS *shared.TLS

	// Dial opens a connection. Nil: that of package net.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Parse reads one of
//
//	redis://[USER[:PASSWORD]@]HOST[:PORT][/DATABASE]
//	redis+cluster://[USER[:PASSWORD]@]HOST[:PORT],HOST[:PORT]
//	redis+sentinel://[USER[:PASSWORD]@]HOST[:PORT],HOST[:PORT]/MASTER[/DATABASE]
//
// and of the same with rediss, for TLS. The master's name may also stand in the query, as ?master=MASTER. User and
// password are percent-encoded; a password is better kept in [Options.PasswordFile]. The port is 6379, or 26379 for
// sentinels, where none is given. Errors fail with [stile.ErrMisuse] and show nothing of the URL.
func Parse(raw string) (Options, error) {
	scheme, rest, found := strings.Cut(raw, "://")
	base, kind, _ := strings.Cut(scheme, "+")
	var o Options
	port := "6379"
	switch kind {
	case "cluster":
		o.Kind = Cluster
	case "sentinel":
		o.Kind, port = Sentinel, "26379"
	}
	if base == "rediss" {
		o.TLS = &shared.TLS{}
	}
	if !found || base != "redis" && base != "rediss" || kind == "" && base != scheme || kind != "" && o.Kind == Standalone {
		return Options{}, unreadable("it begins with none of redis://, redis+cluster://, redis+sentinel:// and the same with rediss")
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	if err := o.parseUser(&authority); err != nil {
		return Options{}, err
	}
	var err error
	if o.Addresses, err = shared.Addresses(authority, port); err != nil {
		return Options{}, err
	}
	if err := o.parsePath(path, query); err != nil {
		return Options{}, err
	}
	return o, o.check()
}

// parseUser takes the user off the authority.
func (o *Options) parseUser(authority *string) error {
	at := strings.LastIndexByte(*authority, '@')
	if at < 0 {
		return nil
	}
	user, password, _ := strings.Cut((*authority)[:at], ":")
	*authority = (*authority)[at+1:]
	var wrong [2]error
	o.Username, wrong[0] = url.PathUnescape(user)
	password, wrong[1] = url.PathUnescape(password)
	o.Password = stile.NewSecret(password)
	if errors.Join(wrong[:]...) != nil {
		return unreadable("the user or the password in it is not percent-encoded")
	}
	return nil
}

// parsePath reads /DATABASE, /MASTER, /MASTER/DATABASE, and ?master=MASTER.
func (o *Options) parsePath(path, query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return unreadable("what follows the ? cannot be read")
	}
	o.Master = values.Get("master")
	if _, given := values["master"]; len(values) > 1 || len(values) == 1 && !given || len(values["master"]) > 1 {
		return unreadable("only one master may follow the ?")
	}
	if o.Kind == Sentinel && o.Master == "" {
		var name string
		name, path, _ = strings.Cut(path, "/")
		if o.Master, err = url.PathUnescape(name); err != nil {
			return unreadable("the master's name is not percent-encoded")
		}
	}
	if path != "" {
		n, err := strconv.ParseUint(path, 10, 16)
		if err != nil {
			return unreadable("the path is no number of a database")
		}
		o.Database = int(n)
	}
	return nil
}

func unreadable(why string) error {
	return &stile.Error{Op: "read the address of Redis", Err: fmt.Errorf("%w: %s (it is not shown, for it may hold a password)", stile.ErrMisuse, why),
		Hint: "write redis://USER@HOST:PORT, and put the password into a file; in a URL it is percent-encoded"}
}

// check holds the options to what goes together.
func (o *Options) check() error {
	var why string
	switch {
	case len(o.Addresses) == 0:
		why = "no server is named"
	case o.Kind < Standalone || o.Kind > Sentinel:
		why = "the kind is none of standalone, cluster and sentinel"
	case o.Kind == Standalone && len(o.Addresses) > 1:
		why = "several servers are named, but neither a cluster nor sentinels"
	case (o.Kind == Sentinel) != (o.Master != ""):
		why = "a master is named for sentinels, and only for them"
	case o.Database < 0, o.Kind == Cluster && o.Database != 0:
		why = "there is no such database; a cluster has only 0"
	case !o.Password.IsZero() && o.PasswordFile != "":
		why = "a password is given, and a file of one"
	default:
		return nil
	}
	return &stile.Error{Op: "open Redis", Err: fmt.Errorf("%w: %s", stile.ErrMisuse, why)}
}

// longestPassword is far beyond what any generator makes: a file of more is another file.
const longestPassword = 64 << 10

// credentials are what a new connection logs in with.
func (o *Options) credentials(context.Context) (user, password string, err error) {
	if o.PasswordFile == "" {
		return o.Username, o.Password.Reveal(), nil
	}
	const op = "read the password of Redis"
	file, err := os.Open(o.PasswordFile)
	if err != nil {
		return "", "", &stile.Error{Op: op, Err: fmt.Errorf("%w: %w", stile.ErrMisuse, err)}
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, longestPassword+1))
	if err != nil {
		return "", "", &stile.Error{Op: op, Err: fmt.Errorf("%w: %w", stile.ErrMisuse, err)}
	}
	text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if len(text) == 0 || len(text) > longestPassword || bytes.ContainsAny(text, "\r\n") {
		return "", "", &stile.Error{Op: op, Err: fmt.Errorf("%w: %s is not one line with a password", stile.ErrMisuse, o.PasswordFile)}
	}
	return o.Username, string(text), nil
}
