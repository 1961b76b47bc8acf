// SPDX-License-Identifier: Apache-2.0

package outlet

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/stile-project/stile"
)

// What a profile says beside the keys. SDKs pass over names that begin with x_; x_security_token_expires is what other
// tools that fill profiles call it. The mark is a setting and no comment, since some tools drop comments.
const (
	markKey    = "x_managed_by"
	markValue  = "stile"                             // of a profile that stile made
	markWithin = "stile, in a profile that was here" // and whose header stays
	expiresKey = "x_security_token_expires"
)

type setting struct{ key, value string }

// ourKeys are all that a profile of ours may get, in their order.
var ourKeys = []string{"aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_account_id", expiresKey, markKey}

// othersKeys are those by which a profile is a credential of somebody else. botocore prefers aws_security_token.
var othersKeys = []string{"aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_security_token", "credential_process",
	"role_arn", "source_profile", "credential_source", "web_identity_token_file", "sso_session", "sso_start_url", "login_session"}

const byteOrderMark = "\xef\xbb\xbf"

func isProfileName(s string) bool {
	// DEFAULT is where Python's configparser finds what all sections have.
	return s != "" && len(s) <= 128 && s != "DEFAULT" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/.%@:+-") == ""
}

func profileSettings(c stile.Credential) ([]setting, error) {
	if c.Kind != stile.KindAWSSession {
		return nil, fmt.Errorf("%w: a profile holds an AWS session, the crossing gives an %s", stile.ErrMisuse, c.Kind)
	}
	values := []string{c.Session.AccessKeyID, c.Session.SecretAccessKey.Reveal(), c.Session.SessionToken.Reveal(), c.Session.AccountID, stamp(c.Expires), markValue}
	var settings []setting
	for i, key := range ourKeys {
		switch v := values[i]; {
		case v == "" && key == "aws_account_id":
		case v == "" || strings.ContainsFunc(v, unprintable) || strings.ContainsAny(v, `"'#;\`):
			return nil, fmt.Errorf("the session's %s is empty, or has characters in it that a profile cannot hold: not a credential", key)
		default:
			settings = append(settings, setting{key, v})
		}
	}
	return settings, nil
}

// A profileLine is a line of the file with its end, and what it says where it is in our section.
type profileLine struct {
	text string
	key  string // lower case; empty for comments and blank lines
}

// A profileFile is cut around our section. All text together is the file, byte for byte.
type profileFile struct {
	before []byte
	header string
	lines  []profileLine
	after  []byte
	found  bool
	end    string // of lines

	defaults int // the line of a [DEFAULT] section; 0: there is none
}

// setProfile gives the file with the settings in its profile, which is added at the end where there is none. With no
// settings it only looks whether that would be refused.
//
// Files that the SDKs do not read alike in that place are refused, and so is a profile that is somebody else's. What is
// outside of the profile stays byte for byte, and so does what it has beside our keys.
// Source: the readers of aws-sdk-go-v2 (internal/ini) and botocore (configloader, over Python's configparser).
func setProfile(file []byte, name string, settings []setting) ([]byte, error) {
	p, err := cutProfile(file, name)
	if err != nil {
		return nil, err
	}
	if p.defaults > 0 {
		return nil, refused("put its settings into the profiles that need them, or name another file",
			"line %d: [DEFAULT], whose settings the aws CLI and other Python programs take into every profile", p.defaults)
	}
	if !p.marked() {
		for i, l := range p.lines {
			if slices.Contains(othersKeys, l.key) {
				return nil, refused("name another profile, or remove this one's settings if nobody needs them",
					"line %d: the profile %s has credentials that are not stile's (%s)", p.number(i), name, l.key)
			}
		}
	}
	if settings == nil {
		return file, nil
	}
	p.set(name, settings)
	return p.bytes(), nil
}

// dropProfile gives the file without what setProfile put there, and without the profile if that was all: what was there
// before, byte for byte, where nobody has changed it since. Nothing changes where the profile is not marked, or has another access key id than the one given; none is any.
func dropProfile(file []byte, name, accessKeyID string) ([]byte, error) {
	p, err := cutProfile(file, name)
	if err != nil {
		return nil, err
	}
	if !p.marked() || accessKeyID != "" && p.value("aws_access_key_id") != accessKeyID {
		return file, nil
	}
	made, unended := p.value(markKey) == markValue, p.unended()
	p.lines = slices.DeleteFunc(p.lines, func(l profileLine) bool { return slices.Contains(ourKeys, l.key) })
	switch {
	case made && !slices.ContainsFunc(p.lines, func(l profileLine) bool { return strings.TrimSpace(l.text) != "" }):
		p.takeBack()
	case unended:
		p.unend()
	}
	return p.bytes(), nil
}

// takeBack undoes add. The line end in front of the section stays where the rest needs it.
func (p *profileFile) takeBack() {
	p.header = ""
	rest := append([]byte(nil), p.after...)
	for i := len(p.lines) - 1; i >= 0; i-- {
		rest = append([]byte(p.lines[i].text), rest...)
	}
	before, ok := bytes.CutSuffix(p.before, []byte(p.end))
	if ok && (len(rest) == 0 || len(before) == 0 || bytes.HasSuffix(before, []byte(p.end)) || bytes.HasPrefix(rest, []byte(p.end))) {
		p.before = before
	}
}

// unended reports whether the section is at the file's end, and has no line end there.
func (p *profileFile) unended() bool {
	if !p.found || len(p.after) > 0 {
		return false
	}
	if len(p.lines) > 0 {
		return lineEnd(p.lines[len(p.lines)-1].text) == ""
	}
	return lineEnd(p.header) == ""
}

// unend takes the last line's end away.
func (p *profileFile) unend() {
	last := &p.header
	if len(p.lines) > 0 {
		last = &p.lines[len(p.lines)-1].text
	}
	*last = strings.TrimSuffix(*last, lineEnd(*last))
}

func (p *profileFile) bytes() []byte {
	var b bytes.Buffer
	b.Write(p.before)
	b.WriteString(p.header)
	for _, l := range p.lines {
		b.WriteString(l.text)
	}
	b.Write(p.after)
	return b.Bytes()
}

func (p *profileFile) marked() bool {
	return p.value(markKey) == markValue || p.value(markKey) == markWithin
}

func (p *profileFile) value(key string) string {
	for _, l := range p.lines {
		if l.key == key {
			_, value, _ := cutSetting(l.text)
			return value
		}
	}
	return ""
}

// number is the line in the file of our section's i-th.
func (p *profileFile) number(i int) int { return bytes.Count(p.before, []byte("\n")) + 2 + i }

// set writes the settings over their lines, or below what is ours already, or else below the header.
func (p *profileFile) set(name string, settings []setting) {
	given, unended := slices.Clone(settings), p.unended()
	mark := slices.IndexFunc(given, func(s setting) bool { return s.key == markKey })
	switch {
	case !p.found:
		p.add(name)
	case p.marked():
		given[mark].value = p.value(markKey)
	default:
		given[mark].value = markWithin
	}
	var lines []profileLine
	last := 0 // behind the last of our lines
	for _, l := range p.lines {
		i := slices.IndexFunc(given, func(s setting) bool { return s.key == l.key })
		switch {
		case i >= 0:
			if _, value, _ := cutSetting(l.text); value != given[i].value {
				l.text = given[i].key + " = " + given[i].value + lineEnd(l.text)
			}
			given = slices.Delete(given, i, i+1)
			lines = append(lines, l)
			last = len(lines)
		case slices.Contains(ourKeys, l.key) || l.key == "aws_security_token":
		default:
			lines = append(lines, l)
		}
	}
	var fresh []profileLine
	for _, s := range given {
		fresh = append(fresh, profileLine{s.key + " = " + s.value + p.end, s.key})
	}
	p.lines = slices.Insert(lines, last, fresh...)
	p.endLines()
	if unended {
		p.unend()
	}
}

// endLines ends all lines.
func (p *profileFile) endLines() {
	if lineEnd(p.header) == "" {
		p.header += p.end
	}
	for i, l := range p.lines {
		if lineEnd(l.text) == "" {
			p.lines[i].text += p.end
		}
	}
}

// add begins the section at the file's end, behind one line end more: no matter how the file ends, takeBack knows.
func (p *profileFile) add(name string) {
	if len(p.before) > 0 {
		p.before = append(p.before[:len(p.before):len(p.before)], p.end...)
	}
	p.header, p.found = "["+name+"]"+p.end, true
}

// cutProfile finds the section, and refuses what readers would not agree on.
func cutProfile(file []byte, name string) (*profileFile, error) {
	text := string(file)
	p := &profileFile{end: "\n"}
	if first, _, ok := strings.Cut(text, "\n"); ok && strings.HasSuffix(first, "\r") {
		p.end = "\r\n"
	}
	if strings.HasPrefix(text, byteOrderMark) {
		return nil, unclear(1, "a byte order mark, which some programs take for a setting: save the file as plain UTF-8")
	}
	c := cutter{name: name, from: -1, till: len(text)}
	for line := range strings.Lines(text) {
		c.number++
		if err := c.line(line); err != nil {
			return nil, err
		}
		c.at += len(line)
	}
	p.defaults = c.defaults
	if c.from < 0 {
		if strings.HasSuffix(text, "\r") {
			return nil, unclear(c.number, "a carriage return at the end, and no line feed")
		}
		p.before = file
		return p, nil
	}
	header := c.from + c.length
	p.before, p.header, p.after, p.found = file[:c.from:c.from], text[c.from:header], file[c.till:], true
	return p, p.parse(text[header:c.till])
}

func unclear(line int, format string, args ...any) error {
	return refused("mend the file by hand: nothing in it was changed", "line %d: %s", line, fmt.Sprintf(format, args...))
}

// A cutter reads lines for our section's place.
type cutter struct {
	name       string
	number, at int // of the line, and of its first byte

	any, inside  bool // a section began; ours did, and no other since
	header       int  // number of our header's line
	from, length int  // its place
	till         int  // of what comes behind our section
	defaults     int  // number of the line of a [DEFAULT]
}

func (c *cutter) line(line string) error {
	content := line[:len(line)-len(lineEnd(line))]
	plain := strings.TrimSpace(content)
	switch {
	case breaks(content) && (c.inside || strings.Contains(content, c.name)):
		return unclear(c.number, "a control character within a line, where some programs begin a new one")
	case plain == "" || plain[0] == '#' || plain[0] == ';':
	case plain[0] != '[' && !c.any:
		return unclear(c.number, "something else before the first [profile]: is it a credentials file?")
	case plain[0] != '[':
	case content[0] != '[':
		c.look(plain)
		if c.inside || sectionName(plain) == c.name {
			return unclear(c.number, "an indented [section], which only some programs take for one")
		}
	default:
		return c.section(line, content)
	}
	return nil
}

func (c *cutter) section(line, content string) error {
	same := sectionName(content) == c.name
	switch {
	case same && c.header > 0:
		return unclear(c.number, "the profile stands at line %d already: put the settings of both together", c.header)
	case same && !strings.HasPrefix(content, "["+c.name+"]"):
		return unclear(c.number, "want [%s], which every program reads", c.name)
	case same:
		c.header, c.from, c.length = c.number, c.at, len(line)
	case c.inside:
		c.till = c.at
	}
	c.any, c.inside = true, same
	c.look(content)
	return nil
}

// look notes a header that Python's configparser takes for that of what all sections have.
func (c *cutter) look(header string) {
	if c.defaults == 0 && sectionName(header) == "DEFAULT" {
		c.defaults = c.number
	}
}

// breaks reports whether a line has characters in it at which some reader begins a new one.
func breaks(line string) bool {
	return strings.ContainsAny(line, "\r\x00\v\f\x1c\x1d\x1e\x1f\u0085\u2028\u2029")
}

// parse reads our section's lines.
func (p *profileFile) parse(text string) error {
	seen := make(map[string]bool)
	owner := "" // of indented lines
	i := 0
	for line := range strings.Lines(text) {
		l := profileLine{text: line}
		plain := strings.TrimSpace(line)
		switch {
		case plain == "" || plain[0] == '#' || plain[0] == ';':
		case strings.TrimLeftFunc(line, unicode.IsSpace) != line:
			if owner == "" || slices.Contains(ourKeys, owner) || slices.Contains(othersKeys, owner) {
				return unclear(p.number(i), "indented, which programs read in different ways")
			}
		default:
			key, _, ok := cutSetting(line)
			if !ok {
				return unclear(p.number(i), "not a setting: want KEY = VALUE")
			}
			if seen[key] {
				return unclear(p.number(i), "a setting that stands twice")
			}
			seen[key] = true
			l.key, owner = key, key
		}
		p.lines = append(p.lines, l)
		i++
	}
	return nil
}

// cutSetting splits KEY = VALUE or KEY: VALUE.
func cutSetting(line string) (key, value string, ok bool) {
	i := strings.IndexAny(line, "=:")
	if i < 0 || strings.TrimSpace(line[:i]) == "" {
		return "", "", false
	}
	return strings.ToLower(strings.TrimSpace(line[:i])), strings.TrimSpace(line[i+1:]), true
}

// sectionName reads the [NAME] that any program could see, with white space made single and quotes removed.
func sectionName(line string) string {
	inside, _, _ := strings.Cut(line[1:], "]")
	inside = strings.Join(strings.Fields(strings.NewReplacer(`"`, " ", `'`, " ").Replace(inside)), " ")
	return inside
}

func lineEnd(line string) string {
	switch {
	case strings.HasSuffix(line, "\r\n"):
		return "\r\n"
	case strings.HasSuffix(line, "\n"):
		return "\n"
	}
	return ""
}
