// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/sidecar"
	"github.com/stile-project/stile/outlet"
)

// envFormats are what --print-env writes.
var envFormats = []string{"sh", "fish", "powershell", "docker", "json"}

// printEnv prints how programs find a crossing, and takes away what would win over that.
func (p *program) printEnv(ctx context.Context, o *serving, plan sidecar.Plan) error {
	c, ok := plan.Crossings[o.printEnv]
	if !ok {
		return misuse("find the crossing", "there is no crossing %.64q: there is %s", o.printEnv, firstOf(slices.Sorted(maps.Keys(plan.Crossings))))
	}
	f := &finding{program: p, name: o.printEnv, crossing: c, plan: plan, options: p.sidecarOptions(p.logger("text"))}
	f.ask(ctx)
	vars, shadows, err := f.variables()
	if err != nil {
		return err
	}
	if f.unasked != nil {
		p.warn("%v: what is printed is how serve would have it in the environment of this command", f.unasked)
	}
	if err := wholeLines(vars); err != nil {
		return err
	}
	var b bytes.Buffer // all of it or nothing
	if err := writeVariables(&b, o.format, vars, shadows); err != nil {
		return err
	}
	_, err = b.WriteTo(p.stdout)
	return err
}

// wholeLines refuses a value that would be read as more than itself: a format of lines cannot hold another, and a terminal
// would obey.
func wholeLines(vars []outlet.Variable) error {
	for _, v := range vars {
		if strings.ContainsFunc(v.Value, unicode.IsControl) {
			return &stile.Error{
				Op: "print the variables", Err: fmt.Errorf("%w: the value of %s has a control character, such as a line break: %.200q", stile.ErrMisuse, v.Name, v.Value),
				Hint: "have the configuration and the environment name paths and regions without",
			}
		}
	}
	return nil
}

func writeVariables(w io.Writer, format string, vars []outlet.Variable, shadows []string) error {
	switch format {
	case "json":
		byName := map[string]string{}
		for _, v := range vars {
			byName[v.Name] = v.Value
		}
		return writeJSON(w, byName)
	case "docker": // docker run --env-file
		for _, v := range vars {
			if _, err := fmt.Fprintf(w, "%s=%s\n", v.Name, v.Value); err != nil {
				return err
			}
		}
		return nil
	}
	shell, unset := format, "unset %s\n"
	switch format {
	case "sh":
		shell = "posix"
	case "fish":
		unset = "set -e %s\n"
	case "powershell":
		unset = "Remove-Item -ErrorAction SilentlyContinue Env:%s\n"
	}
	for _, name := range shadows {
		if _, err := fmt.Fprintf(w, unset, name); err != nil {
			return err
		}
	}
	return outlet.Script(w, shell, vars)
}

// variables are those of the crossing's endpoints, or where it has none, of its files.
func (f *finding) variables() (vars []outlet.Variable, shadows []string, err error) {
	unix := ""
	var proxied []string // addresses where SDKs ask by a proxy
	var kinds []string   // of what is told already: variables of two endpoints of one kind would mix
	for _, e := range f.plan.Serve.Endpoints {
		if !slices.Contains(e.Crossings(), f.name) {
			continue
		}
		if strings.HasPrefix(e.Listen, "unix:") {
			unix = e.Listen
			continue
		}
		if slices.Contains(kinds, e.Kind()) {
			continue
		}
		address, file, err := f.endpoint(e)
		if err != nil {
			return nil, nil, err
		}
		if e.Kind() != "ecs" {
			proxied = append(proxied, address)
		}
		kinds = append(kinds, e.Kind())
		vars = add(vars, sidecar.Variables(e.Kind(), address, f.name, sidecar.Bearer{File: file}, f.region()))
		shadows = append(shadows, sidecar.Shadowing(e.Kind())...)
	}
	var files []string
	if len(vars) > 0 {
		vars = append(vars, sidecar.NoProxy(f.program.env, proxied...)...)
		f.warnOfDefaults()
	} else {
		vars, shadows, files = f.fileVariables()
	}
	if len(vars) == 0 {
		return nil, nil, f.nothing(unix, files)
	}
	set := func(name string) bool {
		return slices.ContainsFunc(vars, func(v outlet.Variable) bool { return v.Name == name })
	}
	slices.Sort(shadows)
	return vars, slices.DeleteFunc(slices.Compact(shadows), set), nil
}

// nothing says why there are no variables.
func (f *finding) nothing(unix string, files []string) error {
	e := &stile.Error{Op: "find the endpoint"}
	switch {
	case len(files) > 0:
		e.Err = fmt.Errorf("%w: no endpoint serves %s, and what it is kept in is for no variable that every program reads: %s", stile.ErrMisuse, f.name, strings.Join(files, ", "))
		e.Hint = "tell the program the path, by credential_source.file or a setting of its own; or add an endpoint to the serve block"
	case unix != "":
		e.Err = fmt.Errorf("%w: %s is served at %s, and no SDK asks at a Unix socket", stile.ErrMisuse, f.name, unix)
		e.Hint = "serve it at 127.0.0.1:PORT"
	default:
		e.Err = fmt.Errorf("%w: no endpoint serves %s", stile.ErrMisuse, f.name)
		switch {
		case isToken(f.crossing):
			e.Hint = "no SDK asks for such a token: add it to files: of the serve block, or run the program by stile exec " + f.name
		case f.crossing.To.AWS != nil:
			e.Hint = "add one to the serve block, or name it by a flag: --ecs ADDRESS"
		default:
			e.Hint = "add one to the serve block, or name it by a flag: --gce " + f.name + "=ADDRESS"
		}
	}
	return e
}

func (f *finding) region() string {
	if f.crossing.To.AWS == nil {
		return ""
	}
	return f.program.region(f.crossing.To.AWS.Region)
}

// add leaves out what is there already.
func add(vars, more []outlet.Variable) []outlet.Variable {
	for _, v := range more {
		if !slices.ContainsFunc(vars, func(have outlet.Variable) bool { return have.Name == v.Name }) {
			vars = append(vars, v)
		}
	}
	return vars
}

// warnOfDefaults tells of what wins over an endpoint, and what no variable takes away without taking more.
func (f *finding) warnOfDefaults() {
	if f.crossing.To.GCP != nil {
		f.program.warnOfDefaultCredentials()
		return
	}
	for _, of := range []struct{ variable, usual string }{{"AWS_SHARED_CREDENTIALS_FILE", "credentials"}, {"AWS_CONFIG_FILE", "config"}} {
		path := f.program.env(of.variable)
		if path == "" && f.options.Home != "" {
			path = filepath.Join(f.options.Home, ".aws", of.usual)
		}
		if path == "" || f.keepsDefault(path) {
			continue
		}
		if data, err := os.ReadFile(filepath.Clean(path)); err == nil && hasDefaultIdentity(data) {
			f.program.warn("%s has a default profile, which wins over the endpoint in programs that read it: set %s=%s for them, as stile exec does, or rename the profile",
				path, of.variable, os.DevNull)
		}
	}
}

// reachable is how a program on this machine gets to an address.
func reachable(host, port string) string {
	if ip := net.ParseIP(host); host == "" || host == "localhost" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil && !ip.IsUnspecified() {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port)
}
