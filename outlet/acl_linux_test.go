// SPDX-License-Identifier: Apache-2.0

package outlet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// aclOf lets one user more read, and the group nothing. Source: Linux, include/uapi/linux/posix_acl_xattr.h.
func aclOf(user uint32) []byte {
	const none = ^uint32(0)
	list := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, may uint16
		id       uint32
	}{{1, 6, none}, {2, 4, user}, {4, 0, none}, {16, 4, none}, {32, 0, none}} { // owner, user, group, mask, others
		list = binary.LittleEndian.AppendUint16(list, e.tag)
		list = binary.LittleEndian.AppendUint16(list, e.may)
		list = binary.LittleEndian.AppendUint32(list, e.id)
	}
	return list
}

func setACL(t *testing.T, path, name string) {
	t.Helper()
	err := syscall.Setxattr(path, name, aclOf(65534), 0)
	if errors.Is(err, syscall.ENOTSUP) {
		t.Skip("this disk keeps no access control lists")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The mask of a list is no right of the group, and whoever may read the file may do so when it has been replaced; nobody
// else may.
func TestProfilesKeepTheirACL(t *testing.T) {
	t.Parallel()
	for name, listed := range map[string]bool{"of the file": true, "of the folder": false} {
		dir := t.TempDir()
		f := File{Path: filepath.Join(dir, "credentials"), Form: FormProfile, Profile: "p"}
		if err := os.WriteFile(f.Path, []byte("[mine]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		var want []byte
		if listed {
			setACL(t, f.Path, accessACL)
			want = aclOf(65534)
		} else {
			if err := os.Chmod(f.Path, 0o640); err != nil {
				t.Fatal(err)
			}
			setACL(t, dir, "system.posix_acl_default")
		}
		if err := os.Chtimes(f.Path, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"ASIA1", "ASIA2"} {
			if err := f.Write(t.Context(), sessionOf(id)); err != nil {
				t.Fatal(err)
			}
			got, err := readACL(f.Path)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %x, %v, want %x", name, got, err, want)
			}
			if info, err := os.Stat(f.Path); err != nil || info.Mode() != 0o640 {
				t.Errorf("%s: %v, %v", name, info.Mode(), err)
			}
		}
	}
}
