// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// An Environment is what a workload finds around it: variables, and files by their absolute path.
type Environment struct {
	Variables map[string]string
	Files     map[string]string
}

// Format keeps values out of logs and test output, for keys and tokens are among them.
func (e Environment) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "[environment %s, files %s]", strings.Join(slices.Sorted(maps.Keys(e.Variables)), " "), strings.Join(slices.Sorted(maps.Keys(e.Files)), " "))
}

// relativeURI is the one endpoint variable that holds no host of its own.
const relativeURI, fullURI = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"

// Settle moves the environment onto this machine and gives its variables: the files are written below folder, and
// variables name them there; where address (HOST:PORT) is not empty, variables name it in place of the endpoint that the
// workload would find, link-local or on its own loopback.
func (e Environment) Settle(folder, address string) (map[string]string, error) {
	for name, content := range e.Files {
		where := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(where), 0o700); err != nil {
			return nil, fmt.Errorf("settling into %s: %w", folder, err)
		}
		if err := os.WriteFile(where, []byte(content), 0o600); err != nil {
			return nil, fmt.Errorf("settling into %s: %w", folder, err)
		}
	}
	settled := map[string]string{}
	for name, value := range e.Variables {
		switch {
		case e.names(value):
			value = filepath.Join(folder, filepath.FromSlash(value))
		case address != "" && name == relativeURI:
			name, value = fullURI, "http://"+address+value
		case address != "" && strings.HasPrefix(value, "http://"):
			_, rest, _ := strings.Cut(strings.TrimPrefix(value, "http://"), "/")
			value = "http://" + address + "/" + rest
		}
		settled[name] = value
	}
	return settled, nil
}

// names reports whether a value is the path of one of the files, or of a folder above one.
func (e Environment) names(value string) bool {
	for file := range e.Files {
		for at := file; at != "/" && at != "."; at = path.Dir(at) {
			if at == value {
				return true
			}
		}
	}
	return false
}
