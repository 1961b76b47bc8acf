// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/stores"
	"github.com/stile-project/stile/keep/file"
)

func (p *program) cacheCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "cache", Short: "Show and clear the credentials that are kept on this machine",
		Long: `Show and clear the credentials that are kept on this machine, in $XDG_CACHE_HOME/stile or the system's folder for
caches. What machines share in a store that a stile.yaml names is not among them.`,
		Example: "  stile cache list\n  stile cache clear",
		Args:    knownCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(p.cacheListCommand(), p.cacheClearCommand())
	return cmd
}

func (p *program) cacheListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show what is kept on this machine, without any secret",
		Long: `Show what is kept on this machine: what kind of credential, whom it speaks for, when it ends, and whether it is sealed with
the system's keyring. Which crossing it came of cannot be read from what is kept.`,
		Example: "  stile cache list\n  stile cache list --json",
		Args:    takesNothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := p.within(cmd.Context())
			defer cancel()
			store, err := p.cacheFolder()
			if err != nil {
				return err
			}
			var entries []file.Entry
			if store != nil {
				if entries, err = store.List(ctx); err != nil {
					return err
				}
			}
			if asJSON {
				return writeEntries(p.stdout, entries)
			}
			for _, e := range entries {
				if e.Problem != "" {
					p.warn("%s: %s", e.Path, oneLine(e.Problem))
				}
			}
			return tabulate(p.stdout, entries, time.Now())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

func (p *program) cacheClearCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "clear",
		Short: "Remove what is kept on this machine",
		Long: `Remove the credentials that are kept on this machine, and no file that stile did not write. Credentials that were given out
stay good until they end: only the cloud can end them sooner.`,
		Example: "  stile cache clear",
		Args:    takesNothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := p.within(cmd.Context())
			defer cancel()
			store, err := p.cacheFolder()
			if err != nil {
				return err
			}
			n := 0
			if store != nil {
				if n, err = store.Clear(ctx); err != nil {
					return err
				}
			}
			_, err = fmt.Fprintf(p.stdout, "%s removed\n", count(n, "credential"))
			return err
		},
	}
}

// cacheFolder is nil where there is none yet: looking makes no folder.
func (p *program) cacheFolder() (*file.Store, error) {
	dir, err := file.DefaultDir(os.LookupEnv)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return stores.OpenFiles(stores.Surroundings{Lookup: os.LookupEnv, Keyring: p.keyring(), Log: slog.New(&warnings{to: p})})
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// kindNames are as stile token --json has them.
var kindNames = map[stile.Kind]string{stile.KindAWSSession: "aws_session", stile.KindAccessToken: "access_token", stile.KindIDToken: "id_token"}

// writeEntries writes a JSON array. Fields are added, never renamed.
func writeEntries(w io.Writer, entries []file.Entry) error {
	type entry struct {
		Path      string     `json:"path"`
		Sealed    bool       `json:"sealed"`
		Kind      string     `json:"kind,omitempty"`
		Principal string     `json:"principal,omitempty"`
		Obtained  *time.Time `json:"obtained,omitempty"`
		Expires   *time.Time `json:"expires,omitempty"`
		Problem   string     `json:"problem,omitempty"`
	}
	all := []entry{}
	for _, e := range entries {
		all = append(all, entry{e.Path, e.Sealed, kindNames[e.Kind], e.Principal, moment(e.Obtained), moment(e.Expires), e.Problem})
	}
	return json.NewEncoder(w).Encode(all)
}

// moment is t as JSON has it, in whole seconds of UTC; nil for none.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	return &t
}

func tabulate(w io.Writer, entries []file.Entry, now time.Time) error {
	if len(entries) == 0 {
		_, err := io.WriteString(w, "no credential is kept\n")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KIND\tPRINCIPAL\tEXPIRES\tAT REST")
	for _, e := range entries {
		atRest := "plain"
		if e.Sealed {
			atRest = "sealed"
		}
		kind, expires := e.Kind.String(), "in "+e.Expires.Sub(now).Truncate(time.Second).String()
		switch {
		case e.Problem != "":
			kind, expires = "damaged", "-"
		case !e.Expires.After(now):
			expires = "expired"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", kind, cmp.Or(seen(e.Principal), "-"), expires, atRest)
	}
	return table.Flush()
}

// seen is a principal less what a terminal would obey.
func seen(text string) string {
	return oneLine(strings.Map(printable, text))
}
