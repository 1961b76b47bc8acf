// SPDX-License-Identifier: Apache-2.0

package outlet

import (
	"fmt"
	"io"
	"strings"

	"github.com/stile-project/stile"
)

// A Variable is one environment variable.
type Variable struct{ Name, Value string }

// Environment is the variables by which programs find a credential that does not refresh: an AWS session where every
// AWS SDK looks; an access token where gcloud and Terraform's Google provider look.
func Environment(c stile.Credential, region string) []Variable {
	switch c.Kind {
	case stile.KindAWSSession:
		vars := []Variable{
			{"AWS_ACCESS_KEY_ID", c.Session.AccessKeyID},
			{"AWS_SECRET_ACCESS_KEY", c.Session.SecretAccessKey.Reveal()},
			{"AWS_SESSION_TOKEN", c.Session.SessionToken.Reveal()},
			{"AWS_CREDENTIAL_EXPIRATION", stamp(c.Expires)},
		}
		if region != "" {
			// Go and JavaScript read the one, botocore the other.
			vars = append(vars, Variable{"AWS_REGION", region}, Variable{"AWS_DEFAULT_REGION", region})
		}
		return vars
	case stile.KindAccessToken:
		return []Variable{{"CLOUDSDK_AUTH_ACCESS_TOKEN", c.Token.Reveal()}, {"GOOGLE_OAUTH_ACCESS_TOKEN", c.Token.Reveal()}}
	default:
		return []Variable{{"STILE_ID_TOKEN", c.Token.Reveal()}}
	}
}

// Shadowing names the variables that would win over what [Environment] sets, so that whoever sets it can remove them
// and say so.
func Shadowing(k stile.Kind) []string {
	switch k {
	case stile.KindAWSSession:
		return []string{"AWS_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME",
			"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"}
	case stile.KindAccessToken:
		return []string{"CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE", "GOOGLE_CREDENTIALS"}
	default:
		return nil
	}
}

// Shells are the syntaxes that [Script] writes.
var Shells = []string{"posix", "fish", "powershell"}

// Script writes lines for a shell to evaluate: all of them, or none and an error.
func Script(w io.Writer, shell string, vars []Variable) error {
	line := map[string]func(Variable) string{
		"posix": func(v Variable) string {
			return "export " + v.Name + "='" + strings.ReplaceAll(v.Value, "'", `'\''`) + "'"
		},
		"fish": func(v Variable) string {
			return "set -gx " + v.Name + " '" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v.Value) + "'"
		},
		"powershell": func(v Variable) string {
			// PowerShell takes typographic quotes for quotes: each is doubled, as its own EscapeSingleQuotedStringContent does.
			return "$Env:" + v.Name + " = '" + strings.NewReplacer("'", "''", "‘", "‘‘", "’", "’’", "‚", "‚‚", "‛", "‛‛").Replace(v.Value) + "'"
		},
	}[shell]
	if line == nil {
		return fmt.Errorf("%w: shell %q: want one of %s", stile.ErrMisuse, shell, strings.Join(Shells, ", "))
	}
	var b strings.Builder
	for _, v := range vars {
		if strings.ContainsAny(v.Value, "\r\n\x00") {
			return fmt.Errorf("the value of %s has a line break: not a credential", v.Name)
		}
		b.WriteString(line(v) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
