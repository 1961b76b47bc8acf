// SPDX-License-Identifier: Apache-2.0

package seal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
)

// format is the version of what Marshal writes. A reader takes no other: what it does not know may matter.
const format = "1"

// kinds are what the kinds of credential are called in a record. A name is never given to another kind.
var kinds = map[stile.Kind]string{
	stile.KindAWSSession:  "aws-session",
	stile.KindAccessToken: "access-token",
	stile.KindIDToken:     "id-token",
}

// written is a record as JSON: one flat object of strings, so that a strict reader is short.
type written struct {
	Version         string `json:"version"`
	Key             string `json:"key"`
	Kind            string `json:"kind"`
	Principal       string `json:"principal,omitempty"`
	Obtained        string `json:"obtained"`
	Expires         string `json:"expires"`
	AccessKeyID     string `json:"access_key_id,omitempty"`
	SecretAccessKey string `json:"secret_access_key,omitempty"`
	SessionToken    string `json:"session_token,omitempty"`
	AccountID       string `json:"account_id,omitempty"`
	Token           string `json:"token,omitempty"`
}

// fields are w's parts under their names in JSON.
func (w *written) fields() map[string]*string {
	return map[string]*string{
		"version": &w.Version, "key": &w.Key, "kind": &w.Kind, "principal": &w.Principal, "obtained": &w.Obtained, "expires": &w.Expires,
		"access_key_id": &w.AccessKeyID, "secret_access_key": &w.SecretAccessKey, "session_token": &w.SessionToken,
		"account_id": &w.AccountID, "token": &w.Token,
	}
}

// Marshal writes a record, with its secrets in the clear, as JSON of at most [MaxSize] bytes that names the key it is
// kept under. Times are in UTC, to the nanosecond. It fails for a credential that [Unmarshal] would not take back: one
// without an expiry, of an unknown kind, without the secrets of its kind, or with those of another.
func Marshal(key stile.Key, r keep.Record) ([]byte, error) {
	c := r.Credential
	w := &written{
		Version: format, Key: key.String(), Kind: kinds[c.Kind], Principal: c.Principal, Obtained: timeText(r.Obtained), Expires: timeText(c.Expires),
		AccessKeyID: c.Session.AccessKeyID, SecretAccessKey: c.Session.SecretAccessKey.Reveal(), SessionToken: c.Session.SessionToken.Reveal(),
		AccountID: c.Session.AccountID, Token: c.Token.Reveal(),
	}
	if _, err := w.record(key.String()); err != nil {
		return nil, &stile.Error{Op: "seal the credential", Err: err}
	}
	text, err := json.Marshal(w) //nolint:gosec // G117: here is where secrets are written out
	if err != nil {
		return nil, &stile.Error{Op: "seal the credential", Err: errors.New("it does not fit into JSON")}
	}
	if len(text) > MaxSize {
		return nil, tooLong(len(text))
	}
	return text, nil
}

// Unmarshal reads what [Marshal] wrote for this key. Whatever else it is given fails with [keep.ErrAbsent], and is not
// quoted.
func Unmarshal(key stile.Key, text []byte) (keep.Record, error) {
	return unmarshal(key.String(), text)
}

func unmarshal(name string, text []byte) (keep.Record, error) {
	w, err := read(text)
	if err != nil {
		return keep.Record{}, absent(err)
	}
	r, err := w.record(name)
	if err != nil {
		return keep.Record{}, absent(err)
	}
	return r, nil
}

// absent says why what is there is as good as nothing.
func absent(why error) error {
	return &stile.Error{Op: "open the kept credential", Err: fmt.Errorf("%w: %w", keep.ErrAbsent, why)}
}

// read reads one flat JSON object of known names and strings. Unlike package json it takes no name twice, none that is
// spelled almost right, and nothing behind the object.
func read(text []byte) (*written, error) {
	if len(text) > MaxSize || !utf8.Valid(text) {
		return nil, errors.New("not a record")
	}
	in := json.NewDecoder(bytes.NewReader(text))
	if opening, err := in.Token(); err != nil || opening != json.Delim('{') {
		return nil, errors.New("not a record")
	}
	w := &written{}
	fields := w.fields()
	for in.More() {
		name, err := in.Token()
		if err != nil {
			return nil, errors.New("not a record")
		}
		text, _ := name.(string)
		field, known := fields[text]
		if !known {
			return nil, errors.New("a name in it is unknown, or comes twice")
		}
		delete(fields, text)
		value, err := in.Token()
		if *field, known = value.(string); err != nil || !known || *field == "" {
			return nil, errors.New("a value in it is no text, or empty")
		}
	}
	if closing, err := in.Token(); err != nil || closing != json.Delim('}') {
		return nil, errors.New("the record is cut short")
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the record")
	}
	return w, nil
}

// record checks w, and makes a record of it.
func (w *written) record(name string) (keep.Record, error) {
	for _, field := range w.fields() {
		if !utf8.ValidString(*field) {
			return keep.Record{}, errors.New("a part of it is not valid UTF-8")
		}
	}
	var r keep.Record
	switch {
	case w.Version != format:
		return r, errors.New("its version is unknown")
	case w.Key != name || name == (stile.Key{}).String():
		return r, errors.New("it is kept under another key")
	case w.Kind == kinds[stile.KindAWSSession]:
		r.Credential.Kind = stile.KindAWSSession
	case w.Kind == kinds[stile.KindAccessToken]:
		r.Credential.Kind = stile.KindAccessToken
	case w.Kind == kinds[stile.KindIDToken]:
		r.Credential.Kind = stile.KindIDToken
	default:
		return r, errors.New("its kind is unknown")
	}
	session := w.AccessKeyID != "" && w.SecretAccessKey != "" && w.SessionToken != "" && w.Token == ""
	token := w.AccessKeyID+w.SecretAccessKey+w.SessionToken+w.AccountID == "" && w.Token != ""
	if r.Credential.Kind == stile.KindAWSSession && !session || r.Credential.Kind != stile.KindAWSSession && !token {
		return keep.Record{}, errors.New("it has not the secrets of its kind")
	}
	if err := w.times(&r); err != nil {
		return keep.Record{}, err
	}
	r.Credential.Session = stile.Session{
		AccessKeyID: w.AccessKeyID, SecretAccessKey: stile.NewSecret(w.SecretAccessKey), SessionToken: stile.NewSecret(w.SessionToken),
		AccountID: w.AccountID,
	}
	r.Credential.Token, r.Credential.Principal = stile.NewSecret(w.Token), w.Principal
	return r, nil
}

func (w *written) times(r *keep.Record) error {
	obtained, err := readTime(w.Obtained)
	if err != nil {
		return errors.New("it does not say when it was obtained")
	}
	expires, err := readTime(w.Expires)
	if err != nil {
		return errors.New("it does not say when it expires")
	}
	if !obtained.Before(expires) {
		return errors.New("it expired before it was obtained")
	}
	r.Obtained, r.Credential.Expires = obtained, expires
	return nil
}

func timeText(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// readTime takes what timeText writes, and no other way of writing the same instant.
func readTime(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.IsZero() || timeText(t) != text {
		return time.Time{}, errors.New("not a time in UTC")
	}
	return t, nil
}
