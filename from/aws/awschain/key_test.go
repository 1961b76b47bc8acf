// SPDX-License-Identifier: Apache-2.0

package awschain_test

import (
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/from/aws/awschain"
	"github.com/stile-project/stile/lab"
	labaws "github.com/stile-project/stile/lab/aws"
	"github.com/stile-project/stile/lab/stage"
)

var _ stile.Identified = (*awschain.Found)(nil)

// put writes a file, a new one where path is empty, and gives its path.
func put(t *testing.T, path, content string) string {
	t.Helper()
	if path == "" {
		path = filepath.Join(t.TempDir(), "file")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func webToken(claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256"}`)) + "." + encode([]byte(claims)) + "." + encode([]byte("signature"))
}

// podToken is one of a pod's tokens: all that changes when the kubelet renews it is when.
func podToken(pod string, when string) string {
	return webToken(`{"iss":"https://oidc.example","sub":"system:serviceaccount:shop:orders","aud":["sts.amazonaws.com"],"exp":1` + when + `,"iat":` + when + `,"nbf":` + when +
		`,"jti":"` + when + `","kubernetes.io":{"namespace":"shop","pod":{"name":"` + pod + `","uid":"` + pod + `"},"serviceaccount":{"name":"orders"},"warnafter":` + when + `}}`)
}

// keyIn is what a process with these variables, and nothing else around it, keeps credentials under.
func keyIn(t *testing.T, env map[string]string) stile.Key {
	t.Helper()
	found, err := awschain.Find(t.Context(), awschain.Options{Lookup: variables(env), Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if token := found.WebIdentityToken().CacheKey(); token.IsZero() != found.CacheKey().IsZero() {
		t.Error("one proof has a key and the other has none")
	}
	return found.CacheKey()
}

// differ fails unless both keys are there, and differ.
func differ(t *testing.T, one, two stile.Key) {
	t.Helper()
	if one.IsZero() || two.IsZero() || one == two {
		t.Errorf("keys %s and %s: want two, or what is kept for one identity is given to the other", one, two)
	}
}

func agree(t *testing.T, one, two stile.Key) {
	t.Helper()
	if one.IsZero() || one != two {
		t.Errorf("keys %s and %s: want one", one, two)
	}
}

func TestProfileEditedToAnotherAccountIsNotServedTheOldOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const of = "[profile work]\nregion = eu-west-1\nsource_profile = base\nrole_arn = "
	env := map[string]string{"AWS_PROFILE": "work", "AWS_CONFIG_FILE": put(t, filepath.Join(dir, "config"), of+stage.Role+"\n"),
		"AWS_SHARED_CREDENTIALS_FILE": put(t, filepath.Join(dir, "credentials"), "[base]\naws_access_key_id = AKIA1\naws_secret_access_key = x\n")}
	before := keyIn(t, env)
	agree(t, before, keyIn(t, env))

	put(t, env["AWS_CONFIG_FILE"], of+"arn:aws:iam::444455556666:role/etl-role\n")
	config := keyIn(t, env)
	differ(t, before, config)
	put(t, env["AWS_SHARED_CREDENTIALS_FILE"], "[base]\naws_access_key_id = AKIA2\naws_secret_access_key = x\n")
	differ(t, config, keyIn(t, env))
}

func TestAnotherProfileIsNotServedTheFirst(t *testing.T) {
	t.Parallel()
	config := put(t, "", "[profile one]\naws_access_key_id = AKIA1\naws_secret_access_key = x\n[profile two]\naws_access_key_id = AKIA2\naws_secret_access_key = x\n")
	env := map[string]string{"AWS_CONFIG_FILE": config, "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(t.TempDir(), "none"), "AWS_PROFILE": "one"}
	one := keyIn(t, env)
	differ(t, one, keyIn(t, with(env, "AWS_PROFILE", "two")))
	elsewhere := put(t, "", "[profile one]\naws_access_key_id = AKIA3\naws_secret_access_key = x\n")
	differ(t, one, keyIn(t, with(env, "AWS_CONFIG_FILE", elsewhere)))
}

// A profile may take its identity from what is in no file of AWS's.
func TestProfileKeyCoversWhereItsChainEnds(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	for name, c := range map[string]struct {
		section       string
		one, two      []string // variables
		before, after string   // what the token file holds
	}{
		"variables": {section: "credential_source = Environment", one: []string{"AWS_ACCESS_KEY_ID", "AKIA1", "AWS_SECRET_ACCESS_KEY", "x"},
			two: []string{"AWS_ACCESS_KEY_ID", "AKIA2", "AWS_SECRET_ACCESS_KEY", "x"}},
		"container": {section: "credential_source = EcsContainer", one: []string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/1"}, two: []string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/2"}},
		"container's token": {section: "credential_source = EcsContainer", one: []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "1"},
			two: []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "2"}},
		"instance": {section: "credential_source = Ec2InstanceMetadata", one: []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1"},
			two: []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:2"}},
		"token file": {section: "web_identity_token_file = " + token, before: podToken("a", "1"), after: podToken("b", "1")},
	} {
		t.Run(name, func(t *testing.T) {
			// The profile is named in code, or keys in variables would come first.
			key := func(env []string) stile.Key {
				for i := 0; i+1 < len(env); i += 2 {
					t.Setenv(env[i], env[i+1]) // the AWS SDK looks for itself whether a container's are set
				}
				path := put(t, "", "[profile work]\nregion = eu-west-1\nrole_arn = "+stage.Role+"\n"+c.section+"\n[profile chained]\nregion = eu-west-1\nsource_profile = work\nrole_arn = "+stage.OtherRole+"\n")
				all := with(map[string]string{"AWS_CONFIG_FILE": path, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull}, env...)
				found, err := awschain.Find(t.Context(), awschain.Options{Profile: "chained", Lookup: variables(all), Root: t.TempDir()})
				if err != nil {
					t.Fatal(err)
				}
				return found.CacheKey()
			}
			if c.before != "" {
				put(t, token, c.before)
			}
			one := key(c.one)
			agree(t, one, key(c.one))
			if c.after != "" {
				put(t, token, c.after)
			}
			differ(t, one, key(c.two))
		})
	}
}

func TestTwoPeopleOfOneSignOnDoNotShare(t *testing.T) {
	s := set(t)
	signIn := func(user string) map[string]string {
		return s.settle(s.World.AWS.SignIn(labaws.SignOn{StartURL: "https://d-1234567890.awsapps.com/start", Region: stage.Region, User: user,
			Account: stage.Account, PermissionSet: "Developer", RoleARN: stage.OtherRole}))
	}
	one, two := signIn("robin@example.com"), signIn("kim@example.com")
	t.Setenv("HOME", one["HOME"]) // where the AWS SDK looks for the token
	two["AWS_CONFIG_FILE"] = one["AWS_CONFIG_FILE"]
	first := keyIn(t, one)
	agree(t, first, keyIn(t, one))
	t.Setenv("HOME", two["HOME"])
	differ(t, first, keyIn(t, two))
	t.Setenv("HOME", t.TempDir())
	if key := keyIn(t, one); !key.IsZero() {
		t.Error("nobody has signed on, and there is a key")
	}
}

func TestProcessIsTakenAtItsNameUnlessTheShellCompletesIt(t *testing.T) {
	t.Parallel()
	key := func(command string) stile.Key {
		return keyIn(t, map[string]string{"AWS_CONFIG_FILE": put(t, "", "[default]\ncredential_process = "+command+"\n"), "AWS_SHARED_CREDENTIALS_FILE": os.DevNull})
	}
	agree(t, key("/bin/helper --account 1"), key("/bin/helper --account 1"))
	differ(t, key("/bin/helper --account 1"), key("/bin/helper --account 2"))
	for _, command := range []string{"/bin/helper --account $ACCOUNT", "/bin/helper `whoami`", "helper %ACCOUNT%"} {
		if got := key(command); !got.IsZero() {
			t.Errorf("%s has a key, whatever the environment", command)
		}
	}
}

func TestTwoPodsWithOneTokenPathDoNotShare(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	for name, env := range map[string]map[string]string{
		"web identity": {"AWS_WEB_IDENTITY_TOKEN_FILE": path, "AWS_ROLE_ARN": irsaRole, "AWS_REGION": stage.Region},
		"pod identity": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": path},
	} {
		t.Run(name, func(t *testing.T) {
			put(t, path, podToken("a", "1")+"\n")
			before := keyIn(t, env)
			put(t, path, podToken("a", "2"))
			agree(t, before, keyIn(t, env))
			put(t, path, podToken("b", "2"))
			differ(t, before, keyIn(t, env))

			put(t, path, "opaque")
			opaque := keyIn(t, env)
			differ(t, before, opaque)
			put(t, path, "another")
			differ(t, opaque, keyIn(t, env))
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if got := keyIn(t, env); !got.IsZero() {
				t.Error("there is no token, and there is a key")
			}
		})
	}
}

func TestVariablesThatChangeTheIdentityAreInTheKey(t *testing.T) {
	t.Parallel()
	keys := map[string]string{"AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": "x", "AWS_SESSION_TOKEN": "y", "AWS_REGION": stage.Region}
	endpoint := map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "1"}
	pod := map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": put(t, "", podToken("a", "1")), "AWS_ROLE_ARN": irsaRole}
	for name, c := range map[string]struct {
		env  map[string]string
		more []string
	}{
		"access key":    {keys, []string{"AWS_ACCESS_KEY_ID", "AKIA2"}},
		"secret":        {keys, []string{"AWS_SECRET_ACCESS_KEY", "z"}},
		"session token": {keys, []string{"AWS_SESSION_TOKEN", "z"}},
		"region":        {keys, []string{"AWS_REGION", "cn-north-1"}},
		"role":          {pod, []string{"AWS_ROLE_ARN", podRole}},
		"session name":  {pod, []string{"AWS_ROLE_SESSION_NAME", "other"}},
		"STS":           {pod, []string{"AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1"}},
		"endpoint":      {endpoint, []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:2/"}},
		"its token":     {endpoint, []string{"AWS_CONTAINER_AUTHORIZATION_TOKEN", "2"}},
		"STS in a file": {with(pod, "AWS_CONFIG_FILE", put(t, "", "[default]\nregion = eu-west-1\n")), []string{"AWS_CONFIG_FILE", put(t, "", "[default]\nregion = eu-west-1\nendpoint_url = http://127.0.0.1:1\n")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			agree(t, keyIn(t, c.env), keyIn(t, c.env))
			differ(t, keyIn(t, c.env), keyIn(t, with(c.env, c.more...)))
		})
	}
}

// In a pod, what another process was given of the node's role is not for one that was not.
func TestKeptNodeRoleIsNotForAPodThatMayNotHaveIt(t *testing.T) {
	t.Parallel()
	key := func(allow bool) stile.Key {
		found, err := awschain.Find(t.Context(), awschain.Options{Lookup: variables(map[string]string{"KUBERNETES_SERVICE_HOST": "10.0.0.1"}), Root: t.TempDir(), AllowNodeRole: allow})
		if err != nil {
			t.Fatal(err)
		}
		return found.CacheKey()
	}
	differ(t, key(true), key(false))
}

func TestFilesThatCannotBeReadShareWithNobody(t *testing.T) {
	t.Parallel()
	long := put(t, "", "[default]\naws_access_key_id = AKIA1\naws_secret_access_key = x\n"+strings.Repeat("# and so on\n", 100_000))
	if key := keyIn(t, map[string]string{"AWS_CONFIG_FILE": long, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull}); !key.IsZero() {
		t.Error("a file that was read in part has a key")
	}
}

// Whatever client makes the requests, it asks STS too. The instance is the session's name.
func TestFoundProvesItself(t *testing.T) {
	t.Parallel()
	s := set(t)
	instance := func(id string) *lab.Place {
		return &lab.Place{Metadata: s.World.AWS.EC2(labaws.Instance{ID: id, Region: stage.Region, Zone: stage.Region + "a", RoleARN: stage.Role})}
	}
	prove := func(o awschain.Options, role bool) stile.Key {
		t.Helper()
		o.Lookup = variables(nil)
		key, err := s.find(o).Identity(t.Context(), stage.Provider, role)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	one, two := awschain.Options{Client: s.at(instance("i-0000000000000000a"))}, awschain.Options{Client: wrapped{s.at(instance("i-0000000000000000b"))}}
	agree(t, prove(one, false), prove(one, false))
	differ(t, prove(one, false), prove(two, false))
	agree(t, prove(one, true), prove(two, true))

	second := s.trusting("second-role", stage.Role, justAssume, `{}`)
	one.AssumeRole = []awschain.AssumeRole{{Role: second, SessionName: "first"}}
	two.AssumeRole = []awschain.AssumeRole{{Role: second, SessionName: "second"}}
	differ(t, prove(one, false), prove(two, false))
	agree(t, prove(one, true), prove(two, true))
	differ(t, prove(one, true), prove(awschain.Options{Client: one.Client}, true))
}

type wrapped struct{ inner *http.Client }

func (w wrapped) Do(req *http.Request) (*http.Response, error) { return w.inner.Do(req) }

func TestFoundHasAClientOfTheStandardLibrary(t *testing.T) {
	t.Parallel()
	own := &http.Client{}
	if got := findWith(t, own).Client; got != own {
		t.Error("a client of the standard library was replaced")
	}
	sdk := awshttp.NewBuildableClient().WithTimeout(3 * time.Second).WithTransportOptions(func(tr *http.Transport) { tr.MaxIdleConns = 7 })
	got := findWith(t, sdk).Client
	if tr, ok := got.Transport.(*http.Transport); !ok || tr.MaxIdleConns != 7 || got.Timeout != 3*time.Second {
		t.Errorf("the AWS SDK's client lost its settings: %+v", got)
	}
}

func findWith(t *testing.T, client awsClient) *awschain.Found {
	t.Helper()
	found, err := awschain.Find(t.Context(), awschain.Options{Client: client, Lookup: variables(nil), Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

type awsClient interface {
	Do(*http.Request) (*http.Response, error)
}
