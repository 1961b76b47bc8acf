// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/process"
	"github.com/stile-project/stile/outlet"
)

// folderPrefix is how the names of exec's private folders begin.
const folderPrefix = "stile-exec-"

// foldersIn are where exec's private folder may be: in the session's own, which is in memory and ends with it, or else
// among the temporary files. The command may go to another folder, so they are absolute.
func (p *program) foldersIn() []string {
	temporary := os.TempDir()
	if whole, err := filepath.Abs(temporary); err == nil {
		temporary = whole
	}
	if session := p.env("XDG_RUNTIME_DIR"); process.IsOwn(session) {
		return []string{session, temporary}
	}
	return []string{temporary}
}

// newFolder makes exec's private folder. A folder that everyone may write to, and that has no sticky bit, or is below such a
// one, is not good enough, though exec's own would be 0700: others could rename it and put theirs in its place, and the
// command would present what they wrote. Nobody can tell whether there are others, as in a pod.
func (p *program) newFolder() (*process.Folder, error) {
	var failed []error
	for _, base := range p.foldersIn() {
		err := outlet.File{Path: filepath.Join(base, folderPrefix+rand.Text())}.Check() // of a name that is nobody's
		if e, ok := errors.AsType[*stile.Error](err); ok {
			err = e.Err // its hints are for files of a configuration
		}
		var folder *process.Folder
		if err == nil {
			folder, err = process.NewFolder(folderPrefix, base)
		}
		if err == nil {
			return folder, nil
		}
		failed = append(failed, fmt.Errorf("%s: %w", base, err))
	}
	return nil, &stile.Error{
		Op: "make a folder for the command's token", Err: errors.Join(failed...),
		Hint: "set TMPDIR to a folder that you may write to, and where others may not take away what is yours: one of your own, or one with the sticky bit (chmod +t), which in a container /dev/shm usually has",
	}
}
