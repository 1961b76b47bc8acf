// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"

	"github.com/johannesboyne/gofakes3"
)

// maxObject is the largest object that is taken, for a lab lives in memory.
const maxObject = 64 << 20

// listEverything asks the object engine for all names at once: pages are cut here, where prefixes count too.
var listEverything = gofakes3.ListBucketPage{}

// An upload is an object on its way in.
type upload struct {
	Name        string            `json:"name"`
	ContentType string            `json:"contentType"`
	MD5Hash     string            `json:"md5Hash"`
	CRC32C      string            `json:"crc32c"`
	Metadata    map[string]string `json:"metadata"`
	body        []byte
}

// insertObject takes an upload of either simple kind: the bytes alone, or metadata and bytes in one multipart body.
// Replacing an object needs the right to delete it, too.
func (q *call) insertObject(p storagePath) (answer, error) {
	token, a, err := q.authorizeBucket(p.bucket, permObjectsCreate, true)
	if err != nil {
		return answer{}, err
	}
	u, err := q.readUpload()
	if err != nil {
		return answer{}, err
	}
	if !objectName(u.Name) {
		return answer{}, q.refuse(storageError(http.StatusBadRequest, "required", "Required"), "the object's name is missing or not a legal one")
	}
	if err := q.withinBoundary(token, a, u.Name); err != nil { // an upload says only now what it is called
		return answer{}, err
	}
	q.writing.Lock()
	defer q.writing.Unlock()
	if err := q.checkReplace(p.bucket, u.Name); err != nil {
		return answer{}, err
	}
	meta, err := q.write(p.bucket, u.Name, objectMeta{ContentType: u.ContentType, Custom: u.Metadata}, u.body)
	if err != nil {
		return answer{}, err
	}
	q.entry.OK("%d bytes are stored as %s", len(u.body), clip(u.Name, 120))
	return jsonAnswer(http.StatusOK, meta.resource(p.bucket, u.Name)), nil
}

func (q *call) checkReplace(bucket, name string) error {
	before, err := q.head(bucket, name)
	if err != nil {
		return q.checkGeneration(0)
	}
	if err := q.checkGeneration(before.Generation); err != nil {
		return err
	}
	return q.authorizeIn(storagePath{bucket: bucket, object: name}, permObjectsDelete, true)
}

// checkGeneration honours ifGenerationMatch; 0 stands for no object.
func (q *call) checkGeneration(have int64) error {
	if err := q.unknownParameter("ifGenerationMatch"); err != nil {
		return err
	}
	want := q.r.URL.Query().Get("ifGenerationMatch")
	if want == "" || want == strconv.FormatInt(have, 10) {
		return nil
	}
	return q.refuse(storageError(http.StatusPreconditionFailed, "conditionNotMet", "At least one of the pre-conditions you specified did not hold."),
		"the object's generation is not the one the caller expects")
}

func (q *call) readUpload() (upload, error) {
	body, err := q.readBody(maxObject)
	if errors.Is(err, errTooLong) {
		return upload{}, q.refuse(storageError(http.StatusRequestEntityTooLarge, "uploadTooLarge", "The upload is too large for this lab."), "the upload is over %d bytes", maxObject)
	}
	if err != nil {
		return upload{}, q.badUpload("Bad Request", "the upload broke off")
	}
	var u upload
	switch q.r.URL.Query().Get("uploadType") {
	case "media":
		u = upload{ContentType: q.r.Header.Get("Content-Type"), body: body}
	case "multipart":
		if u, err = splitUpload(q.r.Header.Get("Content-Type"), body); err != nil {
			return upload{}, q.badUpload("Malformed multipart body.", err.Error())
		}
	default:
		return upload{}, q.badUpload("Invalid upload type. This lab takes media and multipart.", "the upload type is neither media nor multipart")
	}
	if u.Name == "" {
		u.Name = q.r.URL.Query().Get("name")
	}
	if u.ContentType == "" {
		u.ContentType = "application/octet-stream"
	}
	return u, q.checkSums(u)
}

func (q *call) badUpload(message, why string) error {
	return q.refuse(storageError(http.StatusBadRequest, "badRequest", message), "%s", clip(why, 160))
}

// checkSums holds the bytes against the checksums that the client gave.
func (q *call) checkSums(u upload) error {
	have := sums(u.body)
	if u.MD5Hash != "" && u.MD5Hash != have.md5Text() {
		return q.refuse(storageError(http.StatusBadRequest, "invalid", fmt.Sprintf("Provided MD5 hash %q doesn't match calculated MD5 hash %q.", clip(u.MD5Hash, 64), have.md5Text())), "the bytes do not have the MD5 hash the client gave")
	}
	if u.CRC32C != "" && u.CRC32C != have.crcText() {
		return q.refuse(storageError(http.StatusBadRequest, "invalid", fmt.Sprintf("Provided CRC32C %q doesn't match calculated CRC32C %q.", clip(u.CRC32C, 64), have.crcText())), "the bytes do not have the CRC32C the client gave")
	}
	return nil
}

// splitUpload reads a multipart/related body: the object's metadata as JSON, then its bytes.
func splitUpload(contentType string, body []byte) (upload, error) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || (kind != "multipart/related" && kind != "multipart/mixed") || params["boundary"] == "" {
		return upload{}, errors.New("the Content-Type is not multipart/related with a boundary")
	}
	parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	first, err := parts.NextRawPart()
	if err != nil {
		return upload{}, errors.New("the first part, the metadata, is missing")
	}
	text, err := io.ReadAll(io.LimitReader(first, maxRequest))
	if err != nil {
		return upload{}, errors.New("the metadata breaks off")
	}
	var u upload
	if err := json.Unmarshal(text, &u); err != nil {
		return upload{}, errors.New("the metadata is not the JSON of an object")
	}
	second, err := parts.NextRawPart()
	if err != nil {
		return upload{}, errors.New("the second part, the bytes, is missing")
	}
	if u.body, err = io.ReadAll(second); err != nil {
		return upload{}, errors.New("the bytes break off")
	}
	if u.ContentType == "" {
		u.ContentType = second.Header.Get("Content-Type")
	}
	if _, err := parts.NextRawPart(); err != io.EOF {
		return upload{}, errors.New("there are more than two parts")
	}
	return u, nil
}

func (q *call) deleteObject(p storagePath) (answer, error) {
	if err := q.authorizeIn(p, permObjectsDelete, true); err != nil {
		return answer{}, err
	}
	q.writing.Lock()
	defer q.writing.Unlock()
	meta, err := q.head(p.bucket, p.object)
	if err != nil {
		return answer{}, q.refuse(noSuchObject(p), "there is no object %s", clip(p.object, 80))
	}
	if err := q.checkGeneration(meta.Generation); err != nil {
		return answer{}, err
	}
	if _, err := q.objects.DeleteObject(p.bucket, p.object); err != nil {
		return answer{}, err
	}
	q.entry.OK("%s is deleted", clip(p.object, 120))
	return answer{status: http.StatusNoContent, header: http.Header{}}, nil
}
