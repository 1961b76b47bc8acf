// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"

	"github.com/stile-project/stile/internal/shape"
	"github.com/stile-project/stile/internal/shape/shapetest"
)

func takes(s shape.Shape) func(string) bool {
	return func(v string) bool {
		_, err := s(v)
		return err == nil
	}
}

// The checks take what these patterns do, which are easier to hold against the documents that they come from.
func TestChecksAgreeWithPatterns(t *testing.T) {
	t.Parallel()
	const region = `[a-z]{2,5}(?:-[a-z]{1,12}){1,3}-[0-9]{1,2}`
	for name, c := range map[string]struct {
		pattern  string
		check    func(string) bool
		examples []string
	}{
		"profile":         {`^[^\x00-\x1f\x7f\[\]]{1,128}$`, takes(profileName), []string{strings.Repeat("ö", 128), strings.Repeat("\xff", 129), "a]"}},
		"crossing":        {`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`, isCrossingName, nil},
		"key shown":       {`^[A-Za-z][A-Za-z_-]{0,39}$`, func(s string) bool { return shownKey(s) != "" }, nil},
		"variable":        {`^[A-Za-z_][A-Za-z0-9_]{0,127}$`, takes(variable), nil},
		"setting":         {`^[a-z][a-z0-9_]{0,63}$`, isSettingKey, nil},
		"new profile":     {`^[A-Za-z0-9_/.%@:+-]{1,128}$`, isNewProfile, nil},
		"host":            {`^[A-Za-z0-9.-]{1,253}$`, isHostName, nil},
		"label":           {`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`, isLabel, nil},
		"environment":     {`^aws[0-9]{1,4}$`, isEnvironmentID, nil},
		"namespace":       {`^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`, takes(namespace), nil},
		"object":          {`^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$`, takes(objectName), nil},
		"workload socket": {`^(?:unix:///[\x21-\x7e]{1,200}|tcp://(?:[0-9.]{7,15}|\[[0-9a-f:]{2,39}\]):[0-9]{1,5})$`, takes(workloadSocket), []string{"tcp://[::1]:8081", "tcp://127.0.0.1:8081", "tcp://::1:80", "tcp://[::1:80", "unix:///", "tcp://", "tcp://:80"}},
		"header":          {"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$", func(s string) bool { return headerName(s) == nil }, nil},
		"domain":          {`^[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})+$`, isDomain, []string{"a", "a.b", "a..b", "."}},
		"STS": {`^sts(?:-fips)?\.(` + region + `)\.(amazonaws\.com|amazonaws\.com\.cn|api\.aws|api\.amazonwebservices\.com\.cn|amazonaws\.eu)$`, func(s string) bool { _, _, ok := regionalSTS(s); return ok }, []string{
			"sts.eu-west-1.amazonaws.com", "sts.amazonaws.com", "sts.eu-west-1a.amazonaws.com", "sts.eu-west-1.amazonaws.com.evil.example"}},
		"STS of a VPC":  {`^vpce-[a-z0-9-]{1,60}\.sts\.` + region + `\.vpce\.amazonaws\.com(?:\.cn)?$`, isPrivateSTS, []string{"vpce-.sts.eu-west-1.vpce.amazonaws.com"}},
		"duration":      {`^(?:[0-9]{1,9}(?:\.[0-9]{1,9})?[hms])+$`, isPlain, []string{"1h", "1h30m", "1", "h", "1.h", ".5h", "1ms", "1us", "+1h", "1.5.5h"}},
		"impersonation": {`^/v1/projects/-/serviceAccounts/([^/:]+):generateAccessToken$`, func(s string) bool { _, ok := accountInPath(s); return ok }, []string{"/v1/projects/-/serviceAccounts/:generateAccessToken"}},
		"a stile.yaml":  {`(?m)^(?:version|crossings)[ \t]*:`, func(s string) bool { return anyLine([]byte(s), isStileLine) }, []string{"a\nversion : 1", " version: 1", "version\n: 1"}},
		"AWS profiles": {`(?m)^[ \t]*(?i:aws_access_key_id)[ \t]*=|^[ \t]*\[[ \t]*(?:profile[ \t]+\S.*|default|sso-session[ \t]+\S.*|services[ \t]+\S.*)\][ \t]*\r?$`, func(s string) bool { return anyLine([]byte(s), isAWSLine) }, []string{
			"[default]", "[ default]", "[default ]", "[default]\r\n", "[default]\r\r", "[profile a]", "[profilea]", "[profile\ta]x", "[profile \fa]", "[profile \v]", "[profile ]", "[profile ]]", "x\n[services a] \t\n", "[[default]", "AWS_ACCESS_\u212aEY_ID=", "aws_acce\u017fs_key_id=", "aws_access_key_id", "[profile a\rb]", "[profile a]\r "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shapetest.Agree(t, c.pattern, c.check, c.examples...)
		})
	}
}
