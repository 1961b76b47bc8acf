// SPDX-License-Identifier: Apache-2.0

package fromoidc

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/stile-project/stile/internal/jwt"
)

// stableIn is what stays of the token in content when it is renewed; false where there is none.
func stableIn(content []byte, field string) (string, bool) {
	raw, err := member(content, field)
	if err != nil || strings.TrimSpace(raw) == "" {
		return "", false
	}
	return jwt.Stable(raw), true
}

// momentary are variables that differ from one command of a shell to the next, or from one terminal to the next, and
// that no program takes its identity from.
var momentary = []string{"_", "SHLVL", "OLDPWD", "TERM", "COLUMNS", "LINES", "WINDOWID"}

// lasting is an environment in order, without what is momentary and without what the protocol sets.
func lasting(environ []string) []string {
	name := func(entry string) string {
		name, _, _ := strings.Cut(entry, "=")
		return name
	}
	var env []string
	for _, entry := range environ {
		if !slices.Contains(momentary, name(entry)) && !isProtocols(entry) {
			env = append(env, entry)
		}
	}
	// Where a name comes twice the later one counts, so those keep their order.
	sort.SliceStable(env, func(i, j int) bool { return name(env[i]) < name(env[j]) })
	return env
}

// left is what stays of the token that a program left in its output file. No file, or none with an answer, is as good
// as any: the program is asked then. It is false where the file cannot be read.
func left(path string) (string, bool) {
	if path == "" {
		return "", true
	}
	content, err := readFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", true
	case err != nil:
		return "", false
	}
	for _, field := range []string{"id_token", "saml_response"} {
		if token, ok := stableIn(content, field); ok {
			return token, true
		}
	}
	return "", true
}

// attested is what a SPIFFE agent can see of this process when it decides who it is: the program, its user's groups, and
// the container, pod or unit that it runs in. What a system does not tell is left empty.
// Source: SPIRE, workload attestors unix, docker, k8s and systemd.
func attested() []string {
	program, err := os.Executable()
	if err != nil {
		program = ""
	}
	groups, err := os.Getgroups()
	if err != nil {
		groups = nil
	}
	slices.Sort(groups)
	seen := []string{program, strconv.Itoa(os.Getuid()), strconv.Itoa(os.Getgid())}
	for _, group := range groups {
		seen = append(seen, strconv.Itoa(group))
	}
	within, err := readFile("/proc/self/cgroup")
	if err != nil {
		within = nil
	}
	return append(seen, string(within))
}
