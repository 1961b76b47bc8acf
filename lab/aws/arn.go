// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"fmt"
	"strings"
)

// An arn is an Amazon Resource Name in its six parts.
type arn struct{ partition, service, region, account, resource string }

// parseARN reads arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE. The resource may hold colons.
func parseARN(s string) (arn, error) {
	parts := strings.SplitN(s, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[1] == "" || parts[2] == "" || parts[5] == "" {
		return arn{}, fmt.Errorf("ARN %.128q: want arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE", s)
	}
	return arn{parts[1], parts[2], parts[3], parts[4], parts[5]}, nil
}

func (a arn) String() string {
	return strings.Join([]string{"arn", a.partition, a.service, a.region, a.account, a.resource}, ":")
}

// parseRoleARN reads arn:PARTITION:iam::ACCOUNT:role/PATH/NAME.
func parseRoleARN(s string) (a arn, path, name string, err error) {
	a, err = parseARN(s)
	rest, ok := strings.CutPrefix(a.resource, "role/")
	if err != nil || !ok || a.service != "iam" || a.region != "" || !accountPattern.MatchString(a.account) || !partitionPattern.MatchString(a.partition) {
		return arn{}, "", "", fmt.Errorf("role ARN %.128q: want arn:PARTITION:iam::ACCOUNT:role/NAME", s)
	}
	slash := strings.LastIndexByte(rest, '/')
	path, name = "/"+rest[:slash+1], rest[slash+1:]
	if !namePattern.MatchString(name) || !pathPattern.MatchString(path) {
		return arn{}, "", "", fmt.Errorf("role ARN %.128q: bad role name or path", s)
	}
	return a, path, name, nil
}
