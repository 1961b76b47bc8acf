// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"slices"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/sidecar"
	"github.com/stile-project/stile/serve/ecs"
)

// A mirror is a variable that has this workload's identity asked for at an endpoint of stile serve. What --print-env prints
// is for the programs that are served: where it is in the environment of stile itself, who it is comes from what it serves.
type mirror struct {
	variable string
	address  string // HOST:PORT
	path     string // of a URL
}

// mirrorOf is the variable that says where a crossing's identity is asked for, if one does; else zero. A default profile,
// which would come before the endpoints, is not looked for: a variable that has no effect is as well unset.
func (p *program) mirrorOf(from config.From) mirror {
	const container, instance, machine = "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "GCE_METADATA_HOST"
	switch {
	case from.GCP != nil:
		if from.GCP.KeyFile != "" || from.GCP.ApplicationDefault != nil || p.env(machine) == "" {
			return mirror{}
		}
		return mirrorAt(machine, "http://"+p.env(machine))
	case from.AWS == nil || from.AWS.External != nil || from.AWS.Profile != "":
		return mirror{}
	}
	for _, earlier := range []string{"AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"} {
		if p.env(earlier) != "" {
			return mirror{}
		}
	}
	if p.env(container) != "" {
		return mirrorAt(container, p.env(container))
	}
	return mirrorAt(instance, p.env(instance))
}

func mirrorAt(variable, location string) mirror {
	u, err := url.Parse(location)
	if err != nil || u.Hostname() == "" {
		return mirror{}
	}
	port := map[string]string{"https": "443"}[u.Scheme]
	return mirror{variable, net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port, "80")), u.Path}
}

// shows reports whether one of these endpoints is what the variable names.
func (m mirror) shows(served []config.Endpoint) bool {
	return m.variable != "" && slices.ContainsFunc(served, func(e config.Endpoint) bool { return sameListener(e.Listen, m.address) })
}

// sameListener reports whether a listener is asked at an address. localhost may be any loopback address.
func sameListener(listen, asked string) bool {
	host, port, err := net.SplitHostPort(listen)
	askedHost, askedPort, askedErr := net.SplitHostPort(asked)
	if err != nil || askedErr != nil || port != askedPort {
		return false
	}
	ip, askedIP := net.ParseIP(host), net.ParseIP(askedHost)
	isHere := func(host string, ip net.IP) bool { return host == "localhost" || ip.IsLoopback() }
	isOpen := func(host string, ip net.IP) bool { return host == "" || host == "localhost" || ip.IsUnspecified() }
	return host == askedHost || ip != nil && ip.Equal(askedIP) || isOpen(host, ip) && isHere(askedHost, askedIP) || isHere(host, ip) && isOpen(askedHost, askedIP)
}

// asksItself refuses a plan by which stile would ask itself who it is: it would never be ready, or be what it gives.
func (p *program) asksItself(plan sidecar.Plan) error {
	var names []string
	for _, e := range plan.Serve.Endpoints {
		names = append(names, e.Crossings()...)
	}
	for _, f := range plan.Serve.Files {
		names = append(names, f.Crossing)
	}
	for _, name := range names {
		if m := p.mirrorOf(plan.Crossings[name].From); m.shows(plan.Serve.Endpoints) {
			return &stile.Error{Op: "find who this workload is",
				Err:  fmt.Errorf("%w: crossing %s asks at %s, by %s, and that is where this stile serve is to answer: it would ask itself", stile.ErrMisuse, name, m.address, m.variable),
				Hint: "unset " + m.variable + ", or start stile serve in another shell: what --print-env prints is for the programs that are served"}
		}
	}
	return nil
}

// warnOfMirror tells that a crossing begins with what stile serve or stile exec hands out, as far as the configuration
// shows that: an endpoint of its serve block, or the path at which one of its crossings is served to AWS SDKs.
func (p *program) warnOfMirror(c config.Crossing, file *config.File) {
	m := p.mirrorOf(c.From)
	known := file.Serve != nil && m.shows(file.Serve.Endpoints)
	_, port, _ := net.SplitHostPort(m.address)
	for name, other := range file.Crossings {
		known = known || other.To.AWS != nil && m.path == ecs.Path(name) && sameListener("localhost:"+port, m.address)
	}
	if known {
		p.warn("%s is %s, where stile serves a crossing: this one begins with what is handed out there, and not with this workload's own identity; unset it if that is not meant", m.variable, m.address)
	}
}
