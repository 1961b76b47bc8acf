// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// machineFacts are what figures depend on. They name no folder of the machine's.
func machineFacts(ctx context.Context, root string) [][2]string {
	facts := [][2]string{
		{"Date", time.Now().UTC().Format("2006-01-02 15:04 MST")},
		{"Processor", fmt.Sprintf("%s, %d of its threads", field("/proc/cpuinfo", "model name", runtime.GOARCH), runtime.NumCPU())},
	}
	if memory := field("/proc/meminfo", "MemTotal", ""); memory != "" {
		facts = append(facts, [2]string{"Memory", memory})
	}
	system := runtime.GOOS + "/" + runtime.GOARCH
	if name := strings.Trim(field("/etc/os-release", "PRETTY_NAME", ""), `"`); name != "" {
		system = name + ", " + system
	}
	facts = append(facts, [2]string{"System", system}, [2]string{"Go", strings.TrimPrefix(runtime.Version(), "go")})
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		if words := strings.Fields(string(load)); len(words) > 2 {
			facts = append(facts, [2]string{"Load before the run", strings.Join(words[:3], " ") + ", over 1, 5 and 15 minutes"})
		}
	}
	if commit := said(ctx, "git", "-C", root, "describe", "--always", "--dirty"); commit != "" {
		facts = append(facts, [2]string{"Stile", commit})
	}
	facts = append(facts, [2]string{"Libraries", libraries()})
	if redis := said(ctx, "redis-server", "--version"); redis != "" {
		if words := strings.Fields(redis); len(words) > 2 {
			facts = append(facts, [2]string{"Redis", strings.TrimPrefix(words[2], "v=")})
		}
	}
	return facts
}

// field reads what stands behind a name in one of the system's files.
func field(path, name, otherwise string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return otherwise
	}
	for line := range strings.Lines(string(content)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			return strings.TrimSpace(strings.TrimLeft(rest, " \t:="))
		}
	}
	return otherwise
}

// said is what a program prints, in one line; empty where it cannot be asked.
func said(ctx context.Context, argv ...string) string {
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).Output() //nolint:gosec // the callers' own
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// libraries are those that the program was held against, with their versions.
func libraries() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	var found []string
	for _, dep := range info.Deps {
		if slices.Contains([]string{"golang.org/x/oauth2", "cloud.google.com/go/auth", "github.com/aws/aws-sdk-go-v2"}, dep.Path) {
			found = append(found, dep.Path+" "+dep.Version)
		}
	}
	return strings.Join(found, ", ")
}
