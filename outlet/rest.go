// SPDX-License-Identifier: Apache-2.0

package outlet

import (
	"bytes"
	"io/fs"
	"os"
	"time"
)

// recent is how long a file of profiles that somebody else has written is left alone.
const recent = time.Second

// unrested is that another program may be in the midst of writing. It lasts for a second, unless that goes on.
type unrested struct{ wait time.Duration }

func (unrested) Error() string {
	return "another program is writing the file, or has only just done so: it is left alone until it has rested"
}

// A watch is what was seen of a file of profiles, and since when it has been so. Programs empty the file, write it piece by
// piece, and may stop for a while at any point: what one look shows, even two, may be a part, and to put that in the file's
// place would lose what they have yet to write. The zero watch has seen nothing.
type watch struct {
	known fs.FileInfo // of the file as this process left it; nil: it never wrote it

	content []byte
	info    fs.FileInfo
	since   time.Time
}

// wait is how long yet the file must be left alone. Files that this package made were put there whole, and need no rest.
// Others must have been seen as they are for the whole of recent. That they have not changed for as long by the time of
// the file is as good, except of a file that is empty, or not as this process left it: such a time is that of another
// machine's clock where the disk is there.
func (w *watch) wait(content []byte, info fs.FileInfo, now time.Time) time.Duration {
	if info == nil || marked(info) || w.known != nil && same(info, w.known) {
		return 0
	}
	if w.info == nil || !same(info, w.info) || !bytes.Equal(content, w.content) {
		w.content, w.info, w.since = content, info, now
	}
	rest := now.Sub(w.since)
	if w.known == nil && len(bytes.TrimSpace(content)) > 0 {
		rest = max(rest, now.Sub(info.ModTime()))
	}
	return max(0, recent-rest)
}

// same reports whether nobody seems to have written between two looks at a path. nil is that no file was there.
func same(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// The time of a file that this package made ends in these digits of a millisecond, for its other processes to see that
// it is whole. Whoever writes into it sets another time. A disk that keeps no such fractions loses them: then the file
// rests like others.
const (
	signed    = time.Millisecond
	signature = 731_300 * time.Nanosecond // Windows keeps hundreds
)

// mark signs the file by its time.
func mark(path string) error {
	now := time.Now()
	fraction := time.Duration(now.Nanosecond()) % signed
	return os.Chtimes(path, time.Time{}, now.Add(signature-fraction))
}

func marked(info fs.FileInfo) bool {
	return time.Duration(info.ModTime().Nanosecond())%signed == signature
}
