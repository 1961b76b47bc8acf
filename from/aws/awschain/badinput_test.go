// SPDX-License-Identifier: Apache-2.0

package awschain_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/from/aws/awschain"
	"github.com/stile-project/stile/lab"
	labaws "github.com/stile-project/stile/lab/aws"
	"github.com/stile-project/stile/lab/stage"
)

// says answers every request alike.
func says(status int, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// metadata is an instance that gives session tokens and a role's name, and answers for its credentials with status and
// body.
func metadata(status int, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut:
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "300")
			_, _ = io.WriteString(w, "token")
		case strings.HasSuffix(r.URL.Path, "/security-credentials/"):
			_, _ = io.WriteString(w, "etl-role")
		default:
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	})
}

const complete = `{"Code":"Success","AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"hunter22hunter22","Token":"hunter22token","Expiration":%q}`

// TestBadAnswers has endpoints and files answer badly. Each error names what was tried and what to do, with no secret.
func TestBadAnswers(t *testing.T) {
	t.Parallel()
	container := map[string]string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/x", "AWS_REGION": stage.Region}
	region := map[string]string{"AWS_REGION": stage.Region}
	missing := strings.Replace(fmt.Sprintf(complete, "2099-01-01T00:00:00Z"), "hunter22hunter22", "", 1)
	for name, c := range map[string]struct {
		env   map[string]string
		place lab.Place
		kind  error
		words string
		hint  string
	}{
		"container: no role":            {container, lab.Place{Container: says(400, `{"code":"InvalidIdInRequest","message":"Credentials not found"}`)}, stile.ErrNoIdentity, "InvalidIdInRequest: Credentials not found", "task role"},
		"container: plain text":         {container, lab.Place{Container: says(404, "[id]: (ResourceNotFoundException): No association found, fault: client\n")}, stile.ErrNoIdentity, "ResourceNotFoundException", "Pod Identity association"},
		"container: throttled":          {container, lab.Place{Container: says(429, "")}, stile.ErrTemporary, "429", ""},
		"container: broken":             {container, lab.Place{Container: says(500, "<html>")}, stile.ErrTemporary, "500", ""},
		"container: 200 with an error":  {container, lab.Place{Container: says(200, `{"code":"InternalServerError","message":"no luck"}`)}, stile.ErrNoIdentity, "InternalServerError: no luck", "task role"},
		"container: 200 with a Code":    {container, lab.Place{Container: says(200, strings.Replace(missing, "Success", "Failed", 1))}, stile.ErrNoIdentity, "Failed", ""},
		"container: 200 with HTML":      {container, lab.Place{Container: says(200, "<html>")}, stile.ErrTemporary, "cannot be read", "something other"},
		"container: a part missing":     {container, lab.Place{Container: says(200, missing)}, stile.ErrTemporary, "a part missing", ""},
		"container: too long":           {container, lab.Place{Container: says(200, strings.Repeat("x", 2<<20))}, stile.ErrTemporary, "longer than", ""},
		"container: redirect":           {container, lab.Place{Container: http.RedirectHandler("http://evil.example/", 302)}, stile.ErrNoIdentity, "302", ""},
		"container: nobody":             {container, lab.Place{}, stile.ErrTemporary, "cannot reach 169.254.170.2", ""},
		"container: expired":            {container, lab.Place{Container: says(200, fmt.Sprintf(complete, "2020-01-01T00:00:00Z"))}, stile.ErrTemporary, "expired at 2020-01-01T00:00:00Z", "clock"},
		"instance: role unusable":       {region, lab.Place{Metadata: metadata(200, `{"Code":"AssumeRoleUnauthorizedAccess","Message":"EC2 cannot assume the role"}`)}, stile.ErrNoIdentity, "AssumeRoleUnauthorizedAccess: EC2 cannot assume", "ec2.amazonaws.com"},
		"instance: no Code":             {region, lab.Place{Metadata: metadata(200, `{}`)}, stile.ErrNoIdentity, "cannot use", ""},
		"instance: HTML":                {region, lab.Place{Metadata: metadata(200, "<html>")}, stile.ErrTemporary, "cannot be read", "something other"},
		"instance: a part missing":      {region, lab.Place{Metadata: metadata(200, missing)}, stile.ErrTemporary, "a part missing", ""},
		"instance: role gone":           {region, lab.Place{Metadata: metadata(404, "")}, stile.ErrNoIdentity, "no instance profile", "whoami --verbose"},
		"instance: broken":              {region, lab.Place{Metadata: metadata(500, "")}, stile.ErrTemporary, "500", ""},
		"instance: another's metadata":  {region, lab.Place{Metadata: says(403, "Metadata-Flavor")}, stile.ErrNoIdentity, "it answered 403", ""},
		"instance: no version 2":        {region, lab.Place{Metadata: says(405, "")}, stile.ErrNoIdentity, "it answered 405", ""},
		"instance: metadata disabled":   {map[string]string{"AWS_REGION": stage.Region, "AWS_EC2_METADATA_DISABLED": "true"}, lab.Place{}, stile.ErrNoIdentity, "AWS_EC2_METADATA_DISABLED is true", ""},
		"nothing anywhere":              {region, lab.Place{}, stile.ErrNoIdentity, "nothing answers at that address", "AWS_PROFILE"},
		"web identity: no file":         {with(region, "AWS_ROLE_ARN", irsaRole, "AWS_WEB_IDENTITY_TOKEN_FILE", "/no/such/token"), lab.Place{}, stile.ErrNoIdentity, "token file /no/such/token: no such file", "mounted"},
		"web identity: a folder":        {with(region, "AWS_ROLE_ARN", irsaRole, "AWS_WEB_IDENTITY_TOKEN_FILE", os.TempDir()), lab.Place{}, stile.ErrNoIdentity, "is a folder", "mounted"},
		"web identity: no end":          {with(region, "AWS_ROLE_ARN", irsaRole, "AWS_WEB_IDENTITY_TOKEN_FILE", "/dev/zero"), lab.Place{}, stile.ErrNoIdentity, "longer than", ""},
		"web identity: empty":           {with(region, "AWS_ROLE_ARN", irsaRole, "AWS_WEB_IDENTITY_TOKEN_FILE", os.DevNull), lab.Place{}, stile.ErrNoIdentity, "is empty", ""},
		"container: unreadable token":   {with(container, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/no/such/token"), lab.Place{}, stile.ErrNoIdentity, "token file /no/such/token: no such file", "mounted"},
		"container: token of two lines": {with(container, "AWS_CONTAINER_AUTHORIZATION_TOKEN", "hunter22\r\nX-Evil: 1"), lab.Place{}, stile.ErrNoIdentity, "more than one line", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := set(t)
			o := awschain.Options{Client: s.at(&c.place), Lookup: variables(c.env), Root: t.TempDir()}
			_, err := s.find(o).SubjectToken(t.Context(), "a")
			var e *stile.Error
			if !errors.Is(err, c.kind) || !errors.As(err, &e) || !strings.Contains(err.Error(), c.words) || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("got %v\nwant a %q error with %q and the hint %q", err, c.kind, c.words, c.hint)
			}
			if e != nil && (e.Op != "find AWS credentials" && e.Op != "assume the role by web identity" || strings.Contains(e.Error()+e.Hint, "hunter22")) {
				t.Errorf("step %q: %v", e.Op, err)
			}
		})
	}
}

// TestBadSettings are set up in a way that cannot work, which is said before anyone is asked.
func TestBadSettings(t *testing.T) {
	t.Parallel()
	full := func(uri string) map[string]string {
		return map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri}
	}
	for name, c := range map[string]struct {
		env   map[string]string
		words string
	}{
		"plain http elsewhere":       {full("http://10.0.0.1/creds"), `"10.0.0.1": over plain http`},
		"plain http to a name":       {full("http://broker.example/creds"), "over plain http"},
		"loopback only in the name":  {full("http://127.0.0.1.evil.example/"), "over plain http"},
		"loopback as the user":       {full("http://127.0.0.1@evil.example/"), "not an http or https URL"},
		"metadata of the instance":   {full("http://169.254.169.254/"), "over plain http"},
		"no URL":                     {full("169.254.170.2/creds"), "not an http or https URL"},
		"a file":                     {full("file:///etc/passwd"), "not an http or https URL"},
		"relative is absolute":       {map[string]string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "@evil.example/"}, "does not begin with a slash"},
		"token file without role":    {map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": "/token"}, "AWS_ROLE_ARN is unset"},
		"token file and a blank":     {map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": " "}, "AWS_ROLE_ARN is set to nothing"},
		"token file and a role name": {map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "etl"}, `AWS_ROLE_ARN "etl"`},
		"unknown profile":            {map[string]string{"AWS_PROFILE": "nobody"}, `no profile "nobody" (named by AWS_PROFILE)`},
		"blank profile":              {map[string]string{"AWS_PROFILE": "  "}, "AWS_PROFILE is set to blanks"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := set(t)
			o := awschain.Options{Client: s.at(s.EC2), Lookup: variables(c.env), Root: t.TempDir()}
			if _, err := awschain.Find(t.Context(), o); !errors.Is(err, stile.ErrMisuse) || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got %v, want misuse with %q", err, c.words)
			}
			report := awschain.Search(t.Context(), o)
			if !errors.Is(report.Err, stile.ErrMisuse) || !strings.Contains(fmt.Sprint(report.Steps), c.words) {
				t.Errorf("the search says %v", report.Steps)
			}
		})
	}
}

func TestAllowedURIs(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{"http://127.0.0.1:9001/x", "http://127.8.9.1/x", "http://localhost:51679/x", "http://[::1]:80/x", "http://169.254.170.2/x", "http://169.254.170.23/v1/credentials",
		"http://[fd00:ec2::23]/v1/credentials", "https://broker.example/x"} {
		if _, err := awschain.Find(t.Context(), awschain.Options{Lookup: variables(map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri})}); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

// Blanks around a value do not count, and what is nothing but blanks is unset.
func TestBlanks(t *testing.T) {
	s := set(t)
	t.Setenv("AWS_REGION", " ") // the AWS SDK reads this one for itself
	blank := map[string]string{"AWS_REGION": " ", "AWS_DEFAULT_REGION": "\t", "AWS_ACCESS_KEY_ID": " ", "AWS_SECRET_ACCESS_KEY": "\n", "AWS_WEB_IDENTITY_TOKEN_FILE": " ",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "", "AWS_CONTAINER_CREDENTIALS_FULL_URI": " ", "ECS_CONTAINER_METADATA_URI_V4": " "}
	found := s.find(awschain.Options{Client: s.at(s.EC2), Lookup: variables(blank)})
	if region, err := found.Region(t.Context()); err != nil || region != stage.Region {
		t.Errorf("region %q, %v: want the instance's", region, err)
	}
	if got := s.arn(found); !strings.Contains(got, "etl-role/i-") {
		t.Errorf("Google saw %q", got)
	}
	padded := map[string]string{}
	for name, value := range inVariables(s.keys(stage.OtherRole, "padded")) {
		padded[name] = " " + value + "\n"
	}
	if got := s.arn(s.find(awschain.Options{Client: s.at(s.EC2), Lookup: variables(padded)})); !strings.HasSuffix(got, "other-role/padded") {
		t.Errorf("values with blanks around them: Google saw %q", got)
	}
}

func TestRelativeURIWins(t *testing.T) {
	t.Parallel()
	s := set(t)
	env := with(s.settle(s.Task.Environment(), nil), "AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/other")
	o := awschain.Options{Client: s.at(s.ECS), Lookup: variables(env), Root: t.TempDir()}
	if got := s.arn(s.find(o)); !strings.Contains(got, "etl-role/3f2a") {
		t.Errorf("Google saw %q", got)
	}
	if steps := fmt.Sprint(awschain.Search(t.Context(), o).Steps); !strings.Contains(steps, "the relative one wins") {
		t.Errorf("the search says %s", steps)
	}
}

// A token file is read anew each time, and a newline at its end is not part of the token.
func TestTokenFileIsReadEachTime(t *testing.T) {
	t.Parallel()
	s := set(t)
	cluster := s.cluster()
	env := s.settle(cluster.PodIdentity("shop", "orders"))
	file := env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write := func(content []byte) {
		replacement := filepath.Join(t.TempDir(), "new")
		if err := os.WriteFile(replacement, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(replacement, file); err != nil {
			t.Fatal(err)
		}
	}
	found := s.find(awschain.Options{Client: s.at(&lab.Place{Agent: cluster}), Lookup: variables(env)})
	write([]byte("not the token\n"))
	if _, err := found.SubjectToken(t.Context(), "a"); !errors.Is(err, stile.ErrNoIdentity) {
		t.Errorf("a wrong token: got %v", err)
	}
	write(append(bytes.Clone(good), "\r\n"...))
	if got := s.arn(found); !strings.Contains(got, ":assumed-role/pod-role/") {
		t.Errorf("Google saw %q", got)
	}
}

func TestWebIdentityRefused(t *testing.T) {
	t.Parallel()
	s := set(t)
	env := s.settle(s.cluster().IRSA("shop", "strangers", irsaRole))
	_, err := s.find(awschain.Options{Client: s.at(nil), Lookup: variables(env)}).SubjectToken(t.Context(), "a")
	var e *stile.Error
	if !errors.Is(err, stile.ErrRefused) || !errors.As(err, &e) || e.Code != "AccessDenied" || !strings.Contains(e.Hint, "trust policy") || !strings.Contains(err.Error(), irsaRole) {
		t.Errorf("got %v", err)
	}
	lift := s.World.Faults.Add(lab.Fault{Host: "sts.eu-west-1.amazonaws.com", Status: 403, Body: `<ErrorResponse><Error><Code>ExpiredTokenException</Code><Message>Token expired</Message></Error></ErrorResponse>`})
	defer lift()
	_, err = s.find(awschain.Options{Client: s.at(nil), Lookup: variables(env)}).SubjectToken(t.Context(), "a")
	if !errors.As(err, &e) || !strings.Contains(e.Hint, "clock") {
		t.Errorf("an expired token: got %v, hint %q", err, e.Hint)
	}
}

// A process's output may hold secrets, and so may what it writes besides.
func TestProcessSaysNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ body, words string }{
		"not JSON":  {"echo hunter22", "wrote something other than JSON"},
		"exit code": {"echo hunter22; exit 3", "ended with 3"},
		"version":   {`echo '{"Version":2,"AccessKeyId":"hunter22"}'`, "wrong version"},
		"no secret": {`echo '{"Version":1,"AccessKeyId":"hunter22"}'`, "missing SecretAccessKey"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := set(t)
			helper := filepath.Join(t.TempDir(), "helper")
			if err := os.WriteFile(helper, []byte("#!/bin/sh\n"+c.body+"\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			env := s.file("[profile work]\nregion = eu-west-1\ncredential_process = "+helper+"\n", "AWS_PROFILE", "work")
			_, err := s.find(awschain.Options{Client: s.at(nil), Lookup: variables(env)}).SubjectToken(t.Context(), "a")
			if !errors.Is(err, stile.ErrNoIdentity) || !strings.Contains(err.Error(), c.words) || strings.Contains(err.Error(), "hunter22") {
				t.Errorf("got %v, want %q", err, c.words)
			}
		})
	}
}

// TestHopLimit hangs as EC2 does where a container is one hop too far away.
func TestHopLimit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		marker string
		words  []string
	}{
		"in a container": {"/.dockerenv", []string{"hop limit", "http-put-response-hop-limit 2"}},
		"outside of any": {"/other", []string{"did not answer the request for a session token in time"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := set(t)
			root := t.TempDir()
			if err := os.WriteFile(filepath.Join(root, c.marker), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				far := &lab.Place{Metadata: s.World.AWS.EC2(labaws.Instance{ID: "i-0abc123def4567890", Region: stage.Region, RoleARN: stage.Role, HopLimit: 1, Hops: 2})}
				found := s.find(awschain.Options{Client: s.at(far), Lookup: variables(map[string]string{"AWS_REGION": stage.Region}), Root: root})
				began := time.Now()
				_, err := found.SubjectToken(t.Context(), "a")
				var e *stile.Error
				if !errors.Is(err, stile.ErrNoIdentity) || !errors.As(err, &e) {
					t.Fatalf("got %v", err)
				}
				for _, words := range c.words {
					if !strings.Contains(e.Error()+e.Hint, words) {
						t.Errorf("%v (hint: %s) does not say %q", err, e.Hint, words)
					}
				}
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

// TestMetadataStopsAnswering gives a session token and nothing more.
func TestMetadataStopsAnswering(t *testing.T) {
	t.Parallel()
	s := set(t)
	whole := s.EC2.Metadata
	stuck := &lab.Place{Metadata: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			whole.ServeHTTP(w, r)
			return
		}
		<-r.Context().Done()
	})}
	synctest.Test(t, func(t *testing.T) {
		found := s.find(awschain.Options{Client: s.at(stuck), Lookup: variables(map[string]string{"AWS_REGION": stage.Region}), Root: os.TempDir()})
		if _, err := found.SubjectToken(t.Context(), "a"); !errors.Is(err, stile.ErrTemporary) || !strings.Contains(err.Error(), "stopped answering") {
			t.Errorf("got %v", err)
		}
	})
}

func FuzzContainerAnswer(f *testing.F) {
	f.Add(200, []byte(fmt.Sprintf(complete, "2099-01-01T00:00:00Z")))
	f.Add(200, []byte(`{"code":"x","message":"y"}`))
	f.Add(200, []byte(`{"Expiration":"never"}`))
	f.Add(404, []byte("\xff\x00 not JSON"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		client := &http.Client{Transport: hosts{map[string]http.Handler{"169.254.170.2": says(status, string(body))}, http.DefaultTransport}}
		found, err := awschain.Find(t.Context(), awschain.Options{Client: client, Lookup: variables(map[string]string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x", "AWS_REGION": stage.Region})})
		if err != nil {
			t.Fatal(err)
		}
		creds, err := found.Config.Credentials.Retrieve(t.Context())
		if err == nil {
			var a struct {
				AccessKeyID     string `json:"AccessKeyId"`
				SecretAccessKey string
			}
			if json.Unmarshal(body, &a) != nil || creds.AccessKeyID != a.AccessKeyID || creds.SecretAccessKey != a.SecretAccessKey || a.AccessKeyID == "" || status > 299 {
				t.Errorf("%d %q gave a key %q", status, body, creds.AccessKeyID)
			}
			return
		}
		if e, ok := errors.AsType[*stile.Error](err); !ok || strings.ContainsAny(e.Error(), "\x00\n\x1b") {
			t.Errorf("not an error of ours, or not fit to print: %q", err)
		}
	})
}
