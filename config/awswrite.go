// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/shape"
)

// An AWSFile is one of the two files that hold AWS profiles.
type AWSFile int

// The files. Source: AWS SDKs and Tools Reference Guide, shared config and credentials files.
const (
	ConfigFile      AWSFile = iota // ~/.aws/config, where a profile is [profile NAME]
	CredentialsFile                // ~/.aws/credentials, where it is [NAME]
)

// String names the file in messages.
func (f AWSFile) String() string {
	if f == CredentialsFile {
		return "the AWS credentials file"
	}
	return "the AWS config file"
}

// section gives the names that the section of a profile may have, the one to write first.
func (f AWSFile) section(profile string) []string {
	switch {
	case f == CredentialsFile:
		return []string{profile}
	case profile == "default":
		return []string{"default", "profile default"}
	}
	return []string{"profile " + profile}
}

// A Setting is one KEY = VALUE of a profile.
type Setting struct {
	Key   string // lower-case letters, digits and _
	Value string // one line; see [CredentialProcess] for commands
}

// SetAWSProfile gives the file with the settings changed or added in the section of the profile, which it adds at the
// end where there is none. An empty profile is "default". Every other byte stays as it is: comments, order, line ends.
// A comment behind a value that changes moves to a line above it, since half of the SDKs read it as part of the value.
// To set what is there already changes nothing.
//
// A file that the SDKs do not read alike at that place is an error, [Problems]: a section or a setting that stands
// twice, lines that belong to a setting. So is a value that they would not read alike, which wraps [stile.ErrMisuse].
//
// Source: the readers of aws-sdk-go-v2 (config/internal/ini) and botocore (configloader, over Python's configparser).
func SetAWSProfile(file []byte, kind AWSFile, profile string, settings []Setting) ([]byte, error) {
	profile = strings.Join(strings.Fields(profile), " ")
	if profile == "" {
		profile = "default"
	}
	if err := checkSettings(profile, settings); err != nil {
		return nil, err
	}
	e := editor{reader: newReader(ForeignPolicy{}), name: kind.String()}
	if len(bytes.TrimSpace(bytes.TrimPrefix(file, []byte(byteOrderMark)))) > 0 {
		e.ini(e.name, file) // for its problems
	}
	if len(e.problems) > 0 {
		return nil, e.err()
	}
	e.split(string(file))
	e.set(kind.section(profile), settings)
	if err := e.err(); err != nil {
		return nil, err
	}
	return e.bytes(), nil
}

// AWSProfileKeys lists what the section of the profile sets, in the order of the file; nothing where there is none. An
// empty profile is "default". The error is [Problems].
func AWSProfileKeys(file []byte, kind AWSFile, profile string) ([]string, error) {
	profile = strings.Join(strings.Fields(profile), " ")
	if profile == "" {
		profile = "default"
	}
	if len(bytes.TrimSpace(bytes.TrimPrefix(file, []byte(byteOrderMark)))) == 0 {
		return nil, nil
	}
	r := newReader(ForeignPolicy{})
	sections := r.ini(kind.String(), file)
	var keys []string
	for _, name := range kind.section(profile) {
		if s := sections[name]; s != nil {
			for _, f := range s.body.fields {
				keys = append(keys, f.key)
			}
		}
	}
	return keys, r.err()
}

const (
	byteOrderMark = "\xef\xbb\xbf"
	valueLimit    = 8192
)

var settingShapes = map[string]shape.Shape{"role_arn": shape.RoleARN, "region": shape.Region, "role_session_name": shape.SessionName}

func isSettingKey(s string) bool { return shape.Only(s, 1, 64, "a-z0-9_") && shape.Begins(s, "a-z") }

func isNewProfile(s string) bool { return shape.Only(s, 1, 128, "A-Za-z0-9_/.%@:+-") }

func checkSettings(profile string, settings []Setting) error {
	if _, err := profileName(profile); err != nil {
		return fmt.Errorf("%w: the profile: %w", stile.ErrMisuse, err)
	}
	seen := make(map[string]bool)
	for _, s := range settings {
		if !isSettingKey(s.Key) {
			return fmt.Errorf("%w: the key of a setting: want lower-case letters, digits and _", stile.ErrMisuse)
		}
		if seen[s.Key] {
			return fmt.Errorf("%w: %s is given twice", stile.ErrMisuse, s.Key)
		}
		seen[s.Key] = true
		err := checkValue(s.Value)
		if want := settingShapes[s.Key]; err == nil && want != nil {
			_, err = want(s.Value)
		}
		if err != nil {
			return fmt.Errorf("%w: %s: %w", stile.ErrMisuse, s.Key, err)
		}
	}
	return nil
}

// checkValue takes what every SDK reads back as it was written.
func checkValue(s string) error {
	switch {
	case s == "":
		return errors.New("want a value")
	case len(s) > valueLimit:
		return fmt.Errorf("want at most %d bytes", valueLimit)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return errors.New("want one line of UTF-8 without control characters")
	case strings.TrimSpace(s) != s:
		return errors.New("want no white space at either end")
	case strings.ContainsAny(s[:1], "#;"), strings.Contains(s, " #"), strings.Contains(s, " ;"):
		return errors.New("what follows # or ; would be read as a comment by some")
	case strings.ContainsAny(s[:1], `"'`) && strings.HasSuffix(s, s[:1]):
		return errors.New("quotation marks around the value would be dropped by some: leave them out")
	}
	return nil
}

// An editor changes a file of profiles line by line.
type editor struct {
	*reader
	name  string
	mark  string // the byte order mark, if there was one
	lines []line
}

type line struct{ text, end string } // end is the line's own: "\n", "\r\n", or "" for the last one

func (e *editor) split(data string) {
	if rest, ok := strings.CutPrefix(data, byteOrderMark); ok {
		e.mark, data = byteOrderMark, rest
	}
	for text := range strings.Lines(data) {
		content := strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
		if strings.Contains(content, "\r") {
			e.problem(e.at(len(e.lines)), "a carriage return within a line, where some begin a new one: save the file with plain line ends")
		}
		e.lines = append(e.lines, line{content, text[len(content):]})
	}
}

func (e *editor) bytes() []byte {
	var b bytes.Buffer
	b.WriteString(e.mark)
	for _, l := range e.lines {
		b.WriteString(l.text + l.end)
	}
	return b.Bytes()
}

func (e *editor) at(i int) position { return position{e.name, i + 1, 1} }

// end is the file's own line end.
func (e *editor) end() string {
	if len(e.lines) > 0 && e.lines[0].end != "" {
		return e.lines[0].end
	}
	return "\n"
}

func (e *editor) set(names []string, settings []Setting) {
	header, after := e.find(names)
	switch {
	case len(e.problems) > 0:
	case header < 0:
		e.add(names[0], settings)
	default:
		e.change(header, after, settings)
	}
}

// find gives the line of the section's header and the line after its last; -1 where there is no such section.
func (e *editor) find(names []string) (header, after int) {
	header, after = -1, len(e.lines)
	for i, l := range e.lines {
		plain := strings.TrimSpace(l.text)
		if plain == "" || plain[0] != '[' {
			continue
		}
		name, ok := sectionName(plain)
		ours := ok && slices.Contains(names, name)
		switch {
		case l.text[0] != '[':
			if ours || header >= 0 && after == len(e.lines) {
				e.problem(e.at(i), "an indented [section], which only some programs take for one: move it to the line's beginning")
			}
		case ours && header >= 0:
			e.problem(e.at(i), "the section stands at line %d already: put the settings of both together", header+1)
		case ours:
			header = i
		case header >= 0:
			after = min(after, i)
		}
	}
	return header, after
}

// add writes a new section at the file's end.
func (e *editor) add(name string, settings []Setting) {
	if profile := strings.TrimPrefix(name, "profile "); !isNewProfile(profile) {
		e.problem(position{file: e.name}, "a new profile's name: want letters, digits and _/.%%@:+-, which every program reads")
		return
	}
	end := e.end()
	if n := len(e.lines); n > 0 {
		if e.lines[n-1].end == "" {
			e.lines[n-1].end = end
		}
		if strings.TrimSpace(e.lines[n-1].text) != "" {
			e.lines = append(e.lines, line{"", end})
		}
	}
	e.lines = append(e.lines, line{"[" + name + "]", end})
	for _, s := range settings {
		e.lines = append(e.lines, line{s.Key + " = " + s.Value, end})
	}
}

// An option is a setting as it stands in the file.
type option struct {
	key     string
	line    int
	nesting bool // indented lines below belong to it
}

// change sets the settings in the section between header and after.
func (e *editor) change(header, after int, settings []Setting) {
	options, last := e.options(header, after)
	var fresh []Setting
	changes := make(map[int]Setting)
	for _, s := range settings {
		var found []option
		for _, o := range options {
			if o.key == s.Key {
				found = append(found, o)
			}
		}
		switch {
		case len(found) == 0:
			fresh = append(fresh, s)
		case len(found) > 1:
			e.problem(e.at(found[1].line), "%s stands at line %d already: remove one", s.Key, found[0].line+1)
		case found[0].nesting:
			e.problem(e.at(found[0].line), "%s has indented lines below that belong to it: change it by hand", s.Key)
		default:
			changes[found[0].line] = s
		}
	}
	if len(e.problems) == 0 {
		e.rewrite(last, changes, fresh)
	}
}

// options lists the section's settings, and gives the last line that says anything.
func (e *editor) options(header, after int) (options []option, last int) {
	last = header
	for i := header + 1; i < after; i++ {
		text := e.lines[i].text
		plain := strings.TrimSpace(text)
		if plain == "" || plain[0] == '#' || plain[0] == ';' {
			continue
		}
		last = i
		switch {
		case unicode.IsSpace(rune(text[0])) && len(options) == 0:
			e.problem(e.at(i), "the profile's settings are indented, which programs read in different ways: move them to the line's beginning")
			return nil, last
		case unicode.IsSpace(rune(text[0])):
			options[len(options)-1].nesting = true
		default:
			options = append(options, option{key: pair(plain, e.at(i)).key, line: i})
		}
	}
	return options, last
}

// rewrite puts the changes in their lines and the fresh settings below last.
func (e *editor) rewrite(last int, changes map[int]Setting, fresh []Setting) {
	end := e.end()
	var lines []line
	for i, l := range e.lines {
		if s, ok := changes[i]; ok {
			lines = append(lines, l.changed(s, end)...)
		} else {
			lines = append(lines, l)
		}
		if i != last {
			continue
		}
		for _, s := range fresh {
			below := line{s.Key + " = " + s.Value, lines[len(lines)-1].end}
			if below.end == "" {
				lines[len(lines)-1].end = end // below is the file's last line now, and ends as that did
			}
			lines = append(lines, below)
		}
	}
	e.lines = lines
}

// changed gives the line with another value, and its comment above it.
func (l line) changed(s Setting, end string) []line {
	value, comment := cutComment(l.text)
	if pair(value, position{}).value.text == s.Value && comment == "" {
		return []line{l}
	}
	if l.end != "" {
		end = l.end
	}
	changed := line{s.Key + " = " + s.Value, l.end}
	if comment == "" {
		return []line{changed}
	}
	return []line{{comment, end}, changed}
}

// CredentialProcess writes a command as the value of credential_process so that sh, which aws-sdk-go-v2 has run it, and
// Python's shlex, with which botocore splits it, read the same words. Windows has other rules.
// Source: processcreds of aws-sdk-go-v2; botocore's ProcessProvider; POSIX shell command language, section 2.2.
func CredentialProcess(command ...string) (string, error) {
	if len(command) == 0 || strings.TrimSpace(command[0]) == "" {
		return "", fmt.Errorf("%w: credential_process: no program", stile.ErrMisuse)
	}
	words := make([]string, len(command))
	for i, word := range command {
		if !utf8.ValidString(word) {
			return "", fmt.Errorf("%w: credential_process: want words of UTF-8", stile.ErrMisuse)
		}
		words[i] = quoted(word, i == 0)
	}
	value := strings.Join(words, " ")
	if err := checkValue(value); err != nil {
		return "", fmt.Errorf("%w: credential_process: %w", stile.ErrMisuse, err)
	}
	return value, nil
}

// reserved are the words that a shell takes for its own where a command begins.
var reserved = strings.Fields("case do done elif else esac fi for function if in select then time until while")

// quoted escapes with backslashes, which both readers take away outside of quotation marks. Quotation marks around a
// value would be dropped by aws-sdk-go-v2, and a space at its end by both.
func quoted(word string, first bool) string {
	if word == "" {
		return "''"
	}
	var b strings.Builder
	if first && slices.Contains(reserved, word) {
		b.WriteByte('\\')
	}
	for i, c := range word {
		switch {
		case c == ' ' && i == len(word)-1:
			b.WriteString("' '")
			continue
		case c < 0x80 && !plainInShell(byte(c)), //nolint:gosec // one byte, as just checked
			c == '=' && first:
			b.WriteByte('\\')
		}
		b.WriteRune(c)
	}
	return b.String()
}

func plainInShell(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("_@%+=:,./-", c) >= 0
}
