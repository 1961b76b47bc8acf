// SPDX-License-Identifier: Apache-2.0

package toaws

import (
	"encoding/xml"
	"errors"
	"strings"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/remote"
)

// A sessionResult is what both actions answer with.
type sessionResult struct {
	User struct {
		ARN string `xml:"Arn"`
	} `xml:"AssumedRoleUser"`
	Credentials struct {
		AccessKeyID     string `xml:"AccessKeyId"`
		SecretAccessKey string
		SessionToken    string
		Expiration      time.Time
	}
}

// readSession reads the answer of AssumeRoleWithWebIdentity or AssumeRole, whichever was asked.
func readSession(action string, body []byte) (stile.Credential, error) {
	var answer struct {
		XMLName xml.Name
		Web     sessionResult `xml:"AssumeRoleWithWebIdentityResult"`
		Signed  sessionResult `xml:"AssumeRoleResult"`
	}
	err := xml.Unmarshal(body, &answer)
	result := answer.Web
	if action == "AssumeRole" {
		result = answer.Signed
	}
	if err != nil || answer.XMLName.Local != action+"Response" {
		return stile.Credential{}, errors.New("not the XML of " + action)
	}
	c := result.Credentials
	if c.AccessKeyID == "" || c.SecretAccessKey == "" || c.SessionToken == "" || c.Expiration.IsZero() {
		return stile.Credential{}, errors.New("a session with a part missing")
	}
	return stile.Credential{
		Kind: stile.KindAWSSession, Expires: c.Expiration, Principal: result.User.ARN,
		Session: stile.Session{AccessKeyID: c.AccessKeyID, SecretAccessKey: stile.NewSecret(c.SecretAccessKey),
			SessionToken: stile.NewSecret(c.SessionToken), AccountID: accountOf(result.User.ARN)},
	}, nil
}

func accountOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return ""
	}
	return parts[4]
}

func refusal(q remote.Request, res *remote.Response, hint func(code, message string) string) error {
	var answer struct {
		XMLName xml.Name `xml:"ErrorResponse"`
		Error   struct{ Code, Message string }
	}
	if xml.Unmarshal(res.Body, &answer) != nil || answer.Error.Code == "" {
		return q.Refusal(res, "", "an answer without an AWS error", "")
	}
	e := q.Refusal(res, answer.Error.Code, answer.Error.Message, hint(answer.Error.Code, answer.Error.Message))
	if passing(answer.Error.Code, answer.Error.Message) {
		e.Err = stile.ErrTemporary
	}
	return e
}

// passing names the refusals that another try may mend though their status says otherwise.
func passing(code, message string) bool {
	return code == "IDPCommunicationError" || code == "Throttling" ||
		code == "InvalidIdentityToken" && strings.Contains(message, "verification key")
}

func hint(code, message string) string {
	says := func(words string) bool { return strings.Contains(message, words) }
	switch {
	case code == "AccessDenied":
		return "the role's trust policy does not match this token, or there is no such role: for Google, accounts.google.com:aud and :sub must be the service account's numeric id and :oaud the audience asked"
	case says("No OpenIDConnect provider"):
		return "register the issuer exactly as the token spells it in that account; Google's own, accounts.google.com, is built in"
	case says("audience"):
		return "the audience must be among the client ids of the account's OIDC provider"
	case says("MaxSessionDuration"):
		return "ask for a shorter duration, or raise the role's maximum session duration"
	case code == "ExpiredTokenException", says("too old"), says("not yet valid"):
		return "check this machine's clock"
	case code == "RegionDisabledException":
		return "enable the region in the account, or name another"
	}
	return ""
}
