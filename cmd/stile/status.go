// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/sidecar"
)

func (p *program) statusCommand() *cobra.Command {
	var s settings
	var admin string
	var asJSON, wait bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what a running stile serve hands out, and how each credential stands",
		Long: `Show what a running stile serve hands out, and how each credential stands. It is asked at its admin address: that of --admin,
or of the serve block of the stile.yaml. With --wait, the command ends once every crossing is ready, for at most --timeout: for
programs that need a credential from their first step on.`,
		Example: `  stile status
  stile status --wait --timeout 30s && exec my-program
  stile status --admin unix:/run/stile/admin.sock --json`,
		Args: takesNothing,
		RunE: func(cmd *cobra.Command, args []string) error {
			s.take(cmd, args)
			ctx, cancel := p.within(cmd.Context())
			defer cancel()
			address := admin
			if address == "" {
				var err error
				if address, err = p.adminOf(ctx, &s); err != nil {
					return err
				}
			}
			if wait {
				if err := p.awaitReady(ctx, address); err != nil || !asJSON {
					return err
				}
			}
			report, err := askStatus(ctx, address)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(p.stdout, report)
			}
			return showStatus(p.stdout, report, time.Now())
		},
	}
	p.fileFlags(cmd, &s)
	cmd.Flags().StringVar(&admin, "admin", "", "the `ADDRESS` where serve answers: HOST:PORT or unix:/PATH")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until every crossing is ready")
	return cmd
}

// adminOf is the admin address that the stile.yaml names.
func (p *program) adminOf(ctx context.Context, s *settings) (string, error) {
	const hint = "name it: --admin ADDRESS"
	where := cmp.Or(s.configFile, p.defaultConfig())
	if where == "" {
		return "", &stile.Error{Op: "find stile serve", Err: fmt.Errorf("%w: there is no stile.yaml here that names its admin address", stile.ErrMisuse), Hint: hint}
	}
	data, err := p.read(ctx, where)
	if err != nil {
		return "", err
	}
	file, err := config.ParseAllowing(where, data, p.foreignStore(s.allowHosts, where, s.configFile != ""))
	if err != nil {
		return "", err
	}
	if file.Serve == nil || file.Serve.Admin == "" {
		return "", &stile.Error{Op: "find stile serve", Err: fmt.Errorf("%w: %s names no admin address", stile.ErrMisuse, shown(where)), Hint: "add admin: to its serve block, or " + hint}
	}
	return file.Serve.Admin, nil
}

// awaitReady waits until every crossing is ready. It asks for no more than that: of very many crossings, the status is
// long.
func (p *program) awaitReady(ctx context.Context, address string) error {
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		code, _, err := askAdmin(ctx, address, "/readyz")
		switch {
		case err == nil && code == http.StatusOK:
			return nil
		case errors.Is(err, stile.ErrMisuse):
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
			defer cancel()
			report, err := askStatus(late, address)
			return notReady(p.timeout, report, err)
		}
	}
}

func notReady(after time.Duration, report sidecar.Report, err error) error {
	if err != nil {
		return err
	}
	e := &stile.Error{Op: "wait for stile serve"}
	var missing []string
	for _, c := range report.Crossings {
		if !c.Ready {
			missing = append(missing, c.Name+": "+cmp.Or(c.Error, "nothing has come yet"))
			e.Hint = cmp.Or(e.Hint, c.Hint)
		}
	}
	e.Err = fmt.Errorf("%w: not ready within %s: %s", stile.ErrTemporary, after, strings.Join(missing, "; "))
	return e
}

// askStatus asks a running serve how it stands.
func askStatus(ctx context.Context, admin string) (sidecar.Report, error) {
	var report sidecar.Report
	code, body, err := askAdmin(ctx, admin, "/status")
	if err != nil {
		return report, err
	}
	if err = json.Unmarshal(body, &report); err != nil || code != http.StatusOK {
		return report, &stile.Error{Op: askingServe + " at " + admin, Err: fmt.Errorf("what answers there is no stile serve's admin: status %d", code)}
	}
	return report, nil
}

const askingServe = "ask stile serve"

func askAdmin(ctx context.Context, admin, path string) (code int, body []byte, err error) {
	network, address, host := "tcp", admin, "localhost"
	if socket, ok := strings.CutPrefix(admin, "unix:"); ok {
		network, address = "unix", socket
	} else if name, port, err := net.SplitHostPort(admin); err != nil || port == "0" {
		return 0, nil, misuse(askingServe, "its admin address is %.100q, and nobody can tell where that is: want HOST:PORT or unix:/PATH", admin)
	} else {
		address = reachable(name, port)
		host = address
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+path, nil)
	if err != nil {
		return 0, nil, misuse(askingServe, "%w", err)
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	fail := func(err error) error {
		return &stile.Error{Op: askingServe + " at " + admin, Err: fmt.Errorf("%w: %w", stile.ErrTemporary, err), Hint: "is it running? stile serve"}
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return 0, nil, fail(err)
	}
	defer func() { _ = res.Body.Close() }()
	const most = 64 << 20 // bytes
	if body, err = io.ReadAll(io.LimitReader(res.Body, most)); err != nil {
		return 0, nil, fail(err)
	}
	return res.StatusCode, body, nil
}

// showStatus writes tables for a person.
func showStatus(w io.Writer, r sidecar.Report, now time.Time) error {
	crossings := [][]string{{"CROSSING", "STATE", "EXPIRES", "NEXT REFRESH", "PRINCIPAL"}}
	var notes strings.Builder
	for _, c := range r.Crossings {
		crossings = append(crossings, []string{c.Name, c.State, in(c.Expires, now), in(c.NextRefresh, now), cmp.Or(seen(c.Principal), "-")})
		if c.Error != "" {
			fmt.Fprintf(&notes, "\n%s has failed %d times in a row, the last time %s: %s\n", c.Name, c.Failures, in(c.FailedAt, now), seen(c.Error))
		}
		if c.Hint != "" {
			fmt.Fprintf(&notes, "  hint: %s\n", seen(c.Hint))
		}
	}
	endpoints := [][]string{{"ENDPOINT", "ADDRESS", "CROSSINGS"}}
	for _, e := range r.Serves {
		const most = 5
		names := strings.Join(e.Crossings[:min(len(e.Crossings), most)], ", ")
		if n := len(e.Crossings) - most; n > 0 {
			names += fmt.Sprintf(" and %d more", n)
		}
		endpoints = append(endpoints, []string{e.Kind, strings.Join(e.Addresses, ", "), names})
	}
	files := [][]string{{"FILE", "STATE", "EXPIRES", "CROSSING"}}
	for _, f := range r.Files {
		path := f.Path
		if f.Profile != "" {
			path += " [" + f.Profile + "]"
		}
		files = append(files, []string{path, f.State, in(f.Expires, now), f.Crossing})
		if f.Error != "" {
			fmt.Fprintf(&notes, "\n%s: %s\n", path, seen(f.Error))
		}
	}
	var b strings.Builder
	for _, rows := range [][][]string{crossings, endpoints, files} {
		if len(rows) == 1 {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("\n")
		}
		table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, row := range rows {
			fmt.Fprintln(table, strings.Join(row, "\t"))
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, b.String()+notes.String())
	return err
}

// in is how far a moment is from now.
func in(t, now time.Time) string {
	d := t.Sub(now).Round(time.Second)
	switch {
	case t.IsZero():
		return "-"
	case d < 0:
		return (-d).String() + " ago"
	}
	return "in " + d.String()
}
