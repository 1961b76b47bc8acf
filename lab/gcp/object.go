// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/johannesboyne/gofakes3"
)

// An objectMeta is what Cloud Storage keeps beside an object's bytes. It goes into the object engine as one value, so
// that bytes and metadata change together.
type objectMeta struct {
	ContentType string            `json:"contentType"`
	Generation  int64             `json:"generation"` // microseconds since 1970, as Google's look
	CRC32C      uint32            `json:"crc32c"`
	MD5         []byte            `json:"md5"`
	Size        int64             `json:"size"`
	Created     time.Time         `json:"created"`
	Custom      map[string]string `json:"custom,omitempty"`
}

// metaKey is where the object engine keeps the metadata.
const metaKey = "labgcp-object"

// objectName tells a legal name. Source: Cloud Storage, "Object names".
func objectName(s string) bool {
	return s != "" && len(s) <= 1024 && utf8.ValidString(s) && !strings.ContainsAny(s, "\r\n") && s != "." && s != ".." &&
		!strings.HasPrefix(s, ".well-known/acme-challenge/")
}

// write stores an object. The caller holds c.writing.
func (c *Cloud) write(bucket, name string, meta objectMeta, body []byte) (objectMeta, error) {
	now := c.clock()
	have := sums(body)
	meta.Generation = now.UnixMicro()
	if before, err := c.head(bucket, name); err == nil && before.Generation >= meta.Generation {
		meta.Generation = before.Generation + 1 // the clock may stand still; generations do not
	}
	meta.CRC32C, meta.MD5, meta.Size, meta.Created = have.CRC32C, have.MD5, int64(len(body)), now
	text, err := json.Marshal(meta)
	if err != nil {
		return meta, err
	}
	_, err = c.objects.PutObject(bucket, name, map[string]string{metaKey: string(text)}, bytes.NewReader(body), meta.Size, nil)
	return meta, err
}

// sums are the two checksums of an object's bytes.
func sums(body []byte) objectMeta {
	sum := md5.Sum(body)
	return objectMeta{MD5: sum[:], CRC32C: crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))}
}

var errNoObject = errors.New("there is no such object")

func (c *Cloud) head(bucket, name string) (objectMeta, error) {
	o, err := c.objects.HeadObject(bucket, name)
	if err != nil {
		return objectMeta{}, errNoObject
	}
	defer o.Contents.Close()
	return readMeta(o)
}

func (c *Cloud) read(bucket, name string) (objectMeta, []byte, error) {
	o, err := c.objects.GetObject(bucket, name, nil)
	if err != nil {
		return objectMeta{}, nil, errNoObject
	}
	defer o.Contents.Close()
	meta, err := readMeta(o)
	if err != nil {
		return objectMeta{}, nil, err
	}
	body, err := io.ReadAll(o.Contents)
	return meta, body, err
}

func readMeta(o *gofakes3.Object) (objectMeta, error) {
	var meta objectMeta
	err := json.Unmarshal([]byte(o.Metadata[metaKey]), &meta)
	return meta, err
}

func (m objectMeta) md5Text() string { return base64.StdEncoding.EncodeToString(m.MD5) }

func (m objectMeta) crcText() string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, m.CRC32C))
}

func (m objectMeta) etag() string { return hex.EncodeToString(m.MD5) }

// An objectResource is an object as the JSON API shows it. Numbers of 64 bits are strings.
type objectResource struct {
	Kind           string            `json:"kind"`
	ID             string            `json:"id"`
	SelfLink       string            `json:"selfLink"`
	MediaLink      string            `json:"mediaLink"`
	Name           string            `json:"name"`
	Bucket         string            `json:"bucket"`
	Generation     string            `json:"generation"`
	Metageneration string            `json:"metageneration"`
	ContentType    string            `json:"contentType,omitempty"`
	StorageClass   string            `json:"storageClass"`
	Size           string            `json:"size"`
	MD5Hash        string            `json:"md5Hash"`
	CRC32C         string            `json:"crc32c"`
	ETag           string            `json:"etag"`
	TimeCreated    string            `json:"timeCreated"`
	Updated        string            `json:"updated"`
	ClassUpdated   string            `json:"timeStorageClassUpdated"`
	Metadata       map[string]string `json:"metadata,omitempty"`
}

const storageURL = "https://storage.googleapis.com"

func (m objectMeta) resource(bucket, name string) objectResource {
	path := storageRoot + "/" + bucket + "/o/" + url.PathEscape(name)
	created := milliseconds(m.Created)
	generation := strconv.FormatInt(m.Generation, 10)
	return objectResource{
		Kind:           "storage#object",
		ID:             fmt.Sprintf("%s/%s/%s", bucket, name, generation),
		SelfLink:       "https://www.googleapis.com" + path,
		MediaLink:      storageURL + "/download" + path + "?generation=" + generation + "&alt=media",
		Name:           name,
		Bucket:         bucket,
		Generation:     generation,
		Metageneration: "1",
		ContentType:    m.ContentType,
		StorageClass:   "STANDARD",
		Size:           strconv.FormatInt(m.Size, 10),
		MD5Hash:        m.md5Text(),
		CRC32C:         m.crcText(),
		ETag:           m.etag(),
		TimeCreated:    created,
		Updated:        created,
		ClassUpdated:   created,
		Metadata:       m.Custom,
	}
}
