// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
)

// The headings that help sorts flags under, in the order of reading.
const (
	whichCrossing = "Which crossing"
	hereOnAWS     = "The identity here, on AWS"
	inGoogleCloud = "The identity wanted, in Google Cloud"
	inAWSCloud    = "The identity wanted, in AWS"
	output        = "Output"
	everywhere    = "Every command"
)

var headings = []string{whichCrossing, whatToServe, hereOnAWS, inGoogleCloud, inAWSCloud, output, everywhere}

const headingKey = "heading"

// under puts flags under a heading of the help. A flag that no one put anywhere is for every command, or says how to
// write the output.
func under(heading string, f *pflag.FlagSet, names ...string) {
	for _, name := range names {
		if err := f.SetAnnotation(name, headingKey, []string{heading}); err != nil {
			panic(err) // the flag is not there: a mistake in this program
		}
	}
}

func headingOf(cmd *cobra.Command, f *pflag.Flag) string {
	if h := f.Annotations[headingKey]; len(h) > 0 {
		return h[0]
	}
	if f.Name == "help" || cmd.InheritedFlags().Lookup(f.Name) != nil || cmd.PersistentFlags().Lookup(f.Name) != nil {
		return everywhere
	}
	return output
}

// hideDefaults keeps what came from the environment out of the help: a location may be presigned.
func hideDefaults(f *pflag.FlagSet, names ...string) {
	for _, name := range names {
		f.Lookup(name).DefValue = ""
	}
}

// usage writes what help shows below a command's description: examples before flags, flags by heading.
func usage(cmd *cobra.Command) error {
	var b strings.Builder
	line := cmd.UseLine()
	if cmd.HasAvailableSubCommands() {
		line = cmd.CommandPath() + " COMMAND"
	}
	fmt.Fprintf(&b, "Usage:\n  %s\n", line)
	if cmd.HasExample() {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", cmd.Example)
	}
	if cmd.HasAvailableSubCommands() {
		b.WriteString("\nCommands:\n")
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(&b, "  %-20s %s\n", sub.Name(), sub.Short)
			}
		}
	}
	for _, heading := range headings {
		set := pflag.NewFlagSet(heading, pflag.ContinueOnError)
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && headingOf(cmd, f) == heading {
				set.AddFlag(f)
			}
		})
		if set.HasFlags() {
			fmt.Fprintf(&b, "\n%s:\n%s", heading, set.FlagUsages())
		}
	}
	_, err := cmd.OutOrStderr().Write([]byte(b.String()))
	return err
}

// A flagUse is a flag on the command line.
type flagUse struct {
	flag  string
	given bool
}

// oneOrigin refuses two descriptions of one crossing and says which to drop. A file that the environment names yields
// to what stands on the command line.
func (s *settings) oneOrigin() error {
	var given []string
	for _, use := range []flagUse{
		{"--provider", s.provider != ""}, {"--role", s.role != ""}, {"--profile", s.profile != ""},
		{"--credential-file", s.given("credential-file")}, {"the crossing " + s.name, s.name != ""},
	} {
		if use.given {
			given = append(given, use.flag)
		}
	}
	if s.given("config") && len(given) > 0 && s.name == "" {
		given = append(given, "--config")
	}
	if len(given) > 1 {
		return misuse("choose the crossing", "%s and %s each name a crossing: drop one", given[0], given[1])
	}
	return nil
}

// coherent refuses flags that would have no effect, and says which to drop.
func (s *settings) coherent() error {
	const op = "read the flags"
	switch {
	case s.externalID != "" && s.assumeRole == "":
		return misuse(op, "--external-id goes with --assume-role ARN")
	case s.idToken && s.audience == "":
		return misuse(op, "--id-token and --audience URL go together: name the service that will check the token")
	case s.idToken && (len(s.scopes) > 0 || s.lifetime != 0):
		return misuse(op, "an ID token has neither scopes nor a lifetime to choose: drop --scope and --lifetime")
	case s.includeEmail && !s.idToken:
		return misuse(op, "--include-email goes with --id-token")
	}
	return nil
}

// fits refuses flags for a crossing that leads another way.
func (s *settings) fits(c config.Crossing) error {
	ofGoogle := []flagUse{
		{"--service-account", s.serviceAccount != ""}, {"--delegate", len(s.delegates) > 0}, {"--scope", len(s.scopes) > 0},
		{"--lifetime", s.lifetime != 0}, {"--id-token", s.idToken},
	}
	ofAWS := []flagUse{
		{"--region", s.region != ""}, {"--session-name", s.sessionName != ""}, {"--duration", s.duration != 0}, {"--policy", s.policy != ""},
		{"--policy-arn", len(s.policyARNs) > 0},
	}
	var wrong []flagUse
	var leads string
	switch {
	case c.To.GCP != nil:
		leads, wrong = "into Google Cloud", append(slices.Clone(ofAWS), flagUse{"--audience without --id-token", s.audience != "" && !s.idToken})
	case c.To.AWS != nil:
		leads, wrong = "into AWS", ofGoogle
	default:
		leads, wrong = "to the token itself", slices.Concat(ofAWS, ofGoogle)
	}
	if c.From.AWS == nil {
		wrong = append(wrong, flagUse{"--assume-role", s.assumeRole != ""}, flagUse{"--source-profile", s.sourceProfile != ""})
	}
	for _, use := range wrong {
		if use.given {
			return misuse("read the flags", "%s has no meaning here, %s leads %s: drop it", use.flag, cmp.Or(c.Name, "the crossing"), leads)
		}
	}
	return nil
}

func misuse(op, format string, args ...any) error {
	return &stile.Error{Op: op, Err: fmt.Errorf("%w: "+format, append([]any{stile.ErrMisuse}, args...)...)}
}

// wants are what a flag's value is to be, by pflag's type; of others, what pflag says is plain enough.
var wants = map[string]string{"int": "a number", "intSlice": "a number", "bool": "true or false", "duration": "a duration such as 30s"}

// nearestFlag adds the flag that was probably meant, or what its value is to be.
func nearestFlag(cmd *cobra.Command, err error) error {
	if bad, ok := errors.AsType[*pflag.InvalidValueError](err); ok && wants[bad.GetFlag().Value.Type()] != "" {
		return fmt.Errorf("invalid argument %.100q for %q flag: want %s", bad.GetValue(), "--"+bad.GetFlag().Name, wants[bad.GetFlag().Value.Type()])
	}
	_, wrong, found := strings.Cut(err.Error(), "unknown flag: --")
	if !found {
		return err
	}
	if len(wrong) > 64 {
		return fmt.Errorf("unknown flag: --%.64s…", wrong)
	}
	best, distance := "", 4
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if d := edits(wrong, f.Name); d < distance {
			best, distance = f.Name, d
		}
	})
	if best == "" {
		return err
	}
	return fmt.Errorf("%w: did you mean --%s?", err, best)
}

// edits is the Levenshtein distance of two names.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j := range b {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
