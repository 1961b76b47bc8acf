// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-project/stile/internal/exporter"
	"github.com/stile-project/stile/internal/stores"
)

func (p *program) versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  stile version\n  stile version --json",
		Args:    takesNothing,
		RunE: func(*cobra.Command, []string) error {
			v, links := version(), stores.Linked()
			if asJSON {
				return json.NewEncoder(p.stdout).Encode(struct {
					Arch     string `json:"arch"`
					Go       string `json:"go"`
					OS       string `json:"os"`
					Revision string `json:"revision"`
					Version  string `json:"version"`
					stores.Links
					Traces []string `json:"traces"`
				}{v["arch"], v["go"], v["os"], v["revision"], v["version"], links, exporter.Linked()})
			}
			traces := cmp.Or(strings.Join(exporter.Linked(), ", "), "none")
			_, err := fmt.Fprintf(p.stdout, "stile %s %s (%s)\nstores: %s; keys: %s; traces: %s; build: %s\n", v["version"], v["revision"], v["go"],
				strings.Join(links.Stores, ", "), strings.Join(links.Keys, ", "), traces, links.Build)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

// version is what the Go toolchain stamped into the program.
func version() map[string]string {
	v := map[string]string{"version": "(devel)", "revision": "unknown", "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v["version"] = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v["revision"] = s.Value
		}
	}
	return v
}
