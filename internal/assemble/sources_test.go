// SPDX-License-Identifier: Apache-2.0

package assemble_test

import (
	"crypto/rand"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/assemble"
	"github.com/stile-project/stile/lab"
	labaws "github.com/stile-project/stile/lab/aws"
	labgcp "github.com/stile-project/stile/lab/gcp"
	"github.com/stile-project/stile/lab/stage"
)

// A source is a row of the table: a place where a workload runs, or an issuer that it shows a token of.
type source struct {
	name string
	set  func(t *testing.T, w *stage.Wide) place
}

// A place is what a workload has around it there, and what both clouds let it do.
type place struct {
	from         func(cloud) config.From
	surroundings assemble.Surroundings
	reaches      map[cloud]bool

	provider, account, bucket, directBucket, function string
	role, s3                                          string
	tokenAudience                                     string
}

func surroundings(w *stage.Wide, p *lab.Place, env map[string]string) assemble.Surroundings {
	client := &http.Client{Transport: loopbackOr{w.World.Network(p)}}
	return assemble.Surroundings{Client: client, AWSClient: client, LinkLocal: client, AllowExecutables: true, Warn: func(string) {},
		Lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}
}

// loopbackOr reaches what really listens on loopback, and the lab for all else.
type loopbackOr struct{ lab http.RoundTripper }

func (l loopbackOr) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Hostname() == "127.0.0.1" {
		return http.DefaultTransport.RoundTrip(req)
	}
	return l.lab.RoundTrip(req)
}

var sources = []source{
	{"EC2", func(t *testing.T, w *stage.Wide) place { return caller(t, w, w.EC2, nil) }},
	{"ECS and Fargate", func(t *testing.T, w *stage.Wide) place {
		address := serve(t, w.Task)
		return caller(t, w, nil, map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://" + address + w.Task.CredentialsPath(),
			"ECS_CONTAINER_METADATA_URI_V4": "http://" + address + w.Task.MetadataPath()})
	}},
	{"EKS Pod Identity", func(t *testing.T, w *stage.Wide) place {
		cluster := eks(t, w)
		if err := cluster.Associate("etl", "warehouse", stage.Role); err != nil {
			t.Fatal(err)
		}
		return settled(t, w, serve(t, cluster), func() (labaws.Environment, error) { return cluster.PodIdentity("etl", "warehouse") })
	}},
	{"EKS with IRSA", func(t *testing.T, w *stage.Wide) place {
		cluster := eks(t, w)
		return settled(t, w, "", func() (labaws.Environment, error) { return cluster.IRSA("etl", "warehouse", stage.Role) })
	}},
	{"Lambda", func(t *testing.T, w *stage.Wide) place {
		f := w.World.AWS.Lambda(labaws.Function{Name: "resize", Region: stage.Region, RoleARN: stage.Role})
		return settled(t, w, "", f.Environment)
	}},
	{"Lambda with SnapStart", func(t *testing.T, w *stage.Wide) place {
		f := w.World.AWS.Lambda(labaws.Function{Name: "resize", Region: stage.Region, RoleARN: stage.Role, SnapStart: true})
		return settled(t, w, serve(t, f), f.Environment)
	}},
	{"AWS keys in the environment", func(t *testing.T, w *stage.Wide) place {
		keys, err := w.World.AWS.Session(stage.Role, "by-env", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return caller(t, w, nil, map[string]string{"AWS_ACCESS_KEY_ID": keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY": keys.SecretAccessKey,
			"AWS_SESSION_TOKEN": keys.SessionToken, "AWS_REGION": stage.Region})
	}},
	{"an AWS profile", func(t *testing.T, w *stage.Wide) place {
		keys, err := w.World.AWS.Session(stage.Role, "by-profile", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		file := write(t, "[profile work]\nregion = "+stage.Region+"\naws_access_key_id = "+keys.AccessKeyID+"\naws_secret_access_key = "+
			keys.SecretAccessKey+"\naws_session_token = "+keys.SessionToken+"\n")
		return caller(t, w, nil, map[string]string{"AWS_CONFIG_FILE": file, "AWS_PROFILE": "work"})
	}},
	{"a profile's credential_process", func(t *testing.T, w *stage.Wide) place {
		keys, err := w.World.AWS.Session(stage.Role, "by-process", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		answer := write(t, `{"Version":1,"AccessKeyId":"`+keys.AccessKeyID+`","SecretAccessKey":"`+keys.SecretAccessKey+`","SessionToken":"`+keys.SessionToken+
			`","Expiration":"`+keys.Expires.UTC().Format(time.RFC3339)+`"}`)
		file := write(t, "[default]\nregion = "+stage.Region+"\ncredential_process = "+executable(t)+" print-file "+answer+"\n")
		return caller(t, w, nil, map[string]string{"AWS_CONFIG_FILE": file, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull})
	}},
	{"AWS single sign-on", func(t *testing.T, w *stage.Wide) place {
		e, err := w.World.AWS.SignIn(labaws.SignOn{StartURL: "https://d-" + rand.Text() + ".awsapps.com/start", Region: stage.Region, User: "robin@example.com",
			Account: stage.Account, PermissionSet: "Etl", RoleARN: stage.Role, WithoutSession: true})
		if err != nil {
			t.Fatal(err)
		}
		// The AWS SDK looks for the sign-in below the home folder of the process, under a name made of the URL.
		for name, content := range e.Files {
			if _, below, cached := strings.Cut(name, "/.aws/sso/cache/"); cached {
				keep(t, filepath.Join(home, ".aws", "sso", "cache", below), content)
			}
		}
		return settled(t, w, "", func() (labaws.Environment, error) { return e, nil })
	}},
	{"AWS role assumed first", func(t *testing.T, w *stage.Wide) place {
		p := caller(t, w, w.Other, nil)
		etl := labaws.Role{Account: stage.Account, Name: "etl-role", Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` +
			stage.OtherRole + `"},"Action":"sts:AssumeRole"}]}`}
		if err := w.World.AWS.AddRole(etl); err != nil {
			t.Fatal(err)
		}
		p.from = func(cloud) config.From {
			return config.From{AWS: &config.FromAWS{AssumeRole: []config.AssumeRole{{Role: stage.Role}}}}
		}
		return p
	}},
	{"a token issued by AWS", func(_ *testing.T, w *stage.Wide) place {
		p := outside(w, stage.AWSToken, surroundings(w, w.Outbound, nil), func(cloud) config.From {
			return config.From{AWS: &config.FromAWS{Proof: config.ProofJWT}}
		})
		// The role may ask for tokens to Google alone, and AWS takes none of its own.
		p.reaches = map[cloud]bool{google: true, itself: true}
		p.tokenAudience = stage.AWSToken.Audience()
		p.role = stage.FromGCP
		return p
	}},
	{"Compute Engine", func(_ *testing.T, w *stage.Wide) place { return onGoogle(w, w.VM, config.FromGCP{}) }},
	{"GKE, Cloud Run, App Engine", func(_ *testing.T, w *stage.Wide) place {
		run := &lab.Place{Metadata: w.World.Google.CloudRun(labgcp.Service{Project: stage.Project, Region: "europe-west1", Name: "resizer", ServiceAccount: stage.Resizer})}
		return onGoogle(w, run, config.FromGCP{})
	}},
	{"a service-account key", func(t *testing.T, w *stage.Wide) place {
		key, err := w.World.Google.Key(stage.Resizer)
		if err != nil {
			t.Fatal(err)
		}
		return byEmail(t, onGoogle(w, nil, config.FromGCP{KeyFile: write(t, string(key.File()))}), w)
	}},
	{"Google impersonation", func(t *testing.T, w *stage.Wide) place {
		return onGoogle(w, another(t, w), config.FromGCP{Impersonate: &config.Impersonate{ServiceAccount: stage.Resizer}})
	}},
	{"Google signJwt", func(t *testing.T, w *stage.Wide) place {
		return byEmail(t, onGoogle(w, another(t, w), config.FromGCP{SignJWT: &config.SignJWT{ServiceAccount: stage.Resizer}}), w)
	}},
	{"a developer's application default credentials", func(t *testing.T, w *stage.Wide) place {
		person, err := w.World.Google.AddUser("robin@example.com")
		if err != nil {
			t.Fatal(err)
		}
		if err := w.World.Google.Grant("serviceAccounts/"+stage.Resizer, "roles/iam.serviceAccountTokenCreator", "user:robin@example.com"); err != nil {
			t.Fatal(err)
		}
		p := onGoogle(w, nil, config.FromGCP{ApplicationDefault: &config.ApplicationDefault{ServiceAccount: stage.Resizer}})
		p.surroundings = surroundings(w, nil, map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": write(t, string(person.File()))})
		return p
	}},
	{"GitHub Actions", func(_ *testing.T, w *stage.Wide) place {
		return outside(w, stage.GitHub, surroundings(w, nil, w.Runner.Variables()), issued(config.FromOIDC{GitHubActions: &config.GitHubActions{}}))
	}},
	{"GitLab CI", func(_ *testing.T, w *stage.Wide) place {
		return made(outside(w, stage.GitLab, surroundings(w, nil, w.Job), func(to cloud) config.From {
			return config.From{OIDC: &config.FromOIDC{Audience: webAudience(to), GitLabCI: &config.GitLabCI{Variable: variable(to)}}}
		}))
	}},
	{"an environment variable", func(_ *testing.T, w *stage.Wide) place {
		return made(outside(w, stage.GitLab, surroundings(w, nil, w.Job), func(to cloud) config.From {
			return config.From{OIDC: &config.FromOIDC{Audience: webAudience(to), Environment: &config.TokenVariable{Variable: variable(to)}}}
		}))
	}},
	{"a Kubernetes projected token", func(t *testing.T, w *stage.Wide) place {
		folder := projected(t, w, stage.Kubernetes)
		return made(outside(w, stage.Kubernetes, surroundings(w, nil, nil), func(to cloud) config.From {
			return config.From{OIDC: &config.FromOIDC{Audience: webAudience(to), Kubernetes: &config.Kubernetes{Path: folder + path(to)}}}
		}))
	}},
	{"the Kubernetes TokenRequest API", func(t *testing.T, w *stage.Wide) place { return tokenRequest(t, w) }},
	{"SPIFFE", func(t *testing.T, w *stage.Wide) place {
		folder, err := os.MkdirTemp("", "spiffe") //nolint:usetesting // a socket's path must be short
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(folder) })
		socket, err := w.Agent.Listen(filepath.Join(folder, "api.sock"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(socket.Close)
		return outside(w, stage.SPIFFE, surroundings(w, nil, socket.Variables()), issued(config.FromOIDC{SPIFFE: &config.SPIFFE{}}))
	}},
	{"a file", func(t *testing.T, w *stage.Wide) place {
		folder := projected(t, w, stage.EKS)
		return made(outside(w, stage.EKS, surroundings(w, nil, nil), func(to cloud) config.From {
			return config.From{OIDC: &config.FromOIDC{Audience: webAudience(to), File: &config.TokenFile{Path: folder + path(to)}}}
		}))
	}},
	{"a URL", func(t *testing.T, w *stage.Wide) place {
		folder := projected(t, w, stage.GKE)
		address := serve(t, http.FileServer(http.Dir(folder)))
		return made(outside(w, stage.GKE, surroundings(w, nil, nil), func(to cloud) config.From {
			return config.From{OIDC: &config.FromOIDC{Audience: webAudience(to), URL: &config.TokenURL{URL: "http://" + address + path(to)}}}
		}))
	}},
	{"an executable", func(t *testing.T, w *stage.Wide) place {
		folder, self := projected(t, w, stage.Kubernetes), executable(t)
		return made(outside(w, stage.Kubernetes, surroundings(w, nil, nil), func(to cloud) config.From {
			return config.From{OIDC: &config.FromOIDC{Audience: webAudience(to), Executable: &config.Executable{Command: []string{self, "print-token", folder + path(to)}}}}
		}))
	}},
}

// caller is a workload with the role that Google Cloud trusts by AWS account.
func caller(t *testing.T, w *stage.Wide, p *lab.Place, env map[string]string) place {
	t.Helper()
	if env["AWS_CONFIG_FILE"] == "" {
		env = maps.Clone(env)
		if env == nil {
			env = map[string]string{}
		}
		env["AWS_CONFIG_FILE"], env["AWS_SHARED_CREDENTIALS_FILE"] = os.DevNull, os.DevNull
	}
	return place{
		from:         func(cloud) config.From { return config.From{AWS: &config.FromAWS{}} },
		surroundings: surroundings(w, p, env), reaches: map[cloud]bool{google: true},
		provider: stage.Provider, account: stage.Reader, bucket: stage.Warehouse, directBucket: stage.Direct, function: w.Function,
		role: stage.FromGCP, tokenAudience: "https://vault.example", s3: stage.Images,
	}
}

func settled(t *testing.T, w *stage.Wide, address string, environment func() (labaws.Environment, error)) place {
	t.Helper()
	e, err := environment()
	if err != nil {
		t.Fatal(err)
	}
	env, err := e.Settle(t.TempDir(), address)
	if err != nil {
		t.Fatal(err)
	}
	return caller(t, w, nil, env)
}

func eks(t *testing.T, w *stage.Wide) *labaws.ClusterServer {
	t.Helper()
	cluster, err := w.World.AWS.EKS(labaws.Cluster{Account: stage.Account, Name: "workloads", Region: stage.Region})
	if err != nil {
		t.Fatal(err)
	}
	issuer := cluster.Issuer()
	if err := w.World.AWS.AddOIDCProvider(stage.Account, issuer, stage.STSAudience); err != nil {
		t.Fatal(err)
	}
	host := issuer[len("https://"):]
	if err := w.World.AWS.AddRole(labaws.Role{Account: stage.Account, Name: "etl-role", Trust: `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]},
		{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::` + stage.Account + `:oidc-provider/` + host + `"},"Action":"sts:AssumeRoleWithWebIdentity",
		 "Condition":{"StringEquals":{"` + host + `:sub":"system:serviceaccount:etl:warehouse","` + host + `:aud":"sts.amazonaws.com"}}}]}`}); err != nil {
		t.Fatal(err)
	}
	return cluster
}

// onGoogle is a workload whose tokens FromGCP trusts by the numeric id.
func onGoogle(w *stage.Wide, p *lab.Place, from config.FromGCP) place {
	return place{
		from: func(to cloud) config.From {
			f := from
			if to == amazon {
				f.Audience = stage.ImagesAudience
			}
			return config.From{GCP: &f}
		},
		surroundings: surroundings(w, p, nil), reaches: map[cloud]bool{amazon: true, itself: true},
		provider: stage.Provider, account: stage.Reader, bucket: stage.Warehouse, directBucket: stage.Direct, function: w.Function,
		role: stage.FromGCP, s3: stage.Images, tokenAudience: "https://vault.example",
	}
}

// byEmail is the same for tokens whose azp is the account's e-mail: the path decides it.
func byEmail(t *testing.T, p place, w *stage.Wide) place {
	t.Helper()
	if err := w.World.AWS.AddRole(labaws.Role{Account: stage.Account, Name: "from-gcp",
		Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"accounts.google.com"},"Action":"sts:AssumeRoleWithWebIdentity",
			"Condition":{"StringEquals":{"accounts.google.com:sub":"` + w.ResizerID + `","accounts.google.com:aud":"` + stage.Resizer + `","accounts.google.com:oaud":"` + stage.ImagesAudience + `"}}}]}`,
		Permissions: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::` + stage.Images + `/*"}]}`}); err != nil {
		t.Fatal(err)
	}
	return p
}

// another is a machine whose account may speak for Resizer.
func another(t *testing.T, w *stage.Wide) *lab.Place {
	t.Helper()
	account, err := w.World.Google.AddServiceAccount(stage.Project, "go-between")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.World.Google.Grant("serviceAccounts/"+stage.Resizer, "roles/iam.serviceAccountTokenCreator", "serviceAccount:"+account.Email); err != nil {
		t.Fatal(err)
	}
	return &lab.Place{Metadata: w.World.Google.VM(labgcp.Machine{Project: stage.Project, Zone: "europe-west1-b", Name: "other-1", ServiceAccount: account.Email})}
}

// outside is a workload with a token of an issuer that both clouds trust.
func outside(w *stage.Wide, o stage.Origin, s assemble.Surroundings, from func(cloud) config.From) place {
	return place{
		from: from, surroundings: s, reaches: map[cloud]bool{google: true, amazon: true, itself: true},
		provider: o.Provider(), account: o.ServiceAccount(), bucket: o.Bucket(), directBucket: o.Bucket(), function: w.Function,
		role: o.Role(), s3: o.S3Bucket(), tokenAudience: "https://vault.example",
	}
}

// made is for sources whose tokens somebody made out beforehand: their audience cannot be chosen.
func made(p place) place {
	p.tokenAudience = stage.STSAudience
	return p
}

func issued(from config.FromOIDC) func(cloud) config.From {
	return func(to cloud) config.From {
		f := from
		f.Audience = webAudience(to)
		return config.From{OIDC: &f}
	}
}

// webAudience is what AWS knows tokens by; the other targets say it themselves.
func webAudience(to cloud) string {
	if to == amazon {
		return stage.STSAudience
	}
	return ""
}

func variable(to cloud) string {
	if to == google {
		return stage.GoogleVariable
	}
	return stage.AWSVariable
}

func path(to cloud) string {
	if to == google {
		return stage.GoogleFile
	}
	return stage.AWSFile
}

// projected writes a pod's tokens below a folder.
func projected(t *testing.T, w *stage.Wide, o stage.Origin) string {
	t.Helper()
	files, err := w.Pods[o].Files()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := files.Write(folder); err != nil {
		t.Fatal(err)
	}
	return folder
}

func tokenRequest(t *testing.T, w *stage.Wide) place {
	t.Helper()
	server, err := w.Clusters[stage.Kubernetes].Listen()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	host, port, err := net.SplitHostPort(server.Address)
	if err != nil {
		t.Fatal(err)
	}
	s := surroundings(w, nil, map[string]string{"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port})
	s.Root = projected(t, w, stage.Kubernetes)
	return outside(w, stage.Kubernetes, s, issued(config.FromOIDC{TokenRequest: &config.TokenRequest{}}))
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func write(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func keep(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func executable(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return self
}
