// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
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
			report, err := p.statusOf(ctx, address, wait)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(p.stdout, report)
			}
			if wait {
				return nil
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

// statusOf asks once, or until every crossing is ready.
func (p *program) statusOf(ctx context.Context, address string, wait bool) (sidecar.Report, error) {
	const again = 100 * time.Millisecond
	for {
		report, err := askStatus(ctx, address)
		if !wait || err == nil && report.Ready {
			return report, err
		}
		if err != nil && errorsIsMisuse(err) {
			return report, err
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return report, notReady(p.timeout, report, err)
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

func errorsIsMisuse(err error) bool { return exitCode(err) == misused }

// askStatus asks a running serve how it stands.
func askStatus(ctx context.Context, admin string) (sidecar.Report, error) {
	const op = "ask stile serve"
	var report sidecar.Report
	network, address, host := "tcp", admin, admin
	if path, ok := strings.CutPrefix(admin, "unix:"); ok {
		network, address, host = "unix", path, "localhost"
	} else if h, port, err := net.SplitHostPort(admin); err != nil || port == "0" {
		return report, misuse(op, "its admin address is %.100q, and nobody can tell where that is: want HOST:PORT or unix:/PATH", admin)
	} else {
		address = reachable(h, port)
		host = address
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/status", nil)
	if err != nil {
		return report, misuse(op, "%w", err)
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return report, &stile.Error{Op: op + " at " + admin, Err: fmt.Errorf("%w: %w", stile.ErrTemporary, err), Hint: "is it running? stile serve"}
	}
	defer func() { _ = res.Body.Close() }()
	const most = 64 << 20
	body, err := io.ReadAll(io.LimitReader(res.Body, most))
	if err == nil && res.StatusCode == http.StatusOK {
		err = json.Unmarshal(body, &report)
	}
	if err != nil || res.StatusCode != http.StatusOK {
		return report, &stile.Error{Op: op + " at " + admin, Err: fmt.Errorf("what answers there is no stile serve's admin: status %d", res.StatusCode)}
	}
	return report, nil
}

// showStatus writes tables for a person.
func showStatus(w io.Writer, r sidecar.Report, now time.Time) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "CROSSING\tSTATE\tEXPIRES\tNEXT REFRESH\tPRINCIPAL")
	for _, c := range r.Crossings {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", c.Name, c.State, in(c.Expires, now), in(c.NextRefresh, now), cmp.Or(seen(c.Principal), "-"))
	}
	if len(r.Serves) > 0 {
		fmt.Fprintln(table, "\nENDPOINT\tADDRESS\tCROSSINGS\t\t")
		for _, e := range r.Serves {
			names := strings.Join(e.Crossings[:min(len(e.Crossings), 5)], ", ")
			if n := len(e.Crossings) - 5; n > 0 {
				names += fmt.Sprintf(" and %d more", n)
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t\t\n", e.Kind, strings.Join(e.Addresses, ", "), names)
		}
	}
	if len(r.Files) > 0 {
		fmt.Fprintln(table, "\nFILE\tSTATE\tEXPIRES\tCROSSING\t")
		for _, f := range r.Files {
			path := f.Path
			if f.Profile != "" {
				path += " [" + f.Profile + "]"
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t\n", path, f.State, in(f.Expires, now), f.Crossing)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, c := range r.Crossings {
		if c.Error == "" {
			continue
		}
		fmt.Fprintf(w, "\n%s failed %d times in a row, last %s: %s\n", c.Name, c.Failures, in(c.FailedAt, now), seen(c.Error))
		if c.Hint != "" {
			fmt.Fprintf(w, "  hint: %s\n", seen(c.Hint))
		}
	}
	for _, f := range r.Files {
		if f.Error != "" {
			fmt.Fprintf(w, "\n%s: %s\n", f.Path, seen(f.Error))
		}
	}
	return nil
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
