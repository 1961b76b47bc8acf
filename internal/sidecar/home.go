// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"path/filepath"
	"strings"
)

// underHome resolves ~/ in a path of the configuration. It fails where there is no home that is a whole path: a
// credential would come to lie in whatever folder serve was started in.
func (o Options) underHome(path string) (string, error) {
	rest, ok := strings.CutPrefix(path, "~/")
	why := "HOME is not set"
	switch {
	case !ok:
		return path, nil
	case filepath.IsAbs(o.Home):
		return filepath.Join(o.Home, rest), nil
	case o.Home != "":
		why = "HOME is not absolute"
	}
	return "", misuse("find "+path, "write the whole path", "%s", why)
}

// absolute is [Options.underHome] for what is opened here.
func (o Options) absolute(path string) (string, error) {
	path, err := o.underHome(path)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}
