// SPDX-License-Identifier: Apache-2.0

package toaws_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stile-project/stile"
	fromgcp "github.com/stile-project/stile/from/gcp"
	"github.com/stile-project/stile/lab"
	"github.com/stile-project/stile/lab/stage"
	toaws "github.com/stile-project/stile/to/aws"
	"github.com/stile-project/stile/to/aws/awscreds"
)

type scene struct {
	*stage.Stage
	t *testing.T
}

func set(t *testing.T) scene {
	t.Helper()
	s, err := stage.Set(lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return scene{s, t}
}

func (s scene) client() *http.Client { return &http.Client{Transport: s.World.Network(nil)} }

func (s scene) source() stile.Source {
	return &fromgcp.Metadata{Client: &http.Client{Transport: s.World.Network(s.VM)}}
}

// become crosses to the role, changed from one that works.
func (s scene) become(change func(*toaws.Role)) (stile.Credential, error) {
	role := &toaws.Role{ARN: stage.FromGCP, Region: stage.Region, WebAudience: stage.ImagesAudience, Client: s.client()}
	change(role)
	return stile.Cross(s.source(), role).Credential(s.t.Context())
}

func same(*toaws.Role) {}

func (s scene) bucket(supplier stile.Supplier) *s3.Client {
	return s3.New(s3.Options{Region: stage.Region, Credentials: awscreds.Provider(supplier), HTTPClient: s.client()})
}

func TestRoleReadsWhatItMay(t *testing.T) {
	t.Parallel()
	s := set(t)
	role := &toaws.Role{ARN: stage.FromGCP, Region: stage.Region, WebAudience: stage.ImagesAudience, Client: s.client()}
	bucket := s.bucket(stile.Cross(s.source(), role))
	res, err := bucket.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(stage.Images), Key: aws.String(stage.CatName)})
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != stage.Cat {
		t.Errorf("read %q, %v", body, err)
	}
	if _, err := bucket.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(stage.Settings), Key: aws.String("credential.json")}); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("another bucket: %v, want AccessDenied", err)
	}
}

func TestSessionSaysWhoseItIs(t *testing.T) {
	t.Parallel()
	s := set(t)
	cred, err := s.become(same)
	if err != nil {
		t.Fatal(err)
	}
	want := "arn:aws:sts::" + stage.Account + ":assumed-role/from-gcp/" + stage.Resizer
	if cred.Principal != want || cred.Session.AccountID != stage.Account || cred.Kind != stile.KindAWSSession {
		t.Errorf("got %+v, want principal %s", cred, want)
	}
	if left := time.Until(cred.Expires); left > time.Hour || left < 59*time.Minute {
		t.Errorf("lives %s, want the hour that STS gives by itself", left)
	}
}

func TestRoleOptionsReachSTS(t *testing.T) {
	t.Parallel()
	s := set(t)
	t.Run("duration and session name", func(t *testing.T) {
		t.Parallel()
		cred, err := s.become(func(r *toaws.Role) { r.Duration, r.SessionName = 15*time.Minute, "nightly" })
		if err != nil {
			t.Fatal(err)
		}
		if left := time.Until(cred.Expires); left > 15*time.Minute || left < 14*time.Minute || !strings.HasSuffix(cred.Principal, "/nightly") {
			t.Errorf("lives %s as %s", left, cred.Principal)
		}
	})
	t.Run("session policy", func(t *testing.T) {
		t.Parallel()
		role := &toaws.Role{ARN: stage.FromGCP, Region: stage.Region, WebAudience: stage.ImagesAudience, Client: s.client(),
			Policy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:ListBucket","Resource":"*"}]}`}
		bucket := s.bucket(stile.Cross(s.source(), role))
		if _, err := bucket.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(stage.Images)}); err != nil {
			t.Errorf("what role and policy allow: %v", err)
		}
		if _, err := bucket.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(stage.Images), Key: aws.String(stage.CatName)}); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
			t.Errorf("what the policy leaves out: %v, want AccessDenied", err)
		}
	})
	t.Run("policy ARNs", func(t *testing.T) {
		t.Parallel()
		s := set(t)
		arn := "arn:aws:iam::" + stage.Account + ":policy/look-only"
		if err := s.World.AWS.AddManagedPolicy(arn, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:ListBucket","Resource":"*"}]}`); err != nil {
			t.Fatal(err)
		}
		role := &toaws.Role{ARN: stage.FromGCP, Region: stage.Region, WebAudience: stage.ImagesAudience, Client: s.client(), PolicyARNs: []string{arn}}
		if _, err := s.bucket(stile.Cross(s.source(), role)).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(stage.Images), Key: aws.String(stage.CatName)}); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
			t.Errorf("what the policy leaves out: %v, want AccessDenied", err)
		}
	})
	t.Run("region", func(t *testing.T) {
		t.Parallel()
		s := set(t)
		for region, host := range map[string]string{"us-east-1": "sts.us-east-1.amazonaws.com", "eu-west-1": "sts.eu-west-1.amazonaws.com"} {
			s.World.Faults.Add(lab.Fault{Host: host, Status: 503})
			_, err := s.become(func(r *toaws.Role) { r.Region = region })
			if !errors.Is(err, stile.ErrTemporary) {
				t.Errorf("%s was not asked: %v", host, err)
			}
		}
	})
}

func TestAWSRefuses(t *testing.T) {
	t.Parallel()
	s := set(t)
	cases := map[string]struct {
		change func(*toaws.Role)
		status int
		code   string
		hint   string
	}{
		"another audience":  {func(r *toaws.Role) { r.WebAudience = "https://elsewhere.example" }, 403, "AccessDenied", "oaud"},
		"default audience":  {func(r *toaws.Role) { r.WebAudience = "" }, 403, "AccessDenied", "oaud"},
		"no such role":      {func(r *toaws.Role) { r.ARN = "arn:aws:iam::" + stage.Account + ":role/gone" }, 403, "AccessDenied", "no such role"},
		"role of a service": {func(r *toaws.Role) { r.ARN = stage.Role }, 403, "AccessDenied", "trust policy"},
		"over the maximum":  {func(r *toaws.Role) { r.Duration = 2 * time.Hour }, 400, "ValidationError", "maximum session duration"},
		"policy not IAM":    {func(r *toaws.Role) { r.Policy = `{"Statement":1}` }, 400, "MalformedPolicyDocument", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := s.become(c.change)
			var e *stile.Error
			if !errors.As(err, &e) || !errors.Is(err, stile.ErrRefused) {
				t.Fatalf("got %v, want a refusal", err)
			}
			if e.Status != c.status || e.Code != c.code || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("got %d %s (hint %q), want %d %s and %q\n%v", e.Status, e.Code, e.Hint, c.status, c.code, c.hint, err)
			}
		})
	}
}

func TestExpiredTokenIsRefused(t *testing.T) {
	t.Parallel()
	s := set(t)
	token, err := s.source().SubjectToken(t.Context(), stage.ImagesAudience)
	if err != nil {
		t.Fatal(err)
	}
	s.World.SkewAWS(2 * time.Hour)
	_, err = (&toaws.Role{ARN: stage.FromGCP, Region: stage.Region, Client: s.client()}).Exchange(t.Context(), token)
	var e *stile.Error
	if !errors.As(err, &e) || e.Code != "ExpiredTokenException" || !strings.Contains(e.Hint, "clock") {
		t.Errorf("got %v", err)
	}
}

func TestMisuseAsksNoCloud(t *testing.T) {
	t.Parallel()
	s := set(t)
	cases := map[string]func(*toaws.Role){
		"no ARN":               func(r *toaws.Role) { r.ARN = "" },
		"a user's ARN":         func(r *toaws.Role) { r.ARN = "arn:aws:iam::111122223333:user/alice" },
		"a session's ARN":      func(r *toaws.Role) { r.ARN = "arn:aws:sts::111122223333:assumed-role/a/b" },
		"no region":            func(r *toaws.Role) { r.Region = "" },
		"host in region":       func(r *toaws.Role) { r.Region = "evil.example/" },
		"session name illegal": func(r *toaws.Role) { r.SessionName = "a b" },
		"session name long":    func(r *toaws.Role) { r.SessionName = strings.Repeat("a", 65) },
		"duration short":       func(r *toaws.Role) { r.Duration = time.Minute },
		"duration long":        func(r *toaws.Role) { r.Duration = 13 * time.Hour },
		"duration uneven":      func(r *toaws.Role) { r.Duration = time.Hour + time.Millisecond },
		"policy long":          func(r *toaws.Role) { r.Policy = `{"a":"` + strings.Repeat("a", 2048) + `"}` },
		"policy not JSON":      func(r *toaws.Role) { r.Policy = "{" },
		"eleven policy ARNs":   func(r *toaws.Role) { r.PolicyARNs = make([]string, 11) },
		"policy ARN malformed": func(r *toaws.Role) { r.PolicyARNs = []string{"look-only"} },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			role := &toaws.Role{ARN: stage.FromGCP, Region: stage.Region, Client: s.client()}
			change(role)
			if _, err := role.Exchange(t.Context(), stile.SubjectToken{Value: stile.NewSecret("x")}); !errors.Is(err, stile.ErrMisuse) {
				t.Errorf("got %v, want misuse", err)
			}
		})
	}
	if asked := s.World.Journal.Take(); len(asked) != 0 {
		t.Errorf("a cloud was asked: %v", asked)
	}
}

func TestSessionNameIsLegalWhateverTheSubject(t *testing.T) {
	t.Parallel()
	legal := regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
	for subject, want := range map[string]string{
		"app@demo-proj.iam.gserviceaccount.com": "app@demo-proj.iam.gserviceaccount.com",
		"104857600000000000001":                 "104857600000000000001",
		"":                                      "stile",
		"a":                                     "stile",
		"///":                                   "stile",
		"system:serviceaccount:ns:name":         "system-serviceaccount-ns-name",
		"größe @ wörk":                          "gr-e-@-w-rk",
		strings.Repeat("x", 200):                strings.Repeat("x", 64),
		"\xff\xfe\x00":                          "stile",
	} {
		got := toaws.SessionName(subject)
		if !legal.MatchString(got) {
			t.Errorf("SessionName(%q) = %q, which STS refuses", subject, got)
		}
		if got != want && !strings.Contains(subject, "ö") {
			t.Errorf("SessionName(%q) = %q, want %q", subject, got, want)
		}
	}
}

func TestFaultsAreNamedAndBounded(t *testing.T) {
	t.Parallel()
	refusal := func(code, message string) string {
		return `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>` + code + `</Code><Message>` + message + `</Message></Error></ErrorResponse>`
	}
	cases := map[string]struct {
		fault lab.Fault
		kind  error
		words string
	}{
		"throttled":        {lab.Fault{Status: 400, Body: refusal("Throttling", "Rate exceeded")}, stile.ErrTemporary, "Rate exceeded"},
		"IdP unreachable":  {lab.Fault{Status: 400, Body: refusal("IDPCommunicationError", "no")}, stile.ErrTemporary, "IDPCommunicationError"},
		"key not fetched":  {lab.Fault{Status: 400, Body: refusal("InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider")}, stile.ErrTemporary, "verification key"},
		"token is garbage": {lab.Fault{Status: 400, Body: refusal("InvalidIdentityToken", "no")}, stile.ErrRefused, "InvalidIdentityToken"},
		"unavailable":      {lab.Fault{Status: 503, Body: "<html>"}, stile.ErrTemporary, "503"},
		"cut":              {lab.Fault{Cut: true}, stile.ErrTemporary, "cannot reach"},
		"redirect":         {lab.Fault{Status: 302, Header: http.Header{"Location": {"https://evil.example/"}}}, stile.ErrRefused, "redirect"},
		"empty":            {lab.Fault{Status: 200}, stile.ErrTemporary, "cannot be read"},
		"JSON":             {lab.Fault{Status: 200, Body: `{"Credentials":{}}`}, stile.ErrTemporary, "cannot be read"},
		"no credentials":   {lab.Fault{Status: 200, Body: `<AssumeRoleWithWebIdentityResponse/>`}, stile.ErrTemporary, "part missing"},
		"truncated":        {lab.Fault{Status: 200, Body: `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>A`}, stile.ErrTemporary, "cannot be read"},
		"date is no date":  {lab.Fault{Status: 200, Body: `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><Expiration>soon</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`}, stile.ErrTemporary, "cannot be read"},
		"not UTF-8":        {lab.Fault{Status: 400, Body: refusal("A\xff", "\x1b[31m")}, stile.ErrRefused, "400"},
		"10 MB of garbage": {lab.Fault{Status: 200, Body: strings.Repeat("garbage ", 10<<20/8)}, stile.ErrTemporary, "longer than"},
		"entity bomb":      {lab.Fault{Status: 200, Body: `<!DOCTYPE a [<!ENTITY b "bb">]><AssumeRoleWithWebIdentityResponse>&b;</AssumeRoleWithWebIdentityResponse>`}, stile.ErrTemporary, "cannot be read"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := set(t)
			c.fault.Host = "sts." + stage.Region + ".amazonaws.com"
			s.World.Faults.Add(c.fault)
			_, err := s.become(same)
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.words) {
				t.Fatalf("got %.300v, want kind %v and %q", err, c.kind, c.words)
			}
			if len(err.Error()) > 2000 || strings.ContainsAny(err.Error(), "\x00\x1b") || !utf8.ValidString(err.Error()) {
				t.Errorf("the error is not fit to print: %.300q", err)
			}
		})
	}
}

func TestEchoedTokenStaysOut(t *testing.T) {
	t.Parallel()
	s := set(t)
	var token string
	s.World.Faults.Add(lab.Fault{Host: "sts." + stage.Region + ".amazonaws.com", Replace: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token = r.PostFormValue("WebIdentityToken")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>you sent %s</Message></Error></ErrorResponse>`, token)
	})})
	_, err := s.become(same)
	if err == nil || token == "" || strings.Contains(err.Error(), token) || !strings.Contains(err.Error(), "you sent [secret]") {
		t.Errorf("got %.300v, want the echo with the token cut out", err)
	}
}

func TestSilentSTSEndsAtTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := set(t)
		s.World.Faults.Add(lab.Fault{Host: "sts." + stage.Region + ".amazonaws.com", Delay: time.Hour})
		if _, err := s.become(same); !errors.Is(err, stile.ErrTemporary) || !strings.Contains(err.Error(), "no answer from AWS STS within 30s") {
			t.Errorf("got %v", err)
		}
	})
}
