// SPDX-License-Identifier: Apache-2.0

package awschain_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/from/aws/awschain"
	"github.com/stile-project/stile/lab"
	labaws "github.com/stile-project/stile/lab/aws"
	"github.com/stile-project/stile/lab/stage"
)

const (
	podRole  = "arn:aws:iam::" + stage.Account + ":role/pod-role"
	irsaRole = "arn:aws:iam::" + stage.Account + ":role/irsa-role"
)

// variables makes an environment of its own for a search.
func variables(v map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := v[name]
		return value, ok
	}
}

func with(v map[string]string, more ...string) map[string]string {
	v = maps.Clone(v)
	for i := 0; i+1 < len(more); i += 2 {
		v[more[i]] = more[i+1]
	}
	return v
}

// hosts are handlers that stand beside the lab, by HOST:PORT or host name; the lab answers for the rest.
type hosts struct {
	beside map[string]http.Handler
	lab    http.RoundTripper
}

func (h hosts) RoundTrip(req *http.Request) (*http.Response, error) {
	handler, ok := h.beside[req.URL.Host]
	if !ok {
		return h.lab.RoundTrip(req)
	}
	in := req.Clone(req.Context())
	in.Host, in.RemoteAddr = req.URL.Host, "127.0.0.1:1"
	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, in)
	res := rec.Result()
	res.Request = req
	return res, nil
}

func (s scene) cluster() *labaws.ClusterServer {
	s.t.Helper()
	a := s.World.AWS
	cluster, err := a.EKS(labaws.Cluster{Account: stage.Account, Name: "prod", Region: stage.Region})
	if err != nil {
		s.t.Fatal(err)
	}
	issuer := strings.TrimPrefix(cluster.Issuer(), "https://")
	for _, err := range []error{
		a.AddRole(labaws.Role{Account: stage.Account, Name: "pod-role", Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`}),
		a.AddRole(labaws.Role{Account: stage.Account, Name: "irsa-role", Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::` + stage.Account + `:oidc-provider/` + issuer + `"},
			"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"` + issuer + `:sub":"system:serviceaccount:shop:orders","` + issuer + `:aud":"sts.amazonaws.com"}}}]}`}),
		a.AddOIDCProvider(stage.Account, cluster.Issuer(), "sts.amazonaws.com"),
		cluster.Associate("shop", "orders", podRole),
	} {
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return cluster
}

func (s scene) settle(e labaws.Environment, err error) map[string]string {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	settled, err := e.Settle(s.t.TempDir(), "")
	if err != nil {
		s.t.Fatal(err)
	}
	return settled
}

// ec2Task is a task on EC2, which tells its region in its metadata alone.
func (s scene) ec2Task() *labaws.TaskServer {
	return s.World.AWS.ECS(labaws.Task{ID: "0a1b2c3d4e5f60718293a4b5c6d7e8f9", Region: "eu-central-1", RoleARN: stage.Role})
}

// TestFindInEveryPlace stands in each place of AWS, with what a workload finds there and no more, and asks whom Google
// saw.
func TestFindInEveryPlace(t *testing.T) {
	t.Parallel()
	type here struct {
		env   map[string]string
		place *lab.Place
		hosts map[string]http.Handler
	}
	for name, c := range map[string]struct {
		stand        func(scene) here
		arn, region  string
		place, found string // of the step that is used
	}{
		"EC2": {func(s scene) here { return here{place: s.EC2} }, ":assumed-role/etl-role/i-", stage.Region, "instance metadata", "169.254.169.254"},
		"ECS on EC2": {func(s scene) here {
			task := s.ec2Task()
			return here{env: s.settle(task.Environment(), nil), place: &lab.Place{Container: task}}
		}, ":assumed-role/etl-role/0a1b2c", "eu-central-1", "container endpoint", "RELATIVE_URI at 169.254.170.2"},
		"Fargate": {func(s scene) here { return here{env: s.settle(s.Task.Environment(), nil), place: s.ECS} },
			":assumed-role/etl-role/3f2a", stage.Region, "container endpoint", "RELATIVE_URI at 169.254.170.2"},
		"EKS Pod Identity": {func(s scene) here {
			cluster := s.cluster()
			return here{env: s.settle(cluster.PodIdentity("shop", "orders")), place: &lab.Place{Agent: cluster, Metadata: s.EC2.Metadata}}
		}, ":assumed-role/pod-role/eks-prod-orders-", stage.Region, "container endpoint", "FULL_URI at 169.254.170.23"},
		"IRSA": {func(s scene) here {
			return here{env: with(s.settle(s.cluster().IRSA("shop", "orders", irsaRole)), "AWS_ROLE_SESSION_NAME", "orders"), place: s.EC2}
		}, ":assumed-role/irsa-role/orders", stage.Region, "web identity", "for role " + irsaRole},
		"Lambda": {func(s scene) here {
			return here{env: s.settle(s.World.AWS.Lambda(labaws.Function{Name: "hello", Region: "eu-west-3", RoleARN: stage.Role}).Environment())}
		}, ":assumed-role/etl-role/hello", "eu-west-3", "environment", "AWS_ACCESS_KEY_ID is ASIA"},
		"Lambda with SnapStart": {func(s scene) here {
			f := s.World.AWS.Lambda(labaws.Function{Name: "hello", Region: "eu-west-3", RoleARN: stage.Role, SnapStart: true})
			return here{env: s.settle(f.Environment()), hosts: map[string]http.Handler{"127.0.0.1:9001": f}}
		}, ":assumed-role/etl-role/hello", "eu-west-3", "container endpoint", "FULL_URI at 127.0.0.1:9001"},
		"a pod that may have the node's role": {func(s scene) here {
			return here{env: with(s.settle(s.cluster().Pod("shop", "orders")), "allow", "true"), place: s.EC2}
		}, ":assumed-role/etl-role/i-", stage.Region, "instance metadata", "169.254.169.254"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := set(t)
			h := c.stand(s)
			client := &http.Client{Transport: hosts{h.hosts, s.World.Network(h.place)}}
			o := awschain.Options{Client: client, Lookup: variables(h.env), Root: t.TempDir(), AllowNodeRole: h.env["allow"] != ""}
			found := s.find(o)
			if region, err := found.Region(t.Context()); err != nil || region != c.region {
				t.Errorf("region %q, %v, want %q", region, err, c.region)
			}
			if got := s.arn(found); !strings.Contains(got, c.arn) {
				t.Errorf("Google saw %q, want %q", got, c.arn)
			}
			report := awschain.Search(t.Context(), o)
			if report.Err != nil {
				t.Error(report.Err)
			}
			for _, step := range report.Steps {
				if (step.State == awschain.Used) != (step.Place == c.place || step.Place == "region") {
					t.Errorf("%s: %s (%s)", step.Place, step.State, step.Detail)
				}
				if step.Place == c.place && !strings.Contains(step.Detail, c.found) {
					t.Errorf("%s: %q does not say %q", step.Place, step.Detail, c.found)
				}
			}
		})
	}
}

func TestPodDoesNotTakeTheNodesRole(t *testing.T) {
	t.Parallel()
	for name, pod := range map[string]func(scene, *awschain.Options){
		"told by a variable": func(s scene, o *awschain.Options) { o.Lookup = variables(s.settle(s.cluster().Pod("shop", "orders"))) },
		"told by a folder": func(s scene, o *awschain.Options) {
			if err := os.MkdirAll(filepath.Join(o.Root, "var/run/secrets/kubernetes.io/serviceaccount"), 0o700); err != nil {
				s.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := set(t)
			o := awschain.Options{Client: s.at(s.EC2), Root: t.TempDir(), Lookup: variables(nil)}
			pod(s, &o)
			s.World.Journal.Take()
			_, err := s.find(o).SubjectToken(t.Context(), "//iam.googleapis.com/"+stage.Provider)
			if !errors.Is(err, stile.ErrNoIdentity) {
				t.Errorf("got %v, want no identity", err)
			}
			var e *stile.Error
			for _, words := range []string{"Kubernetes pod", "node's role", "IRSA", "Pod Identity"} {
				if !errors.As(err, &e) || !strings.Contains(e.Error()+e.Hint, words) {
					t.Errorf("%v does not speak of %s", err, words)
				}
			}
			for _, asked := range s.World.Journal.Take() {
				if strings.Contains(asked.Operation, "security-credentials") {
					t.Errorf("the node's credentials were asked for: %s", asked.Operation)
				}
			}
		})
	}
}

// Someone who names another metadata endpoint has put a broker there, and not the node.
func TestPodWithABroker(t *testing.T) {
	t.Parallel()
	s := set(t)
	broker := "http://127.0.0.1:8181"
	client := &http.Client{Transport: hosts{map[string]http.Handler{"127.0.0.1:8181": s.Other.Metadata}, s.World.Network(s.EC2)}}
	env := with(s.settle(s.cluster().Pod("shop", "orders")), "AWS_EC2_METADATA_SERVICE_ENDPOINT", broker)
	if got := s.arn(s.find(awschain.Options{Client: client, Lookup: variables(env)})); !strings.Contains(got, ":assumed-role/other-role/") {
		t.Errorf("Google saw %q", got)
	}
}

// file writes a shared configuration and gives the variables that name it.
func (s scene) file(content string, more ...string) map[string]string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "config")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return with(map[string]string{"AWS_CONFIG_FILE": path, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull}, more...)
}

func (s scene) keys(role, session string) labaws.Keys {
	s.t.Helper()
	keys, err := s.World.AWS.Session(role, session, time.Hour)
	if err != nil {
		s.t.Fatal(err)
	}
	return keys
}

func inFile(k labaws.Keys) string {
	return "aws_access_key_id = " + k.AccessKeyID + "\naws_secret_access_key = " + k.SecretAccessKey + "\naws_session_token = " + k.SessionToken + "\n"
}

func inVariables(k labaws.Keys) map[string]string {
	return map[string]string{"AWS_ACCESS_KEY_ID": k.AccessKeyID, "AWS_SECRET_ACCESS_KEY": k.SecretAccessKey, "AWS_SESSION_TOKEN": k.SessionToken, "AWS_REGION": stage.Region}
}

// trusting adds a role that another may assume.
func (s scene) trusting(name, principal, actions, condition string) string {
	s.t.Helper()
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":[` + actions + `],"Condition":` + condition + `}]}`
	if err := s.World.AWS.AddRole(labaws.Role{Account: stage.Account, Name: name, Trust: trust}); err != nil {
		s.t.Fatal(err)
	}
	return "arn:aws:iam::" + stage.Account + ":role/" + name
}

const justAssume = `"sts:AssumeRole"`

func TestFindByProfile(t *testing.T) {
	t.Parallel()
	script := func(s scene, body string) string {
		path := filepath.Join(s.t.TempDir(), "helper")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o700); err != nil {
			s.t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		env func(scene) map[string]string
		arn string
	}{
		"keys of the default profile": {func(s scene) map[string]string {
			return s.file("[default]\nregion = eu-west-1\n" + inFile(s.keys(stage.OtherRole, "by-file")))
		}, ":assumed-role/other-role/by-file"},
		"credential_process": {func(s scene) map[string]string {
			k := s.keys(stage.OtherRole, "by-process")
			helper := script(s, fmt.Sprintf(`echo '{"Version":1,"AccessKeyId":"%s","SecretAccessKey":"%s","SessionToken":"%s"}'`, k.AccessKeyID, k.SecretAccessKey, k.SessionToken))
			return s.file("[profile work]\nregion = eu-west-1\ncredential_process = "+helper+"\n", "AWS_PROFILE", "work")
		}, ":assumed-role/other-role/by-process"},
		"a chain of two roles": {func(s scene) map[string]string {
			second := s.trusting("second-role", stage.Role, justAssume, `{"StringEquals":{"sts:ExternalId":"x1"}}`)
			third := s.trusting("third-role", second, justAssume, `{}`)
			return s.file("[profile base]\n"+inFile(s.keys(stage.Role, "base"))+"[profile mid]\nregion = eu-west-1\nsource_profile = base\nrole_arn = "+second+"\nexternal_id = x1\n"+
				"[profile top]\nregion = eu-west-1\nsource_profile = mid\nrole_arn = "+third+"\nrole_session_name = chained\n", "AWS_PROFILE", "top")
		}, ":assumed-role/third-role/chained"},
		"credential_source": {func(s scene) map[string]string {
			second := s.trusting("second-role", stage.Role, justAssume, `{}`)
			return s.file("[profile work]\nregion = eu-west-1\ncredential_source = Ec2InstanceMetadata\nrole_arn = "+second+"\nrole_session_name = sourced\n", "AWS_PROFILE", "work")
		}, ":assumed-role/second-role/sourced"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := set(t)
			env := c.env(s)
			if got := s.arn(s.find(awschain.Options{Client: s.at(s.EC2), Lookup: variables(env)})); !strings.Contains(got, c.arn) {
				t.Errorf("Google saw %q, want %q", got, c.arn)
			}
		})
	}
}

func TestFindBySignOn(t *testing.T) {
	for name, older := range map[string]bool{"with a session": false, "the older form": true} {
		t.Run(name, func(t *testing.T) {
			s := set(t)
			person := labaws.SignOn{StartURL: "https://d-1234567890.awsapps.com/start", Region: stage.Region, User: "robin@example.com",
				Account: stage.Account, PermissionSet: "Developer", RoleARN: stage.OtherRole, WithoutSession: older}
			env := s.settle(s.World.AWS.SignIn(person))
			t.Setenv("HOME", env["HOME"]) // where the AWS SDK looks for the token
			o := awschain.Options{Client: s.at(nil), Lookup: variables(env)}
			if got := s.arn(s.find(o)); !strings.HasSuffix(got, ":assumed-role/other-role/robin@example.com") {
				t.Errorf("Google saw %q", got)
			}

			person.Life = -time.Minute
			ended := s.settle(s.World.AWS.SignIn(person))
			t.Setenv("HOME", ended["HOME"])
			o.Lookup = variables(ended)
			_, err := s.find(o).SubjectToken(t.Context(), "a")
			var e *stile.Error
			if !errors.Is(err, stile.ErrNoIdentity) || !errors.As(err, &e) || !strings.Contains(e.Hint, "aws sso login --profile dev") {
				t.Errorf("a sign-on that ended: got %v, hint %q", err, e.Hint)
			}

			person.Life = 0
			wrong := s.settle(s.World.AWS.SignIn(person))
			t.Setenv("HOME", wrong["HOME"])
			content, err := os.ReadFile(wrong["AWS_CONFIG_FILE"])
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(wrong["AWS_CONFIG_FILE"], []byte(strings.Replace(string(content), "Developer", "Administrator", 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			o.Lookup = variables(wrong)
			if _, err := s.find(o).SubjectToken(t.Context(), "a"); !errors.Is(err, stile.ErrRefused) || !strings.Contains(err.Error(), "ForbiddenException") {
				t.Errorf("another permission set: got %v", err)
			}
		})
	}
}

func TestMFA(t *testing.T) {
	t.Parallel()
	s := set(t)
	user, err := s.World.AWS.AddUser(stage.Account, "alice", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	device, err := s.World.AWS.AddMFADevice(stage.Account, "alice")
	if err != nil {
		t.Fatal(err)
	}
	careful := s.trusting("careful-role", stage.Account, justAssume, `{"Bool":{"aws:MultiFactorAuthPresent":"true"}}`)
	profile := s.file("[profile base]\naws_access_key_id = "+user.AccessKeyID+"\naws_secret_access_key = "+user.SecretAccessKey+"\n"+
		"[profile careful]\nregion = eu-west-1\nsource_profile = base\nrole_arn = "+careful+"\nrole_session_name = mfa\nmfa_serial = "+device.Serial()+"\n", "AWS_PROFILE", "careful")
	byProfile := awschain.Options{Client: s.at(nil), Lookup: variables(profile)}
	keys := inVariables(user)
	delete(keys, "AWS_SESSION_TOKEN")
	byOption := awschain.Options{Client: s.at(nil), Lookup: variables(keys), AssumeRole: []awschain.AssumeRole{{Role: careful, SessionName: "mfa", MFASerial: device.Serial()}}}

	codes := 0
	for name, o := range map[string]awschain.Options{"by profile": byProfile, "by option": byOption} {
		o.Root = t.TempDir()
		found, err := awschain.Find(t.Context(), o)
		if err == nil {
			_, err = found.SubjectToken(t.Context(), "a")
		}
		if !errors.Is(err, stile.ErrMisuse) || !strings.Contains(err.Error(), "mfa_serial") || !strings.Contains(err.Error(), device.Serial()) {
			t.Errorf("%s, nobody to ask: got %v", name, err)
		}
		o.MFA = func(serial string) (string, error) {
			if serial != device.Serial() {
				t.Errorf("asked for the code of %q", serial)
			}
			codes++
			return " " + s.code(device, codes) + "\n", nil
		}
		if got := s.arn(s.find(o)); !strings.HasSuffix(got, ":assumed-role/careful-role/mfa") {
			t.Errorf("%s: Google saw %q", name, got)
		}
		o.MFA = func(string) (string, error) { return "a b", nil }
		if _, err := s.find(o).SubjectToken(t.Context(), "a"); !errors.Is(err, stile.ErrMisuse) || !strings.Contains(err.Error(), "6 digits") {
			t.Errorf("%s, not a code: got %v", name, err)
		}
		o.MFA = func(string) (string, error) { return "", errors.New("the terminal went away") }
		if _, err := s.find(o).SubjectToken(t.Context(), "a"); !errors.Is(err, stile.ErrNoIdentity) || !strings.Contains(err.Error(), "went away") {
			t.Errorf("%s, no answer: got %v", name, err)
		}
	}
}

// code is what the device shows. None is good twice, so the second time AWS's clock is a minute on.
func (s scene) code(d *labaws.MFADevice, n int) string {
	s.World.SkewAWS(time.Duration(n-1) * time.Minute)
	return d.Code()
}
