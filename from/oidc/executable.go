// SPDX-License-Identifier: Apache-2.0

package fromoidc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/stile-project/stile"
)

// Bounds of an [Executable]'s Timeout. Source: AIP-4117, executable-sourced credentials.
const (
	MinTimeout     = 5 * time.Second
	MaxTimeout     = 120 * time.Second
	DefaultTimeout = 30 * time.Second
)

// fresh is the shortest remaining life with which a token is taken from an output file rather than made anew.
const fresh = time.Minute

const runExecutable = "run the executable for a token"

// Executable is a [stile.Source] that runs a program which prints a token, by Google's protocol for external_account
// files. The program is told the audience in its environment. It runs only when Allowed, without a shell, with nothing
// on its standard input; it and all that it started end at the timeout. It must print the whole answer to its standard
// output. What it prints to its standard error is dropped.
// Source: AIP-4117, executable-sourced credentials.
type Executable struct {
	// Command is the program and its arguments: see [SplitCommand]. Required.
	Command []string
	// Allowed says that whoever runs this process, and not only whoever wrote the file that names the program, wants it
	// run. Google's libraries ask for GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1.
	Allowed bool
	// Timeout is from [MinTimeout] to [MaxTimeout]. Zero: [DefaultTimeout].
	Timeout time.Duration
	// OutputFile is where the program leaves its last answer, which is read before the program is run. Answers then
	// need an expiration_time. Empty: none.
	OutputFile string
	// Type is what the program is told that the target wants. Empty: [stile.TokenTypeJWT]. What it gives says its own.
	Type stile.TokenType
	// Impersonated is the service account that the token is for in the end, for the program to know. Empty: none.
	Impersonated string
	// Environ is the program's environment, less what the protocol sets. Nil: this process's.
	Environ []string
	// Audience is what the program is asked for, where that is another name than the target's own. Empty: the target's.
	Audience string
	// InsecureSkipAudience takes a token whatever it is made out to, and one that is no JWT. The far side still checks.
	InsecureSkipAudience bool
	// Clock tells whether a token is still good. Nil: time.Now.
	Clock func() time.Time
}

// SplitCommand splits a command line at white space and nowhere else, as Google's libraries for Go and Python do.
// A quotation mark is an error: some of Google's libraries take it for a letter and others do not. A program whose
// arguments need white space is named as a list, or called by a script.
func SplitCommand(line string) ([]string, error) {
	parts := strings.Fields(line)
	switch {
	case len(parts) == 0:
		return nil, fmt.Errorf("%w: an empty command", stile.ErrMisuse)
	case strings.ContainsAny(line, "\"'`"):
		return nil, fmt.Errorf("%w: a command with quotation marks, which would reach the program as they are: put the call into a script", stile.ErrMisuse)
	case strings.ContainsRune(line, 0):
		return nil, fmt.Errorf("%w: a command with a NUL byte", stile.ErrMisuse)
	}
	return parts, nil
}

// CacheKey covers the program, whether it may run, its environment and working directory, what it is told, its output
// file, and the claims of the token that is there, less those that change when it is renewed. Variables that differ from
// one command of a shell to the next are left out. An output file that is not there yet is as it should be; one that
// cannot be read makes it the zero Key.
func (e *Executable) CacheKey() stile.Key {
	file := e.OutputFile
	if file != "" {
		abs, err := filepath.Abs(file)
		if err != nil {
			return stile.Key{}
		}
		file = abs
	}
	token, ok := left(file)
	folder, err := os.Getwd()
	if !ok || err != nil {
		return stile.Key{}
	}
	environ := e.Environ
	if environ == nil {
		environ = os.Environ()
	}
	return stile.NewKey("from/oidc executable", fmt.Sprintf("%q %q", e.Command, lasting(environ)), folder, file, token, strconv.FormatBool(e.Allowed), string(e.Type), e.Impersonated, e.Audience, strconv.FormatBool(e.InsecureSkipAudience))
}

// SubjectToken gives the token in the output file while it is good, and else runs the program for one for audience.
func (e *Executable) SubjectToken(ctx context.Context, audience string) (stile.SubjectToken, error) {
	audience = cmp.Or(e.Audience, audience)
	if audience == "" {
		return stile.SubjectToken{}, noAudience(runExecutable)
	}
	if err := e.check(); err != nil {
		return stile.SubjectToken{}, err
	}
	token, err := e.kept(audience)
	if err != nil || !token.Value.IsZero() {
		return token, err
	}
	printed, err := run(ctx, e.Command, e.environment(audience), cmp.Or(e.Timeout, DefaultTimeout))
	if err != nil {
		return stile.SubjectToken{}, e.fail(err, "run it by hand to see what it says: its output is not repeated here")
	}
	p := e.proof(audience)
	answer, err := readResponse(printed, e.OutputFile != "", p.now)
	if err != nil {
		return stile.SubjectToken{}, e.fail(err, "")
	}
	return answer.subjectToken(p)
}

func (e *Executable) proof(audience string) proof {
	return proof{op: runExecutable, from: "what " + e.name() + " gave", audience: audience, skip: e.InsecureSkipAudience, now: now(e.Clock),
		kinds: kinds{unreadable: stile.ErrTemporary, elsewhere: stile.ErrMisuse, expired: stile.ErrTemporary},
		hint:  "the program is told the audience in GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE: have it ask for that, or say as the source's audience what the far side allows"}
}

// name is the program without its arguments, which may hold secrets.
func (e *Executable) name() string { return fmt.Sprintf("the program %.200s", e.Command[0]) }

func (e *Executable) fail(err error, hint string) error {
	return &stile.Error{Op: runExecutable, Hint: hint, Err: fmt.Errorf("%s: %w", e.name(), err)}
}

func (e *Executable) check() error {
	if len(e.Command) == 0 || e.Command[0] == "" {
		return &stile.Error{Op: runExecutable, Err: fmt.Errorf("%w: no command", stile.ErrMisuse), Hint: "name the program that prints the token"}
	}
	if !e.Allowed {
		return e.fail(fmt.Errorf("%w: it is not allowed to run", stile.ErrMisuse), "programs named in a configuration run only when allowed: GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1")
	}
	if e.Timeout != 0 && (e.Timeout < MinTimeout || e.Timeout > MaxTimeout) {
		return e.fail(fmt.Errorf("%w: timeout %s: want %s to %s", stile.ErrMisuse, e.Timeout, MinTimeout, MaxTimeout), "")
	}
	return nil
}

// kept gives the token of the output file, or the zero token where there is none that is still good. A file that
// cannot be understood is an error: somebody else's may have been named by mistake.
func (e *Executable) kept(audience string) (stile.SubjectToken, error) {
	if e.OutputFile == "" {
		return stile.SubjectToken{}, nil
	}
	p := e.proof(audience)
	p.from = "the output file " + e.OutputFile
	content, err := readFile(e.OutputFile)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(strings.TrimSpace(string(content))) == 0 {
		return stile.SubjectToken{}, nil
	}
	if err != nil {
		return stile.SubjectToken{}, p.fail(stile.ErrMisuse, "name a file that the program writes and this process may read", err)
	}
	p.now = p.now.Add(fresh)
	answer, err := readResponse(content, true, p.now)
	switch {
	case errors.Is(err, errUnfit):
		return stile.SubjectToken{}, nil
	case err != nil:
		return stile.SubjectToken{}, p.fail(stile.ErrMisuse, "name a file that only the program writes, or remove what is in it", err)
	}
	token, err := answer.subjectToken(p)
	if err != nil {
		return stile.SubjectToken{}, nil //nolint:nilerr // what is kept is for another audience or too old: the program is asked
	}
	return token, nil
}

// prefix is that of the protocol's own variables.
const prefix = "GOOGLE_EXTERNAL_ACCOUNT_"

func isProtocols(entry string) bool { return strings.HasPrefix(strings.ToUpper(entry), prefix) }

// environment is what the program gets. What this process was itself told by the protocol is not for its child.
func (e *Executable) environment(audience string) []string {
	inherited := e.Environ
	if inherited == nil {
		inherited = os.Environ()
	}
	var env []string
	for _, entry := range inherited {
		if !isProtocols(entry) {
			env = append(env, entry)
		}
	}
	env = append(env, prefix+"AUDIENCE="+audience, prefix+"TOKEN_TYPE="+string(cmp.Or(e.Type, stile.TokenTypeJWT)), prefix+"INTERACTIVE=0")
	if e.Impersonated != "" {
		env = append(env, prefix+"IMPERSONATED_EMAIL="+e.Impersonated)
	}
	if e.OutputFile != "" {
		env = append(env, prefix+"OUTPUT_FILE="+e.OutputFile)
	}
	return env
}
