// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/sidecar"
	"github.com/stile-project/stile/outlet"
)

// envFormats are what --print-env writes.
var envFormats = []string{"sh", "fish", "powershell", "docker", "json"}

// printEnv prints how programs find a crossing's endpoints, and what would win over that.
func (p *program) printEnv(ctx context.Context, o *serving, plan sidecar.Plan) error {
	vars, shadows, err := p.variables(ctx, o.printEnv, plan)
	if err != nil {
		return err
	}
	switch o.format {
	case "json":
		byName := map[string]string{}
		for _, v := range vars {
			byName[v.Name] = v.Value
		}
		return writeJSON(p.stdout, byName)
	case "docker": // docker run --env-file
		for _, v := range vars {
			if _, err := fmt.Fprintf(p.stdout, "%s=%s\n", v.Name, v.Value); err != nil {
				return err
			}
		}
		return nil
	}
	shell, unset := o.format, "unset %s\n"
	switch o.format {
	case "sh":
		shell = "posix"
	case "fish":
		unset = "set -e %s\n"
	case "powershell":
		unset = "Remove-Item -ErrorAction SilentlyContinue Env:%s\n"
	}
	for _, name := range shadows {
		if _, err := fmt.Fprintf(p.stdout, unset, name); err != nil {
			return err
		}
	}
	return outlet.Script(p.stdout, shell, vars)
}

func (p *program) variables(ctx context.Context, name string, plan sidecar.Plan) ([]outlet.Variable, []string, error) {
	c, ok := plan.Crossings[name]
	if !ok {
		return nil, nil, misuse("find the crossing", "there is no crossing %.64q", name)
	}
	region := ""
	if c.To.AWS != nil {
		region = p.region(c.To.AWS.Region)
	}
	options := p.sidecarOptions(p.logger("text"))
	var vars []outlet.Variable
	var shadows []string
	unix := ""
	for _, e := range plan.Serve.Endpoints {
		if !slices.Contains(e.Crossings(), name) {
			continue
		}
		if strings.HasPrefix(e.Listen, "unix:") {
			unix = e.Listen
			continue
		}
		address, file, err := p.whereServed(ctx, e, plan, options)
		if err != nil {
			return nil, nil, err
		}
		vars = add(vars, sidecar.Variables(e.Kind(), address, name, sidecar.Bearer{File: file}, region))
		shadows = append(shadows, sidecar.Shadowing(e.Kind())...)
	}
	switch {
	case len(vars) == 0 && unix != "":
		return nil, nil, &stile.Error{Op: "find the endpoint", Err: fmt.Errorf("%w: %s is served at %s, and no SDK asks at a Unix socket", stile.ErrMisuse, name, unix), Hint: "serve it at 127.0.0.1:PORT"}
	case len(vars) == 0:
		return nil, nil, &stile.Error{Op: "find the endpoint", Err: fmt.Errorf("%w: no endpoint serves %s", stile.ErrMisuse, name), Hint: "add one to the serve block, or name it by a flag such as --ecs ADDRESS"}
	}
	set := func(name string) bool {
		return slices.ContainsFunc(vars, func(v outlet.Variable) bool { return v.Name == name })
	}
	slices.Sort(shadows)
	return vars, slices.DeleteFunc(slices.Compact(shadows), set), nil
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

// whereServed is the endpoint's address, and for ECS the file of its token. Where the system chose the port, only the
// running serve knows.
func (p *program) whereServed(ctx context.Context, e config.Endpoint, plan sidecar.Plan, options sidecar.Options) (address, file string, err error) {
	if e.Kind() == "ecs" {
		if file, err = options.TokenFile(e); err != nil {
			return "", "", err
		}
	}
	host, port, err := net.SplitHostPort(e.Listen)
	if err != nil {
		return "", "", misuse("find the endpoint", "%.100q: want HOST:PORT", e.Listen)
	}
	if port != "0" {
		return reachable(host, port), file, nil
	}
	if plan.Serve.Admin == "" {
		return "", "", &stile.Error{Op: "find the endpoint", Err: fmt.Errorf("%w: its port is chosen when it starts", stile.ErrMisuse), Hint: "give serve an admin address, which knows, or the endpoint a port"}
	}
	report, err := askStatus(ctx, plan.Serve.Admin)
	if err != nil {
		return "", "", err
	}
	one, ok := report.Address(e)
	if !ok || len(one.Addresses) == 0 {
		return "", "", misuse("find the endpoint", "what is served at %s is another configuration", plan.Serve.Admin)
	}
	if host, port, err = net.SplitHostPort(one.Addresses[0]); err != nil {
		return "", "", err
	}
	return reachable(host, port), cmp.Or(one.TokenFile, file), nil
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
