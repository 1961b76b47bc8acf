// SPDX-License-Identifier: Apache-2.0

package labaws

import "encoding/xml"

type callerIdentityResult struct {
	XMLName xml.Name `xml:"GetCallerIdentityResult"`
	Arn     string
	UserID  string `xml:"UserId"`
	Account string
}

// getCallerIdentity tells a caller who it is. It needs no permission, and no policy can forbid it (AWS STS API,
// GetCallerIdentity); that is why another cloud can have it replayed as proof of identity.
func (c *stsCall) getCallerIdentity() (any, error) {
	caller, err := c.signedBy()
	if err != nil {
		return nil, err
	}
	return callerIdentityResult{Arn: caller.who.arn, UserID: caller.who.id, Account: caller.who.account}, nil
}

// signedBy authenticates the caller and makes sure that its account uses this region.
func (c *stsCall) signedBy() (credential, error) {
	caller, err := c.cloud.authenticate(c.request, c.body, c.at, c.entry)
	if err != nil {
		return credential{}, err
	}
	return caller, c.regionEnabled(caller.who.account)
}

func (c *stsCall) regionEnabled(accountID string) error {
	c.cloud.mu.Lock()
	defer c.cloud.mu.Unlock()
	if a := c.cloud.accounts[accountID]; a != nil && a.disabled[c.at.region] && !c.at.global {
		c.entry.Fail("account %s uses STS in %s: the region is not active there", accountID, c.at.region)
		return refuse(403, "RegionDisabledException", "STS is not activated in this region for account:%s. Your account administrator can activate STS in this region using the IAM Console.", accountID)
	}
	return nil
}
