// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// verifyAWS reads the signed request and plays it back to AWS STS, whose answer is the assertion. Google never learns
// the workload's key: AWS checks the signature and the clock.
func (q *call) verifyAWS(p *provider, token string) (map[string]any, error) {
	signed, err := parseSignedRequest(token)
	if err != nil {
		return nil, q.refuse(unreadable(err), "%s", clip(err.Error(), 200))
	}
	q.entry.OK("the subject token is a signed POST of GetCallerIdentity to %s", signed.host)
	if err := signed.checkTarget(p.name); err != nil {
		// Google's words for another provider's request are not known; these are ours.
		return nil, q.refuse(oauthError(http.StatusBadRequest, invalidGrant, "The target resource of the AWS request does not match the audience."), "%v, not to this provider", err)
	}
	if signed.targetSigned() {
		q.entry.OK("the request is made out to this provider, and its signature covers that: it is good nowhere else")
	} else {
		q.entry.OK("the request is made out to this provider, though its signature does not cover that")
	}
	identity, err := q.replay(signed)
	if err != nil {
		return nil, err
	}
	q.entry.OK("AWS accepts the signature and says it is %s", clip(identity.ARN, 200))
	if identity.Account != p.AWSAccount {
		// Ours too: the refusal is documented, its words are not.
		return nil, q.refuse(oauthError(http.StatusBadRequest, invalidGrant, "The AWS account of the given credential does not match the account of the provider."),
			"the caller is of AWS account %s; the provider trusts %s", clip(identity.Account, 20), p.AWSAccount)
	}
	q.entry.OK("AWS account %s is the one this provider trusts", identity.Account)
	return map[string]any{"account": identity.Account, "arn": identity.ARN, "userid": identity.UserID}, nil
}

// unreadable renders a subject token's fault in Google's words, without the detail that the journal has.
func unreadable(err error) answer {
	if errors.Is(err, errNotJSON) {
		return oauthError(http.StatusBadRequest, invalidRequest, errNotJSON.Error())
	}
	return oauthError(http.StatusBadRequest, invalidGrant, errRequest.Error())
}

// A callerIdentity is AWS's answer.
type callerIdentity struct {
	ARN     string `xml:"GetCallerIdentityResult>Arn"`
	UserID  string `xml:"GetCallerIdentityResult>UserId"`
	Account string `xml:"GetCallerIdentityResult>Account"`
}

const maxAWSAnswer = 64 << 10

func (q *call) replay(signed signedRequest) (callerIdentity, error) {
	ctx, cancel := q.timeout()
	defer cancel()
	r, err := signed.request(ctx)
	if err != nil {
		return callerIdentity{}, q.refuse(unreadable(errRequest), "the request cannot be sent")
	}
	resp, err := q.net.RoundTrip(r)
	if err != nil {
		return callerIdentity{}, q.refuse(awsAway(), "AWS STS at %s cannot be reached", signed.host)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAWSAnswer))
	if err != nil || resp.StatusCode >= 500 {
		return callerIdentity{}, q.refuse(awsAway(), "AWS STS at %s answered %d", signed.host, resp.StatusCode)
	}
	if resp.StatusCode != http.StatusOK {
		return callerIdentity{}, q.refusedByAWS(resp.StatusCode, body)
	}
	var identity callerIdentity
	if err := xml.Unmarshal(body, &identity); err != nil || identity.ARN == "" || identity.Account == "" {
		return callerIdentity{}, q.refuse(awsAway(), "AWS STS at %s answered something that names no caller", signed.host)
	}
	return identity, nil
}

// awsAway is the answer while AWS cannot be asked. Google's own is not known.
func awsAway() answer {
	return oauthError(http.StatusServiceUnavailable, "temporarily_unavailable", "AWS could not be reached to verify the given credential.")
}

// refusedByAWS passes on what AWS said. That such an answer starts "Received invalid AWS response" is seen in the field;
// the rest of Google's sentence is not known and is ours.
func (q *call) refusedByAWS(status int, body []byte) error {
	var said struct {
		Code    string `xml:"Error>Code"`
		Message string `xml:"Error>Message"`
	}
	_ = xml.Unmarshal(body, &said) // an answer that is no XML has no code to pass on
	// AWS may show the canonical request after the first line, and with it the session token.
	line, _, _ := strings.Cut(said.Message, "\n")
	text := fmt.Sprintf("Received invalid AWS response of type %d with content: %s: %s", status, clip(said.Code, 64), clip(line, 300))
	return q.refuse(oauthError(http.StatusBadRequest, invalidGrant, text), "AWS refuses the request: %s: %s", clip(said.Code, 64), clip(line, 300))
}
