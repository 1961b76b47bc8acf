// SPDX-License-Identifier: Apache-2.0

package imds

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/serve/ecs/session"
	"github.com/stile-project/stile/serve/offer"
)

// versions are those whose tree has iam/, and latest. All answer alike here.
// Source: EC2 User Guide, "Instance metadata versions".
var versions = []string{"2012-01-12", "2014-02-25", "2014-11-05", "2015-10-20", "2016-04-19", "2016-06-30", "2016-09-02", "2018-03-28",
	"2018-08-17", "2018-09-24", "2019-10-01", "2020-10-27", "2021-01-03", "2021-03-23", "2021-07-15", "2022-09-24", "latest"}

// An item is one path's answer: text that never changes, or what is made of the session.
type item struct {
	text   []byte
	held   *session.Held
	secret bool // the session itself
}

// tree is every item below a version, by path without slashes at its ends. The version's own is the empty path.
func (h *Handler) tree(c *offer.AWS) map[string]item {
	name := roleName(c.RoleARN, h.name)
	leaves := map[string]item{
		"meta-data/iam/security-credentials/" + name: {held: session.New(c.Session, h.clock, credentials), secret: true},
	}
	partition, account := accountOf(c.RoleARN)
	if account != "" {
		// There is no instance profile. It is served for those who look for the account in its ARN, and named like the
		// role, as the console names profiles. Its id would have to be made up.
		profile := "arn:" + partition + ":iam::" + account + ":instance-profile/" + name
		leaves["meta-data/iam/info"] = item{held: session.New(c.Session, h.clock, func(_ stile.Session, _, now string) []byte {
			return document("Code", "Success", "LastUpdated", now, "InstanceProfileArn", profile)
		})}
	}
	if c.Region != "" {
		leaves["meta-data/placement/region"] = item{text: []byte(c.Region)}
		leaves["meta-data/placement/availability-zone"] = item{text: []byte(zone(c.Region))}
		leaves["dynamic/instance-identity/document"] = item{text: document("accountId", account,
			"availabilityZone", zone(c.Region), "region", c.Region, "version", "2017-09-30")}
	}
	return withFolders(leaves)
}

// zone is a region's zone a. The workload is in none, but botocore takes the region for the zone's name less its last
// letter, and asks for nothing else.
func zone(region string) string { return region + "a" }

// withFolders adds a listing for each folder: its items line by line with no line break at the end, and its folders with
// a slash, which the version's own listing goes without.
func withFolders(leaves map[string]item) map[string]item {
	names := map[string][]string{}
	for path := range leaves {
		slash := ""
		for path != "" {
			i := strings.LastIndexByte(path, '/')
			parent, name := path[:max(i, 0)], path[i+1:]
			if parent != "" {
				name += slash
			}
			if !slices.Contains(names[parent], name) {
				names[parent] = append(names[parent], name)
			}
			path, slash = parent, "/"
		}
	}
	for folder, list := range names {
		slices.Sort(list)
		leaves[folder] = item{text: []byte(strings.Join(list, "\n"))}
	}
	return leaves
}

// roleName is the last part of the role's ARN, or else the crossing's name, as the name of a role may be: 1 to 64 of
// [A-Za-z0-9_+=,.@-].
func roleName(arn, crossing string) string {
	name := arn[strings.LastIndexByte(arn, '/')+1:]
	if name == "" {
		name = crossing
	}
	name = strings.Map(func(c rune) rune {
		if c < 0x80 && strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+=,.@-", c) {
			return c
		}
		return '-'
	}, name)
	name = name[:min(len(name), 64)]
	if strings.Trim(name, ".") == "" { // clients would change a path that ends in dots
		return "role"
	}
	return name
}

func accountOf(arn string) (partition, account string) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[1] == "" || len(parts[4]) != 12 || strings.Trim(parts[4], "0123456789") != "" {
		return "", ""
	}
	return parts[1], parts[4]
}

// credentials writes a session as EC2 does. Source: EC2 User Guide, "Retrieve security credentials from instance metadata".
func credentials(s stile.Session, expires, now string) []byte {
	b := append(make([]byte, 0, 2048), '{')
	b = session.AppendField(b, "Code", "Success")
	b = session.AppendField(b, "LastUpdated", now)
	b = session.AppendField(b, "Type", "AWS-HMAC")
	b = session.AppendField(b, "AccessKeyId", s.AccessKeyID)
	b = session.AppendField(b, "SecretAccessKey", s.SecretAccessKey.Reveal())
	b = session.AppendField(b, "Token", s.SessionToken.Reveal())
	b = session.AppendField(b, "Expiration", expires)
	return append(b, '}')
}

// document is a JSON object of names and values in turn. An empty value is left out.
func document(pairs ...string) []byte {
	b := []byte("{")
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		value, _ := json.Marshal(pairs[i+1]) // a string never fails
		b = append(append(b, `"`+pairs[i]+`":`...), value...)
	}
	return append(b, '}')
}
