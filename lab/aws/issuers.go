// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stile-project/stile/lab/oidc"
)

// outboundDomain is what the issuers of AWS's own accounts end in.
const outboundDomain = ".tokens.sts.global.api.aws"

// An outboundIssuer is AWS as the issuer of one account's tokens. It publishes both keys.
type outboundIssuer struct {
	main, elliptic *oidc.Issuer // RS256 and ES384
	enabled        bool
}

func (o *outboundIssuer) url() string { return o.main.URL() }

// EnableOutboundFederation lets an account's principals ask STS for tokens, and gives the account's issuer. It is the
// same one each time.
// Source: IAM API, EnableOutboundWebIdentityFederation.
func (c *Cloud) EnableOutboundFederation(accountID string) (issuer string, err error) {
	if !accountPattern.MatchString(accountID) {
		return "", fmt.Errorf("enabling outbound federation: account %.32q: want 12 digits", accountID)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.account(accountID)
	if a.outbound == nil {
		host := uuidOf("outbound "+accountID) + outboundDomain
		elliptic := oidc.NewIssuer("https://"+host, c.clock, oidc.ES384())
		a.outbound = &outboundIssuer{main: oidc.NewIssuer("https://"+host, c.clock, oidc.Beside(elliptic)), elliptic: elliptic}
		c.issuers[host] = a.outbound.main.Handler()
	}
	a.outbound.enabled = true
	return a.outbound.url(), nil
}

// DisableOutboundFederation ends it. Tokens that are out stay good until they expire.
// Source: IAM API, DisableOutboundWebIdentityFederation.
func (c *Cloud) DisableOutboundFederation(accountID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.accounts[accountID]; a != nil && a.outbound != nil {
		a.outbound.enabled = false
	}
}

// issuer answers for hosts that publish keys.
func (c *Cloud) issuer(host string) (http.Handler, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, ok := c.issuers[host]
	return h, ok
}

// uuidOf makes an id that looks random and is the same in every lab, so that the keys of an issuer, which take a tenth
// of a second to find, are found once in a process.
func uuidOf(name string) string {
	sum := sha256.Sum256([]byte(name))
	sum[6], sum[8] = sum[6]&0x0f|0x40, sum[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// clusterID is the end of an EKS issuer's URL: 32 hexadecimal digits in capitals.
func clusterID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return strings.ToUpper(hex.EncodeToString(sum[:16]))
}

func decimal(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
