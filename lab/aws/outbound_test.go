// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/google/go-cmp/cmp"

	"github.com/stile-project/stile/lab/oidc"
)

const googleAudience = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/p/providers/aws"

// tokenForm is a good call of GetWebIdentityToken, and whatever a test changes. An empty value takes a parameter out.
func tokenForm(change ...string) string {
	p := map[string]string{"Action": "GetWebIdentityToken", "Version": "2011-06-15", "Audience.member.1": googleAudience, "SigningAlgorithm": "RS256"}
	for i := 0; i+1 < len(change); i += 2 {
		p[change[i]] = change[i+1]
	}
	var pairs []string
	for name, value := range p {
		if value != "" {
			pairs = append(pairs, name, value)
		}
	}
	return fields(pairs...)
}

func (w *world) enable() string {
	w.t.Helper()
	issuer, err := w.cloud.EnableOutboundFederation(home)
	if err != nil {
		w.t.Fatal(err)
	}
	return issuer
}

func TestGetWebIdentityTokenBySDK(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"RS256", "ES384"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			issuer := w.enable()
			client := sts.New(sts.Options{Region: irishReg, HTTPClient: w.client(), Credentials: static(w.session(etlARN)), RetryMaxAttempts: 1})
			got, err := client.GetWebIdentityToken(t.Context(), &sts.GetWebIdentityTokenInput{
				Audience: []string{googleAudience}, SigningAlgorithm: aws.String(algorithm), DurationSeconds: aws.Int32(600),
				Tags: []ststypes.Tag{{Key: aws.String("team"), Value: aws.String("data")}},
			})
			if err != nil {
				t.Fatal(err)
			}
			claims, err := oidc.Verifier{Net: w, Algorithms: []string{algorithm}}.Verify(t.Context(), issuer, aws.ToString(got.WebIdentityToken))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(issuer, "https://") || !strings.HasSuffix(issuer, ".tokens.sts.global.api.aws") {
				t.Errorf("issuer %q", issuer)
			}
			if claims["iss"] != issuer || claims["aud"] != googleAudience || claims["sub"] != etlARN || claims["jti"] == nil {
				t.Errorf("claims %v", claims)
			}
			about, _ := claims["https://sts.amazonaws.com/"].(map[string]any)
			delete(about, "original_session_exp")
			want := map[string]any{"aws_account": home, "source_region": irishReg, "request_tags": map[string]any{"team": "data"}, "principal_tags": map[string]any{}}
			if diff := cmp.Diff(want, about); diff != "" {
				t.Errorf("what AWS adds (-want +got):\n%s", diff)
			}
			if left := got.Expiration.Sub(w.now()); left < 9*time.Minute || left > 10*time.Minute {
				t.Errorf("good for %v, want 10m", left)
			}
		})
	}
}

func TestGetWebIdentityTokenRefusals(t *testing.T) {
	t.Parallel()
	only := func(action, condition string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":` + action + `,"Resource":"*","Condition":` + condition + `}]}`
	}
	eleven := []string{}
	for i := range 11 {
		eleven = append(eleven, fmt.Sprintf("Audience.member.%d", i+1), "a")
	}
	for name, c := range map[string]struct {
		permissions   string
		disabled      bool
		change        []string
		status        int
		code, message string
	}{
		"not enabled":               {everything, true, nil, 403, "OutboundWebIdentityFederationDisabledException", "not enabled"},
		"no audience":               {everything, false, []string{"Audience.member.1", ""}, 400, "ValidationError", "Value null at 'audience'"},
		"eleven audiences":          {everything, false, eleven, 400, "ValidationError", "less than or equal to 10"},
		"no algorithm":              {everything, false, []string{"SigningAlgorithm", ""}, 400, "ValidationError", "'signingAlgorithm' failed to satisfy constraint: Member must not be null"},
		"another algorithm":         {everything, false, []string{"SigningAlgorithm", "HS256"}, 400, "ValidationError", "enum value set: [RS256, ES384]"},
		"59 seconds":                {everything, false, []string{"DurationSeconds", "59"}, 400, "ValidationError", "greater than or equal to 60"},
		"3601 seconds":              {everything, false, []string{"DurationSeconds", "3601"}, 400, "ValidationError", "less than or equal to 3600"},
		"longer than the session":   {everything, false, []string{"DurationSeconds", "3600"}, 403, "SessionDurationEscalationException", "beyond its original"},
		"a tag key twice":           {everything, false, []string{"Tags.member.1.Key", "a", "Tags.member.1.Value", "b", "Tags.member.2.Key", "A", "Tags.member.2.Value", "b"}, 400, "InvalidParameterValue", "Duplicate"},
		"no permission":             {"", false, nil, 403, "AccessDenied", "not authorized to perform: sts:GetWebIdentityToken"},
		"no permission for tags":    {only(`"sts:GetWebIdentityToken"`, `{}`), false, []string{"Tags.member.1.Key", "a", "Tags.member.1.Value", "b"}, 403, "AccessDenied", "sts:TagGetWebIdentityToken"},
		"another audience allowed":  {only(`"sts:*"`, `{"ForAllValues:StringEquals":{"sts:IdentityTokenAudience":"https://other.example"}}`), false, nil, 403, "AccessDenied", "sts:GetWebIdentityToken"},
		"another algorithm allowed": {only(`"sts:*"`, `{"StringEquals":{"sts:SigningAlgorithm":"ES384"}}`), false, nil, 403, "AccessDenied", "sts:GetWebIdentityToken"},
		"a shorter life allowed":    {only(`"sts:*"`, `{"NumericLessThanEquals":{"sts:DurationSeconds":"60"}}`), false, nil, 403, "AccessDenied", "sts:GetWebIdentityToken"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.enable()
			if c.disabled {
				w.cloud.DisableOutboundFederation(home)
			}
			w.role(Role{Account: home, Name: "etl", Path: "/team/", Trust: trustsEC2, Permissions: c.permissions})
			keys := w.session(etlARN)
			w.pass(time.Minute)
			w.wantRefusal(w.do(w.signed(keys, irishReg, irish, tokenForm(c.change...), 0)), c.status, c.code, c.message)
			if w.reason() == "" {
				t.Error("the journal does not say why")
			}
		})
	}
}

func TestGetWebIdentityTokenIsRegional(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.enable()
	w.wantRefusal(w.do(w.signed(w.session(etlARN), "us-east-1", "sts.amazonaws.com", tokenForm(), 0)), 400, "InvalidAction", "GetWebIdentityToken")
}

func TestPayloadTooLarge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.enable()
	var tags []string
	for i := range 50 {
		tags = append(tags, fmt.Sprintf("Tags.member.%d.Key", i+1), fmt.Sprintf("%d%s", i, strings.Repeat("k", 100)),
			fmt.Sprintf("Tags.member.%d.Value", i+1), strings.Repeat("v", 200))
	}
	w.wantRefusal(w.do(w.signed(w.session(etlARN), irishReg, irish, tokenForm(tags...), 0)), 400, "JWTPayloadSizeExceededException", "exceeds")
}

// What AWS issues for others it does not take back.
func TestOutboundTokensAssumeNoRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	issuer := w.enable()
	if err := w.cloud.AddOIDCProvider(home, issuer, "sts.amazonaws.com"); err != nil {
		t.Fatal(err)
	}
	client := sts.New(sts.Options{Region: irishReg, HTTPClient: w.client(), Credentials: static(w.session(etlARN)), RetryMaxAttempts: 1})
	token, err := client.GetWebIdentityToken(t.Context(), &sts.GetWebIdentityTokenInput{Audience: []string{"sts.amazonaws.com"}, SigningAlgorithm: aws.String("RS256")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.AssumeRoleWithWebIdentity(t.Context(), &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: aws.String(etlARN), RoleSessionName: aws.String("job"), WebIdentityToken: token.WebIdentityToken})
	var refused *ststypes.InvalidIdentityTokenException
	if !errors.As(err, &refused) {
		t.Errorf("got %v, want InvalidIdentityToken", err)
	}
}

func TestOutboundTokenNamesTheInstance(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	issuer := w.enable()
	instance := w.cloud.EC2(Instance{ID: "i-0abc123def4567890", Region: irishReg, RoleARN: etlARN, AllowV1: true})
	doc := readJSON(t, instance, "/latest/meta-data/iam/security-credentials/etl", "")
	keys := Keys{AccessKeyID: doc["AccessKeyId"].(string), SecretAccessKey: doc["SecretAccessKey"].(string), SessionToken: doc["Token"].(string)}
	client := sts.New(sts.Options{Region: irishReg, HTTPClient: w.client(), Credentials: static(keys)})
	token, err := client.GetWebIdentityToken(t.Context(), &sts.GetWebIdentityTokenInput{Audience: []string{"a", "b"}, SigningAlgorithm: aws.String("RS256")})
	if err != nil {
		t.Fatal(err)
	}
	claims, err := oidc.Verifier{Net: w}.Verify(t.Context(), issuer, aws.ToString(token.WebIdentityToken))
	if err != nil {
		t.Fatal(err)
	}
	about, _ := claims["https://sts.amazonaws.com/"].(map[string]any)
	if about["ec2_source_instance_arn"] != "arn:aws:ec2:eu-west-1:111122223333:instance/i-0abc123def4567890" || about["ec2_role_delivery"] != "2.0" {
		t.Errorf("got %v", about)
	}
	if diff := cmp.Diff([]any{"a", "b"}, claims["aud"]); diff != "" {
		t.Errorf("two audiences (-want +got):\n%s", diff)
	}
}

func TestOutboundIssuerIsStable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.enable()
	w.cloud.DisableOutboundFederation(home)
	if again := w.enable(); again != first {
		t.Errorf("enabled again, the issuer is %s, was %s", again, first)
	}
	if _, err := w.cloud.EnableOutboundFederation("1"); err == nil {
		t.Error("account 1 was taken")
	}
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/jwks.json"} {
		res, err := w.client().Get(first + path)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Errorf("%s: %v, %v", path, res, err)
		}
	}
}
