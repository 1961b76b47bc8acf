// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"crypto/sha1" //nolint:gosec // a checksum that clients may choose
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"strings"
)

// nvme is the CRC-64/NVME polynomial, reversed (S3 User Guide, "Checking object integrity").
const nvme = 0x9a6c9329ac4bc9b5

// s3Checksums are the algorithms of x-amz-checksum-NAME.
var s3Checksums = map[string]func() hash.Hash{
	"crc32":     func() hash.Hash { return crc32.NewIEEE() },
	"crc32c":    func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
	"crc64nvme": func() hash.Hash { return crc64.New(crc64.MakeTable(nvme)) },
	"sha1":      sha1.New,
	"sha256":    sha256.New,
}

// checkChecksums holds the body against every checksum that was sent, as headers or as a trailer.
func (c *s3Call) checkChecksums(get func(string) string) error {
	for name, make := range s3Checksums {
		want := get("X-Amz-Checksum-" + name)
		if want == "" {
			continue
		}
		h := make()
		h.Write(c.body)
		if base64.StdEncoding.EncodeToString(h.Sum(nil)) != want {
			c.entry.Fail("the body has the %s checksum that was sent", strings.ToUpper(name))
			return refuse(400, "BadDigest", "The %s you specified did not match the calculated checksum.", strings.ToUpper(name))
		}
		c.entry.OK("the body has the %s checksum that was sent", strings.ToUpper(name))
	}
	return nil
}
