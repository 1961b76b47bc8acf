// SPDX-License-Identifier: Apache-2.0

// Package keyring has the operating system's keyring for package keep/file: Keychain on macOS, Credential Manager on
// Windows, the Secret Service of the desktop elsewhere.
package keyring

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/zalando/go-keyring"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep/file"
)

// What the key is filed under.
const (
	service = "stile"
	account = "cache"
)

// System is the keyring of the user whom the process runs as. Where lookup, which is os.LookupEnv in a program, finds no
// session bus that a Secret Service could be on, nothing is asked.
func System(lookup func(string) (string, bool)) file.Keyring { return system{lookup} }

type system struct {
	lookup func(string) (string, bool)
}

// Get may have the system ask the user to unlock the keyring, and then takes as long as that.
func (s system) Get() (stile.Secret, error) {
	if !s.bus() {
		return stile.Secret{}, file.ErrNoKeyring
	}
	text, err := keyring.Get(service, account)
	if err != nil {
		return stile.Secret{}, kind(err)
	}
	return stile.NewSecret(text), nil
}

func (s system) Set(key stile.Secret) error {
	if !s.bus() {
		return file.ErrNoKeyring
	}
	if err := keyring.Set(service, account, key.Reveal()); err != nil {
		return kind(err)
	}
	return nil
}

// bus reports whether there is a session bus to ask. Connecting with none at hand would start one.
func (s system) bus() bool {
	if runtime.GOOS == "darwin" || runtime.GOOS == "windows" {
		return true
	}
	address, _ := s.lookup("DBUS_SESSION_BUS_ADDRESS")
	if address != "" {
		return !strings.HasPrefix(address, "disabled:") && !strings.HasPrefix(address, "autolaunch:")
	}
	// The library looks for the bus here and nowhere else, whatever XDG_RUNTIME_DIR says.
	folder, _ := s.lookup("XDG_RUNTIME_DIR")
	if filepath.Clean(folder) != "/run/user/"+strconv.Itoa(os.Getuid()) {
		return false
	}
	info, err := os.Stat(filepath.Join(folder, "bus"))
	return err == nil && info.Mode().Type() == os.ModeSocket
}

// kind tells no keyring, and a keyring without the key, from one that does not do its work.
func kind(err error) error {
	switch {
	case errors.Is(err, keyring.ErrNotFound):
		return file.ErrNoKey
	case errors.Is(err, keyring.ErrUnsupportedPlatform), strings.Contains(err.Error(), "org.freedesktop.secrets"):
		// A bus without a Secret Service says that nobody provides this name. Servers are like that.
		return file.ErrNoKeyring
	}
	return fmt.Errorf("the system's keyring: %w", err)
}
