// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func FuzzParseSignedRequest(f *testing.F) {
	object := func(headers string) string {
		return url.QueryEscape(`{"url":"https://` + awsHost + `?Action=GetCallerIdentity&Version=2011-06-15","method":"POST","headers":[` + headers + `]}`)
	}
	good := `{"key":"Authorization","value":"x"},{"key":"host","value":"` + awsHost + `"},{"key":"x-amz-date","value":"y"},{"key":"` + targetHeader + `","value":"z"}`
	for _, seed := range []string{"", "%7B%7D", object(""), object(good), object(good + `,{"key":"HOST","value":"other"}`), "%7B%22url%22%3A", "%ff", strings.Repeat("%5B", 200)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		signed, err := parseSignedRequest(token)
		if err != nil {
			if !errors.Is(err, errNotJSON) && !errors.Is(err, errRequest) {
				t.Fatalf("an error of no known kind: %v", err)
			}
			return
		}
		// What is accepted goes to AWS and nowhere else, and reads the same when written again.
		r, err := signed.request(t.Context())
		if err != nil {
			t.Fatalf("it was accepted and cannot be sent: %v", err)
		}
		if !stsHosts.MatchString(r.URL.Host) || r.Host != r.URL.Host || r.URL.Scheme != "https" || r.URL.Path != "/" {
			t.Fatalf("it goes to %s, host %s", r.URL, r.Host)
		}
		again, err := parseSignedRequest(rewrite(t, signed))
		if err != nil || again.url != signed.url || again.headers["authorization"] != signed.headers["authorization"] {
			t.Fatalf("it reads otherwise the second time: %v", err)
		}
	})
}

func rewrite(t *testing.T, s signedRequest) string {
	var headers []map[string]string
	for _, name := range sortedKeys(s.headers) {
		headers = append(headers, map[string]string{"key": name, "value": s.headers[name]})
	}
	text, err := json.Marshal(map[string]any{"url": s.url, "method": "POST", "headers": headers})
	if err != nil {
		t.Fatal(err)
	}
	return url.QueryEscape(string(text))
}

func FuzzParseProviderName(f *testing.F) {
	for _, seed := range []string{"", testProvider, "https:" + testProvider, resourceHost + testPool, testProvider + "/", resourceHost, strings.Replace(testProvider, testNumber, testProject, 1), strings.Repeat("/", 8)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := parseProviderName(s)
		if err == nil && name.String() != s {
			t.Fatalf("%q came back as %q", s, name.String())
		}
	})
}

func FuzzParseLifetime(f *testing.F) {
	for _, seed := range []string{"", "3600s", "0s", "-1s", "1.5s", "3600", "1h", "999999999999s"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := parseLifetime(s)
		if err == nil && (d < time.Second || d > 24*time.Hour || !strings.HasSuffix(s, "s")) {
			t.Fatalf("%q became %s", s, d)
		}
	})
}

func FuzzReadStoragePath(f *testing.F) {
	for _, seed := range []string{"/storage/v1/b", "/storage/v1/b/x/o/a%2Fb", "/upload/storage/v1/b/x/o", "/download/storage/v1/b/x/o/%zz", "/storage/v1/b/x/o/", "/storage/v1/b/x/acl"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		p := readStoragePath(path)
		if p.object != "" && !p.objects {
			t.Fatalf("%q names the object %q of no collection", path, p.object)
		}
	})
}

func FuzzSplitUpload(f *testing.F) {
	f.Add(multipartKind, []byte(multipartBody(`{"name":"x"}`, "123")))
	f.Add("multipart/related", []byte("x"))
	f.Add("text/plain; boundary=b", []byte("--b--"))
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		u, err := splitUpload(kind, body)
		if err == nil && len(u.body) > len(body) {
			t.Fatalf("%d bytes came out of %d", len(u.body), len(body))
		}
	})
}

func FuzzReadObject(f *testing.F) {
	for _, seed := range []string{"{}", `{"a":1,"a":2}`, `{"a":[{"b":null}]}`, "[]", "{", "\xff", `{"a":1}{}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		object, err := readObject(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		second, err := readObject(again)
		if err != nil || !slices.Equal(sortedKeys(object), sortedKeys(second)) {
			t.Fatalf("%q reads otherwise the second time: %v", text, err)
		}
	})
}
