// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stile-project/stile/lab/stage"
)

// A question is a command that asks a host, and what its error must name when the host misbehaves: the step, and who
// was asked.
type question struct {
	place string
	host  string
	args  []string
	names []string // each must be in the error; a | parts alternatives
}

var questions = map[string]question{
	"Google STS": {"ec2", "sts.googleapis.com", []string{"token", "--provider", stage.Provider, "--service-account", stage.Reader},
		[]string{"exchange the subject token", "Google STS"}},
	"access token": {"ec2", "iamcredentials.googleapis.com", []string{"env", "--provider", stage.Provider, "--service-account", stage.Reader},
		[]string{"act as the service account", "IAM Credentials"}},
	"ID token": {"ec2", "iamcredentials.googleapis.com",
		[]string{"token", "--provider", stage.Provider, "--service-account", stage.Reader, "--id-token", "--audience", "https://a.example"},
		[]string{"ask for the service account's ID token", "IAM Credentials"}},
	"instance metadata": {"ec2", "169.254.169.254", []string{"token", "--provider", stage.Provider},
		[]string{"AWS", "metadata|IMDS|AWS region"}},
	"instance credentials": {"ec2", "169.254.169.254/latest/meta-data/iam", []string{"token", "--provider", stage.Provider},
		[]string{"find AWS credentials|sign a GetCallerIdentity request"}},
	"container credentials": {"ecs", "169.254.170.2/v2", []string{"token", "--provider", stage.Provider},
		[]string{"find AWS credentials|sign a GetCallerIdentity request"}},
	"task metadata": {"ecs", "169.254.170.2/v4", []string{"token", "--provider", stage.Provider},
		[]string{"find the AWS region", "ECS task metadata|instance metadata"}},
	"Google metadata": {"gce", "metadata.google.internal", []string{"credential-process", "--role", stage.FromGCP, "--region", stage.Region},
		[]string{"ask for an ID token", "the metadata server"}},
	"AWS STS": {"gce", "sts.eu-west-1.amazonaws.com",
		[]string{"exec", "--role", stage.FromGCP, "--region", stage.Region, "--audience", stage.ImagesAudience, "--", "sh", "-c", "echo ran"},
		[]string{"assume the role by web identity", "AWS STS"}},
	"GetCallerIdentity": {"ec2", "sts.eu-west-1.amazonaws.com", []string{"whoami"},
		[]string{"AWS: ask who this is", "AWS STS"}},
	"S3": {"ec2", "etl-settings.s3.eu-west-1.amazonaws.com", []string{"config", "check", "s3://etl-settings/credential.json"},
		[]string{"read the configuration|credential.json"}},
	"Cloud Storage": {"gce", "storage.googleapis.com", []string{"token", "--config", "gs://warehouse/stile.yaml"},
		[]string{"read the configuration|stile.yaml"}},
	"https": {"nowhere", "www.googleapis.com", []string{"config", "check", "https://www.googleapis.com/stile.yaml"},
		[]string{"read the configuration|stile.yaml"}},
}

// grace is for starting a process on a busy machine, and for ending it.
const grace = 10 * time.Second

// TestBadAnswers has every host that a command asks answer in every bad way, and holds the command to its manners: it
// ends in time, fails with a documented code, prints no data, names the step, shows no secret.
func TestBadAnswers(t *testing.T) {
	// Not beside other tests: the AWS SDK gives instance metadata half a second, and a machine that is busy with this
	// would make them fail. Most of these ask again, and so wait for most of their time: there may be more of them at once
	// than processors, and of those that do nothing else, many.
	working, waiting := make(chan struct{}, 4*runtime.GOMAXPROCS(0)), make(chan struct{}, 32)
	kinds := slices.Sorted(maps.Keys(faultKinds))
	if testing.Short() {
		kinds = []string{"cut", "echo", "silence", "utf8"}
	}
	var all sync.WaitGroup
	for asked, q := range questions {
		for _, kind := range kinds {
			slots := working
			if endless(kind) {
				slots = waiting
			}
			all.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				t.Run(asked+"/"+kind, func(t *testing.T) { badAnswer(t, q, kind) })
			})
		}
	}
	all.Wait()
}

// endless are the faults that nothing but a deadline ends.
func endless(kind string) bool { return kind == "silence" || kind == "stall" }

func badAnswer(t *testing.T, q question, kind string) {
	w, err := newWorkload(q.place, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	struck := make(chan struct{}, 1)
	w.spoil(q.host, noting(faultKinds[kind], struck))
	// Only a host that says nothing more is left to --timeout. On a busy machine the time may be up before that host
	// was asked at all: then there must be more of it.
	timeout := time.Minute
	if endless(kind) {
		timeout = time.Second
	}
	for {
		got := w.stile(t, nil, append([]string{"--timeout", timeout.String()}, q.args...)...)
		if len(struck) == 1 || timeout >= time.Minute {
			checkManners(t, w, q, got, timeout)
			return
		}
		timeout *= 2
	}
}

// noting marks that the fault was met.
func noting(fault http.Handler, struck chan<- struct{}) http.Handler {
	mark := func() {
		select {
		case struck <- struct{}{}:
		default:
		}
	}
	if real, ok := fault.(realFault); ok {
		return realFault(func(rw http.ResponseWriter, r *http.Request, h http.Handler) { mark(); real(rw, r, h) })
	}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { mark(); fault.ServeHTTP(rw, r) })
}

func checkManners(t *testing.T, w *workload, q question, got outcome, timeout time.Duration) {
	t.Helper()
	if got.code < 1 || got.code > 5 {
		t.Errorf("exit code %d, stdout %q", got.code, got.stdout)
	}
	if got.took > min(timeout, 20*time.Second)+grace {
		t.Errorf("took %s", got.took)
	}
	if got.stdout != "" && q.args[0] != "whoami" {
		t.Errorf("standard output has %.200q", got.stdout)
	}
	if err := w.untidy(got.stderr); err != nil {
		t.Error(err)
	}
	for _, name := range q.names {
		if !slices.ContainsFunc(strings.Split(name, "|"), func(s string) bool { return strings.Contains(got.stderr, s) }) {
			t.Errorf("the error does not name %q", name)
		}
	}
	if t.Failed() {
		t.Logf("%.3000s", got.stderr)
	}
}
