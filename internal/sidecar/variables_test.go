// SPDX-License-Identifier: Apache-2.0

package sidecar_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stile-project/stile/internal/sidecar"
)

func TestNoProxy(t *testing.T) {
	t.Parallel()
	const v4, v6 = "127.0.0.1:9914", "[::1]:9914"
	type names map[string]string
	both := func(value string) names { return names{"NO_PROXY": value, "no_proxy": value} }
	for name, c := range map[string]struct {
		env       names
		addresses []string
		want      names
	}{
		"no proxy":                    {names{"NO_PROXY": "a"}, []string{v4}, nil},
		"no address":                  {names{"HTTP_PROXY": "p"}, nil, nil},
		"nothing set":                 {names{"HTTP_PROXY": "p"}, []string{v4}, both("127.0.0.1")},
		"in small letters":            {names{"http_proxy": "p", "no_proxy": "a"}, []string{v4}, both("a,127.0.0.1")},
		"for all":                     {names{"ALL_PROXY": "p"}, []string{v4}, both("127.0.0.1")},
		"for TLS, which gaxios takes": {names{"HTTPS_PROXY": "p"}, []string{v4}, both("127.0.0.1")},
		"what is set stays":           {names{"HTTP_PROXY": "p", "NO_PROXY": "a, b"}, []string{v4}, both("a, b,127.0.0.1")},
		"a comma at the end":          {names{"HTTP_PROXY": "p", "NO_PROXY": "a,"}, []string{v4}, both("a,127.0.0.1")},
		"each its own":                {names{"HTTP_PROXY": "p", "NO_PROXY": "a", "no_proxy": "b"}, []string{v4}, names{"NO_PROXY": "a,127.0.0.1", "no_proxy": "b,127.0.0.1"}},
		"one of two is good":          {names{"HTTP_PROXY": "p", "NO_PROXY": "127.0.0.1", "no_proxy": "b"}, []string{v4}, names{"NO_PROXY": "127.0.0.1", "no_proxy": "b,127.0.0.1"}},
		"good":                        {names{"HTTP_PROXY": "p", "NO_PROXY": "a, 127.0.0.1 ,b"}, []string{v4}, nil},
		"everything":                  {names{"HTTP_PROXY": "p", "no_proxy": "*"}, []string{v4}, nil},
		"ranges are not for botocore": {names{"HTTP_PROXY": "p", "NO_PROXY": "127.0.0.0/8"}, []string{v4}, both("127.0.0.0/8,127.0.0.1")},
		"another name of the machine": {names{"HTTP_PROXY": "p", "NO_PROXY": "localhost"}, []string{v4}, both("localhost,127.0.0.1")},
		"IPv6":                        {names{"HTTP_PROXY": "p", "NO_PROXY": "::1"}, []string{v6}, both("::1,[::1]")},
		"TLS":                         {names{"HTTP_PROXY": "p"}, []string{"https://" + v4, "https://" + v6}, both("127.0.0.1,::1,[::1]")},
		"several":                     {names{"HTTP_PROXY": "p"}, []string{v4, v6, v4}, both("127.0.0.1,::1,[::1]")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got names
			for _, v := range sidecar.NoProxy(func(name string) string { return c.env[name] }, c.addresses...) {
				if got == nil {
					got = names{}
				}
				got[v.Name] = v.Value
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
