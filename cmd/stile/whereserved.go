// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/sidecar"
)

// A finding is where one crossing's endpoints and files are: as the running serve says, or else as serve would have them
// if it had the environment of this command.
type finding struct {
	program  *program
	name     string
	crossing config.Crossing
	plan     sidecar.Plan
	options  sidecar.Options

	asked   bool
	report  sidecar.Report // once asked
	unasked error          // why serve said nothing, where it has an admin address
}

// askWithin is how long a running serve has to say where everything is.
const askWithin = 2 * time.Second

// ask asks the running serve: under systemd, for one, it has another runtime folder and another home than a shell.
func (f *finding) ask(ctx context.Context) {
	if f.plan.Serve.Admin == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, min(askWithin, f.program.timeout))
	defer cancel()
	f.report, f.unasked = askStatus(ctx, f.program.adminAt(f.plan.Serve))
	f.asked = f.unasked == nil
}

// endpoint is an endpoint's address, and for ECS the file of its token. Where the system chose the port, only the running
// serve knows it.
func (f *finding) endpoint(e config.Endpoint) (address, file string, err error) {
	host, port, err := net.SplitHostPort(e.Listen)
	if err != nil {
		return "", "", misuse("find the endpoint", "%.100q: want HOST:PORT", e.Listen)
	}
	one, served := f.report.Address(e)
	switch {
	case port != "0":
		if f.asked && !served {
			f.program.warn("what is served at %s is another configuration, and has no such endpoint at %s", f.plan.Serve.Admin, e.Listen)
		}
	case f.unasked != nil:
		return "", "", f.unasked
	case !f.asked:
		return "", "", &stile.Error{Op: "find the endpoint", Err: fmt.Errorf("%w: its port is chosen when it starts", stile.ErrMisuse), Hint: "give serve an admin address, which knows, or the endpoint a port"}
	case !served || len(one.Addresses) == 0:
		return "", "", misuse("find the endpoint", "what is served at %s is another configuration", f.plan.Serve.Admin)
	default:
		if host, port, err = net.SplitHostPort(one.Addresses[0]); err != nil {
			return "", "", err
		}
	}
	if e.Kind() == "ecs" {
		file, err = f.tokenFile(e, one)
	}
	if e.TLS != nil && err == nil {
		return f.secured(e.TLS.Cert, host, port), file, nil
	}
	return reachable(host, port), file, err
}

// secured is where TLS is spoken, under a name that the certificate is for if there is one: programs check that.
func (f *finding) secured(certificate, host, port string) string {
	usual := reachable(host, port)
	at, _, _ := net.SplitHostPort(usual)
	leaf := readLeaf(certificate, f.options.Home)
	if leaf == nil {
		return "https://" + usual
	}
	names := []string{at, "localhost"}
	if ip := net.ParseIP(at); ip != nil && !ip.IsLoopback() {
		names = names[:1]
	}
	for _, name := range names {
		if leaf.VerifyHostname(name) == nil {
			return "https://" + net.JoinHostPort(name, port)
		}
	}
	f.program.warn("%s is a certificate for %s, and programs that ask at %s will not take it: make one for that address", certificate, nameIn(leaf), usual)
	return "https://" + usual
}

func (f *finding) tokenFile(e config.Endpoint, one sidecar.Served) (string, error) {
	options := f.options
	if one.TokenFile != "" {
		options.Folder = cmp.Or(options.Folder, filepath.Dir(one.TokenFile)) // serve has a folder where this command has none
	}
	file, err := options.TokenFile(e)
	if err != nil {
		return "", err
	}
	file = f.told(one.TokenFile, file)
	f.mustBeThere(file, "makes it when it starts")
	return file, nil
}

// told is the path that the running serve told, or else the one that was made out here. Serve knows the folder. Anyone may
// listen at its address when it has ended, and programs present what is in the file, so no one else may choose it: the name of
// the file is known here too, and where nobody but this user and root has a hand in the path, it leads to no other.
func (f *finding) told(path, expected string) string {
	switch {
	case path == "" || path == expected:
		return expected
	case !filepath.IsAbs(path) || filepath.Base(path) != filepath.Base(expected) || strings.ContainsFunc(path, unicode.IsControl):
		f.program.warn("what answers at %s names a file that does not go with this configuration: what is printed is %s", f.plan.Serve.Admin, expected)
	case !cannotLead(path):
		f.program.warn("what answers at %s names %s, which others can have lead to any file: what is printed is %s; write the whole path into the configuration if that one is right", f.plan.Serve.Admin, path, expected)
	default:
		return path
	}
	return expected
}

// mustBeThere tells of a file that programs will look for in vain.
func (f *finding) mustBeThere(path, comes string) {
	err := readable(path)
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist) && f.asked:
		f.program.warn("%s is where serve has it, and is not there for this command: programs must see the same folder", path)
	case errors.Is(err, fs.ErrNotExist) && f.unasked != nil:
		f.program.warn("%s is not there: serve %s", path, comes)
	case errors.Is(err, fs.ErrNotExist):
		f.program.warn("%s is not there: serve %s, and one with another $RUNTIME_DIRECTORY, $XDG_RUNTIME_DIR or $HOME than this command has it elsewhere; it is asked where it has an admin address", path, comes)
	default:
		f.program.warn("%s cannot be read by this user: %v", path, errors.Unwrap(err))
	}
}

func readable(path string) error {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return err // a pipe would wait for its writer
	}
	file, err := os.Open(filepath.Clean(path))
	if err != nil {
		return err
	}
	return file.Close()
}

// fileOf is where a kept file is.
func (f *finding) fileOf(k config.KeptFile) string {
	var path, profile string
	if k.AWSProfile != nil {
		path, profile = k.AWSProfile.Path, cmp.Or(k.AWSProfile.Profile, defaultProfile)
	} else {
		path = k.Token.Path
	}
	if rest, ok := strings.CutPrefix(path, "~/"); ok && f.options.Home != "" {
		path = filepath.Join(f.options.Home, rest)
	}
	if whole, err := filepath.Abs(path); err == nil {
		path = whole
	}
	for _, one := range f.report.Files {
		if one.Crossing != k.Crossing || one.Profile != profile || !filepath.IsAbs(one.Path) || filepath.Base(one.Path) != filepath.Base(path) {
			continue
		}
		if k.Token != nil {
			return f.told(one.Path, path)
		}
		if one.Path != path {
			// A profile may name a program to run, so where it is stays with the configuration.
			f.program.warn("what answers at %s keeps the profile in %s, and not in %s: write the whole path into the configuration", f.plan.Serve.Admin, one.Path, path)
		}
	}
	return path
}
