// SPDX-License-Identifier: Apache-2.0

package sigv4

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// The worked example of the S3 API reference, "Signature calculations: transferring a payload in multiple chunks".
func s3Example() (*Signed, string) {
	signed := &Signed{
		AccessKeyID: "AKIAIOSFODNN7EXAMPLE", Date: "20130524", Region: "us-east-1", Service: "s3", Terminator: "aws4_request",
		Stamp: "20130524T000000Z", Time: time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC),
		Signature: "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
	}
	body := "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n" + strings.Repeat("a", 0x10000) + "\r\n" +
		"400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n" + strings.Repeat("a", 0x400) + "\r\n" +
		"0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n"
	return signed, body
}

const s3Secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

func TestReadChunksPublishedExample(t *testing.T) {
	t.Parallel()
	signed, body := s3Example()
	data, _, err := signed.ReadChunks([]byte(body), StreamingSigned, s3Secret)
	if err != nil {
		t.Fatal(err)
	}
	if want := bytes.Repeat([]byte("a"), 66560); !bytes.Equal(data, want) {
		t.Errorf("got %d bytes, want %d times a", len(data), len(want))
	}
}

func TestReadChunksUnsignedTrailer(t *testing.T) {
	t.Parallel()
	signed, _ := s3Example()
	data, trailer, err := signed.ReadChunks([]byte("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"), StreamingUnsigned, s3Secret)
	if err != nil {
		t.Fatal(err)
	}
	if string(data) != "hello" || trailer["x-amz-checksum-crc32"] != "NhCmhg==" {
		t.Errorf("got %q with trailer %v", data, trailer)
	}
}

func TestReadChunksRefuses(t *testing.T) {
	t.Parallel()
	signed, good := s3Example()
	for name, c := range map[string]struct {
		body, payload string
		kind          Kind
	}{
		"a changed byte":         {strings.Replace(good, "aaaa\r\n", "aaab\r\n", 1), StreamingSigned, Mismatch},
		"a chunk left out":       {good[:strings.Index(good, "400;")] + good[strings.Index(good, "0;chunk-signature=b6"):], StreamingSigned, Mismatch},
		"cut short":              {good[:len(good)/2], StreamingSigned, Incomplete},
		"no signature":           {"0\r\n\r\n", StreamingSigned, Incomplete},
		"no chunks":              {"hello", StreamingUnsigned, Incomplete},
		"a size beyond the body": {"fffffff\r\nhello\r\n", StreamingUnsigned, Incomplete},
		"a negative size":        {"-5\r\nhello\r\n", StreamingUnsigned, Incomplete},
		"an unsigned trailer":    {strings.TrimSuffix(good, "\r\n") + "x-amz-checksum-crc32:NhCmhg==\r\n\r\n", StreamingSignedTrailer, Mismatch},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, _, err := signed.ReadChunks([]byte(c.body), c.payload, s3Secret); kindOf(err) != c.kind {
				t.Errorf("got %v, want kind %d", err, c.kind)
			}
		})
	}
}

// FuzzReadChunks holds that data written as chunks comes back whole, and that no body makes the reader panic.
func FuzzReadChunks(f *testing.F) {
	f.Add([]byte("hello"), []byte("5\r\nhello\r\n0\r\n\r\n"))
	f.Add([]byte{}, []byte("0;chunk-signature=\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data, raw []byte) {
		signed, _ := s3Example()
		var b bytes.Buffer
		if len(data) > 0 {
			fmt.Fprintf(&b, "%x\r\n%s\r\n", len(data), data)
		}
		b.WriteString("0\r\n\r\n")
		got, _, err := signed.ReadChunks(b.Bytes(), StreamingUnsigned, "")
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("wrote %d bytes, read %d: %v", len(data), len(got), err)
		}
		if got, _, err := signed.ReadChunks(raw, StreamingUnsigned, ""); err == nil && len(got) > len(raw) {
			t.Fatalf("%d bytes out of %d", len(got), len(raw))
		}
		if _, _, err := signed.ReadChunks(raw, StreamingSigned, s3Secret); err == nil {
			t.Fatal("unsigned chunks verify")
		}
	})
}
