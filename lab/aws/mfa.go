// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // the hash that virtual MFA devices use
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"regexp"
	"sync"
	"time"
)

var (
	serialPattern = regexp.MustCompile(`^[\w+=/:,.@-]*$`)
	codePattern   = regexp.MustCompile(`^[\d]*$`)
)

// codeStep is how long a device shows one code, and codeDigits how long the code is (RFC 6238, and the devices that IAM
// takes).
const (
	codeStep   = 30 * time.Second
	codeDigits = 1000000
)

// An MFADevice is a person's virtual device, which shows a code of six digits.
type MFADevice struct {
	cloud  *Cloud
	serial string
	secret []byte

	mu   sync.Mutex
	used int64 // the newest step whose code was taken: no code is good twice
}

// AddMFADevice gives a user a virtual MFA device.
func (c *Cloud) AddMFADevice(accountID, userName string) (*MFADevice, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.accounts[accountID]
	if a == nil || a.users[userName] == nil {
		return nil, fmt.Errorf("adding an MFA device: no user %.64q in account %.12q", userName, accountID)
	}
	d := &MFADevice{cloud: c, serial: arn{a.partition, "iam", "", accountID, "mfa/" + userName}.String(), secret: make([]byte, 20)}
	_, _ = rand.Read(d.secret) // never fails
	a.users[userName].mfa = d
	return d, nil
}

// Serial is the device's ARN: what profiles call mfa_serial.
func (d *MFADevice) Serial() string { return d.serial }

// Code is what the device shows now.
func (d *MFADevice) Code() string { return d.code(d.cloud.now().Unix() / int64(codeStep/time.Second)) }

// code follows RFC 4226, section 5.3.
func (d *MFADevice) code(step int64) string {
	mac := hmac.New(sha1.New, d.secret)
	_ = binary.Write(mac, binary.BigEndian, step)
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 0x0f
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[offset:])&0x7fffffff%codeDigits)
}

// takes accepts the code of this step and of the one before, each once.
func (d *MFADevice) takes(code string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.cloud.now().Unix() / int64(codeStep/time.Second)
	for _, step := range []int64{now, now - 1} {
		if step > d.used && subtle.ConstantTimeCompare([]byte(code), []byte(d.code(step))) == 1 {
			d.used = step
			return true
		}
	}
	return false
}

// multiFactor is what policies can ask about the caller's MFA: nothing, unless this very call proves it.
func (c *stsCall) multiFactor(caller credential) (map[string][]string, error) {
	serial, hasSerial := c.form["SerialNumber"]
	code, hasCode := c.form["TokenCode"]
	if !hasSerial && !hasCode {
		return nil, nil
	}
	c.cloud.mu.Lock()
	var device *MFADevice
	if a := c.cloud.accounts[caller.who.account]; a != nil && a.users[caller.who.user] != nil {
		device = a.users[caller.who.user].mfa
	}
	c.cloud.mu.Unlock()
	switch {
	case !hasSerial || !hasCode:
		c.entry.Fail("the call carries both the serial of an MFA device and its code")
		return nil, refuse(403, "AccessDenied", "MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code.")
	case device == nil || device.serial != serial:
		c.entry.Fail("MFA device %.128q is the caller's", serial)
		return nil, refuse(403, "AccessDenied", "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user.")
	case !device.takes(code):
		c.entry.Fail("the code is the one that MFA device %s shows, and not used yet", serial)
		return nil, refuse(403, "AccessDenied", "MultiFactorAuthentication failed with invalid MFA one time pass code. ")
	}
	c.entry.OK("the code is the one that MFA device %s shows", serial)
	return map[string][]string{"aws:MultiFactorAuthPresent": {"true"}, "aws:MultiFactorAuthAge": {"0"}}, nil
}
