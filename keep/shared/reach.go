// SPDX-License-Identifier: Apache-2.0

package shared

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/stile-project/stile"
)

// Addresses reads a list of servers, HOST or HOST:PORT with commas between them, into HOST:PORT each. An IPv6 address
// stands in brackets. The error does not quote the list, which may have a password in it by mistake.
func Addresses(list, port string) ([]string, error) {
	var all []string
	for i, one := range strings.Split(list, ",") {
		host, at := one, port
		if colon := strings.LastIndexByte(one, ':'); colon > strings.LastIndexByte(one, ']') {
			host, at = one[:colon], one[colon+1:]
		}
		bare, opened := strings.CutPrefix(host, "[")
		bare, closed := strings.CutSuffix(bare, "]")
		bracketed := opened && closed && net.ParseIP(bare) != nil && strings.Contains(bare, ":")
		n, err := strconv.ParseUint(at, 10, 16)
		if err != nil || n == 0 || !bracketed && !hostName(host) {
			return nil, &stile.Error{Op: "read the servers' addresses", Hint: "write HOST:PORT, with commas between servers, and an IPv6 address in brackets",
				Err: fmt.Errorf("%w: server %d of the list is no HOST:PORT", stile.ErrMisuse, i+1)}
		}
		all = append(all, net.JoinHostPort(bare, strconv.FormatUint(n, 10)))
	}
	return all, nil
}

// hostName reports whether s has only what names of hosts have: not a password that lost its @.
func hostName(s string) bool {
	for _, c := range []byte(s) {
		if c != '.' && c != '-' && c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return s != "" && len(s) <= 253
}

// TLS is how a connection to an engine is secured. The zero value trusts the system's certificate authorities, and shows
// no certificate.
type TLS struct {
	CAFile     string // PEM: the authorities to trust in place of the system's
	CertFile   string // PEM: the certificate to show, read for each connection
	KeyFile    string // PEM: its private key
	ServerName string // whom the server's certificate must be made out to, where that is not the host that is dialled
}

// Config reads the files. They may be replaced later: the certificate counts for the next connection, the authorities
// for the next process.
func (t TLS) Config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		text, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, misused("read the certificate authorities", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, misused("read the certificate authorities", fmt.Errorf("%s has no certificate in PEM", t.CAFile))
		}
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		return nil, misused("read the client certificate", errors.New("a certificate and its private key are given together, or neither"))
	}
	if t.CertFile != "" {
		if _, err := t.certificate(); err != nil {
			return nil, err
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return t.certificate() }
	}
	return config, nil
}

func (t TLS) certificate() (*tls.Certificate, error) {
	for _, name := range []string{t.CertFile, t.KeyFile} {
		if _, err := os.Stat(name); err != nil {
			return nil, misused("read the client certificate", err)
		}
	}
	pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil { // what package tls says may quote the file, which may be a key
		return nil, misused("read the client certificate", fmt.Errorf("%s and %s are not a certificate and its private key in PEM", t.CertFile, t.KeyFile))
	}
	return &pair, nil
}

func misused(op string, err error) error {
	return &stile.Error{Op: op, Err: fmt.Errorf("%w: %w", stile.ErrMisuse, err)}
}

// Fault is the error of an operation that an engine did not answer as it should. Of err only what is known to hold
// nothing of the engine's or the caller's is told: a peer may echo whatever it was sent, password included. Where ctx has
// ended, that shows through.
func Fault(ctx context.Context, op, engine string, err error) error {
	fault := &stile.Error{Op: op, Cloud: engine}
	var known error
	var network *net.OpError
	var certificate *tls.CertificateVerificationError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	var told *stile.Error
	ended := ctx.Err()
	if ended != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		ended = context.DeadlineExceeded // as keep.Patience tells it
	}
	if deadline, set := ctx.Deadline(); set && ended == nil && !time.Now().Before(deadline) {
		ended = context.DeadlineExceeded // a connection notices the deadline before the context does
	}
	switch {
	case ended != nil:
		known = fmt.Errorf("gave up waiting: %w", ended)
	case errors.As(err, &told): // ours, and clean
		return told
	case errors.As(err, &certificate):
		known = certificate
		fault.Hint = "name the authority that signed the server's certificate as its CA file"
	case errors.As(err, &record):
		known = errors.New("the server does not speak TLS")
	case errors.As(err, &network):
		known = network
		if errors.As(err, &alert) {
			fault.Hint = "the server may want a client certificate"
		}
	case errors.As(err, &alert):
		known = alert
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		known = errors.New("no answer in time")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		known = errors.New("the server closed the connection")
	case errors.Is(err, net.ErrClosed):
		known = errors.New("it was closed here")
	default:
		known = errors.New("that is no answer of such a server")
	}
	fault.Err = fmt.Errorf("%w: %w", stile.ErrTemporary, known)
	return fault
}
