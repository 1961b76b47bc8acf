// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
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
or of the serve block of the stile.yaml. --admin reads no file: it shows what is served, also while the file has a mistake in it.
Where TLS is spoken it is https://HOST:PORT. With --wait, the command ends once every crossing is ready and its files are
written, for at most --timeout: for programs that need a credential from their first step on. Then the exit code says why it is
not: 4 if all that is missing was refused, 3 if there is no identity for it, or else 5.`,
		Example: `  stile status
  stile status --wait --timeout 30s && exec my-program
  stile status --admin unix:/run/stile/admin.sock --json`,
		Args: takesNothing,
		RunE: func(cmd *cobra.Command, args []string) error {
			s.take(cmd, args)
			ctx, cancel := p.within(cmd.Context())
			defer cancel()
			at, err := p.adminOf(ctx, &s, admin)
			if err != nil {
				return err
			}
			if wait {
				if err := p.awaitReady(ctx, at); err != nil || !asJSON {
					return err
				}
			}
			report, err := askStatus(ctx, at)
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
	cmd.Flags().StringVar(&admin, "admin", "", "the `ADDRESS` where serve answers: HOST:PORT, https://HOST:PORT or unix:/PATH")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until every crossing is ready")
	return cmd
}

// adminOf is the admin address that is named, or else that of the stile.yaml.
func (p *program) adminOf(ctx context.Context, s *settings, named string) (adminPlace, error) {
	const nameIt = "name it: --admin ADDRESS"
	if named != "" {
		address, secure := strings.CutPrefix(named, "https://")
		return adminPlace{address: strings.TrimSuffix(strings.TrimPrefix(address, "http://"), "/"), secure: secure, program: p}, nil
	}
	where := cmp.Or(s.configFile, p.defaultConfig())
	if where == "" {
		return adminPlace{}, &stile.Error{Op: "find stile serve", Err: fmt.Errorf("%w: there is no stile.yaml here that names its admin address", stile.ErrMisuse), Hint: nameIt}
	}
	unread := func(err error) (adminPlace, error) {
		return adminPlace{}, &stile.Error{Op: "find stile serve", Err: err, Hint: cmp.Or(hint(err), "what runs goes on with what it read last: ask it by --admin ADDRESS, which reads no file")}
	}
	data, err := p.read(ctx, where)
	if err != nil {
		return unread(err)
	}
	file, err := config.ParseAllowing(where, data, p.foreignStore(s.allowHosts, where, s.configFile != ""))
	if err != nil {
		return unread(err)
	}
	if file.Serve == nil || file.Serve.Admin == "" {
		return adminPlace{}, &stile.Error{Op: "find stile serve", Err: fmt.Errorf("%w: %s names no admin address", stile.ErrMisuse, shown(where)), Hint: "add admin: to its serve block, or " + nameIt}
	}
	return p.adminAt(*file.Serve), nil
}

// adminAt is the admin address of a serve block.
func (p *program) adminAt(s config.Serve) adminPlace {
	at := adminPlace{address: s.Admin, secure: s.AdminTLS != nil, program: p}
	if at.secure {
		at.certificate = s.AdminTLS.Cert
	}
	return at
}

// awaitReady waits until every crossing is ready. It asks for no more than that: of very many crossings, the status is
// long. A refusal is waited out like all else: a cloud takes a moment to know a trust that was just set up.
func (p *program) awaitReady(ctx context.Context, at adminPlace) error {
	var last []byte // what /readyz said
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		code, body, err := at.ask(ctx, "/readyz")
		switch {
		case err == nil && code == http.StatusOK:
			return nil
		case errors.Is(err, stile.ErrMisuse):
			return err
		case err == nil:
			last = body
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
			defer cancel()
			report, err := askStatus(late, at)
			return notReady(p.timeout, report, last, err)
		}
	}
}

// notReady says what is missing, and of which kind that is: what may pass wins, for then waiting longer may help. Where the
// status could not be had, as with very many crossings, it is what /readyz said.
func notReady(after time.Duration, report sidecar.Report, last []byte, err error) error {
	if err != nil && last == nil {
		return err
	}
	e := &stile.Error{Op: "wait for stile serve"}
	var missing []string
	kinds, told := map[string]bool{}, map[string]bool{}
	lacks := func(what, why, hint, kind string) {
		missing = append(missing, what+": "+why)
		e.Hint = cmp.Or(e.Hint, hint)
		kinds[kind] = true
	}
	for _, f := range report.Files {
		if !f.Ready && f.Error != "" {
			lacks(f.Path, f.Error, f.Hint, "temporary")
			told[f.Crossing] = true
		}
	}
	for _, one := range report.Serves {
		if one.Error != "" {
			lacks(one.Kind+" at "+one.Listen, one.Error, one.Hint, "temporary")
		}
	}
	for _, c := range report.Crossings {
		if !c.Ready && (c.Error != "" || !told[c.Name]) {
			lacks(c.Name, cmp.Or(c.Error, "nothing has come yet"), c.Hint, c.ErrorKind)
		}
	}
	if len(missing) == 0 {
		for line := range strings.Lines(string(last)) {
			missing = append(missing, strings.TrimSpace(line))
		}
		kinds["temporary"] = true
	}
	const most = 10
	if n := len(missing) - most; n > 0 {
		missing = append(missing[:most], fmt.Sprintf("and %d more", n))
	}
	e.Err = fmt.Errorf("%w: not ready within %s: %s", kindOf(kinds), after, strings.Join(missing, "; "))
	return e
}

// kindOf is what all that is missing has in common. The words are those of a status.
func kindOf(missing map[string]bool) error {
	switch {
	case len(missing) == 1 && missing["no_identity"]:
		return stile.ErrNoIdentity
	case len(missing) == 1 && missing["refused"], len(missing) == 2 && missing["refused"] && missing["no_identity"]:
		return stile.ErrRefused
	}
	return stile.ErrTemporary
}

// askStatus asks a running serve how it stands.
func askStatus(ctx context.Context, at adminPlace) (sidecar.Report, error) {
	var report sidecar.Report
	code, body, err := at.ask(ctx, "/status")
	if err != nil {
		return report, err
	}
	if err = json.Unmarshal(body, &report); err != nil || code != http.StatusOK {
		return report, &stile.Error{Op: askingServe + " at " + at.address, Err: fmt.Errorf("what answers there is no stile serve's admin: status %d", code)}
	}
	return report, nil
}

// showStatus writes tables for a person, and below them what went wrong.
func showStatus(w io.Writer, r sidecar.Report, now time.Time) error {
	var notes strings.Builder
	note := func(what, hint string) {
		fmt.Fprintf(&notes, "\n%s\n", seen(what))
		if hint != "" {
			fmt.Fprintf(&notes, "  hint: %s\n", seen(hint))
		}
	}
	if c := r.Configuration; c != nil && !c.Current {
		note("The configuration was read again "+in(c.FailedAt, now)+" and is not taken over, what was served before goes on: "+c.Error, c.Hint)
	}
	crossings := [][]string{{"CROSSING", "STATE", "EXPIRES", "NEXT REFRESH", "PRINCIPAL"}}
	for _, c := range r.Crossings {
		crossings = append(crossings, []string{c.Name, c.State, in(c.Expires, now), in(c.NextRefresh, now), cmp.Or(c.Principal, "-")})
		if c.Error != "" {
			note(c.Name+" has failed "+howOften(c.Failures, c.FailedAt, now)+": "+c.Error, c.Hint)
		}
	}
	endpoints := [][]string{{"ENDPOINT", "ADDRESS", "CROSSINGS"}}
	for _, e := range r.Serves {
		at := strings.Join(e.Addresses, ", ")
		endpoints = append(endpoints, []string{e.Kind, at, firstOf(e.Crossings)})
		if e.Error != "" {
			note(e.Kind+" at "+at+" lets nobody in: "+e.Error, e.Hint)
		}
	}
	files := [][]string{{"FILE", "STATE", "EXPIRES", "CROSSING"}}
	for _, f := range r.Files {
		path := f.Path
		if f.Profile != "" {
			path += " [" + f.Profile + "]"
		}
		files = append(files, []string{path, f.State, in(f.Expires, now), f.Crossing})
		if f.Error != "" {
			note(path+": "+f.Error, f.Hint)
		}
	}
	if err := writeTables(w, crossings, endpoints, files); err != nil {
		return err
	}
	_, err := io.WriteString(w, notes.String())
	return err
}

// firstOf is as many names as a line holds.
func firstOf(names []string) string {
	const most = 5
	text := strings.Join(names[:min(len(names), most)], ", ")
	if n := len(names) - most; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

// writeTables leaves out those that have only a head.
func writeTables(w io.Writer, tables ...[][]string) error {
	tables = slices.DeleteFunc(tables, func(rows [][]string) bool { return len(rows) == 1 })
	for i, rows := range tables {
		if i > 0 {
			fmt.Fprintln(w)
		}
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, row := range rows {
			for i := range row {
				row[i] = seen(row[i]) // whoever answers wrote it
			}
			fmt.Fprintln(table, strings.Join(row, "\t"))
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// howOften tells of failures in a row.
func howOften(failures int, last, now time.Time) string {
	if failures == 1 {
		return "once, " + in(last, now)
	}
	return fmt.Sprintf("%d times in a row, the last time %s", failures, in(last, now))
}

// in is how far a moment is from now.
func in(t, now time.Time) string {
	d := t.Sub(now).Round(time.Second)
	switch {
	case t.IsZero():
		return "-"
	case d == 0 && !t.After(now):
		return "just now"
	case d < 0:
		return (-d).String() + " ago"
	}
	return "in " + d.String()
}
