// SPDX-License-Identifier: Apache-2.0

//go:build unix

package outlet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"github.com/stile-project/stile"
)

// noFollow keeps a link from being followed, and a pipe from holding up who opens it.
const noFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// trusted reports whether this user or root owns what info tells of.
func trusted(info fs.FileInfo) bool { return trustedBy(os.Geteuid(), info) }

func trustedBy(user int, info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && (int(stat.Uid) == user || stat.Uid == 0)
}

func sameOwner(a, b fs.FileInfo) bool {
	one, ok := a.Sys().(*syscall.Stat_t)
	other, too := b.Sys().(*syscall.Stat_t)
	return ok && too && one.Uid == other.Uid
}

// ownerOf names the owner for people.
func ownerOf(info fs.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "somebody"
	}
	if known, err := user.LookupId(strconv.FormatUint(uint64(stat.Uid), 10)); err == nil {
		return "user " + known.Username
	}
	return fmt.Sprintf("user %d", stat.Uid)
}

// hasNames reports whether there are further names (hard links) for it.
func hasNames(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink > 1
}

func writableByAll(info fs.FileInfo) bool   { return info.Mode().Perm()&0o002 != 0 }
func writableByGroup(info fs.FileInfo) bool { return info.Mode().Perm()&0o020 != 0 }

// open reports whether others than the owner and the group may do anything with a file, or the group change it.
func open(info fs.FileInfo) bool { return info.Mode().Perm()&0o027 != 0 }

func rename(from, to string) error { return os.Rename(from, to) }

// own gives the file the group that was asked for. A file of profiles keeps owner and group of the one before.
func (f File) own(file *os.File, before fs.FileInfo) error {
	uid, gid := -1, -1
	if f.Form == FormProfile && before != nil {
		stat, ok := before.Sys().(*syscall.Stat_t)
		if ok && int(stat.Uid) != os.Geteuid() {
			uid = int(stat.Uid)
		}
		if ok {
			gid = int(stat.Gid)
		}
	}
	if f.Group != "" {
		var err error
		if gid, err = groupID(f.Group); err != nil {
			return err
		}
	}
	if info, err := file.Stat(); err == nil {
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Gid) == gid {
			gid = -1
		}
	}
	if uid == -1 && gid == -1 {
		return nil
	}
	err := file.Chown(uid, gid)
	if err != nil && uid == -1 && f.Group == "" && before.Mode().Perm()&0o070 == 0 {
		return nil // the group may do nothing with the file anyway
	}
	if err != nil {
		return hinted{fmt.Errorf("give the file its owner and group: %w", err), "run as the file's owner, who must be in the group"}
	}
	return nil
}

// knownGroup looks the group up. It fails with [stile.ErrMisuse] for one that this machine has not.
func knownGroup(name string) error {
	if name == "" {
		return nil
	}
	_, err := groupID(name)
	return err
}

func groupID(name string) (int, error) {
	if id, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(id), nil
	}
	group, err := user.LookupGroup(name)
	if _, unknown := errors.AsType[user.UnknownGroupError](err); unknown {
		return 0, hinted{fmt.Errorf("%w: no group %.64q on this machine", stile.ErrMisuse, name), "name a group that getent group shows, or its number"}
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(group.Gid)
}
