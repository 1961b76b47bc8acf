// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stile-project/stile/internal/exporter/exportertest"
	"github.com/stile-project/stile/internal/stores"
	"github.com/stile-project/stile/lab/stage"
)

func TestMain(m *testing.M) {
	pollEvery = 50 * time.Millisecond // of stile serve
	testscript.Main(m, map[string]func(){"stile": func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}, "ask": ask})
}

// TestScripts plays testdata/script. Beside testscript's own commands, a script has:
//
//	lab PLACE            a new lab, and a workload in it: ec2, ecs, gce, both, nowhere, blackhole
//	fault HOST KIND ...  from now on HOST (or HOST/PATH) misbehaves: see faultKinds
//	skew aws|google D    sets a cloud's clock ahead by D
//	put gs|s3 BUCKET NAME FILE   puts a file into a bucket
//	reads gs|s3          the last standard output is a credential that the cloud accepts for the stage's object
//	tidy                 the last standard error has only Stile's own lines, and no secret
//	within D COMMAND...  runs a command that must end before D
//	exchanges N          the token services gave N credentials since they were last counted
//	ask ecs|imds|gce     a program: prints a credential that it finds as an SDK does
//	collector            takes traces from now on, at $COLLECTOR
//	spans FILE           writes what traces it took, a line each: they hold no secret
//	together N COMMAND...  runs a command N times at once, in the lab's environment: all must succeed, and print the same
//
// and the condition [lean], for the build without the clouds' SDKs.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Vars = slices.DeleteFunc(e.Vars, func(v string) bool { return strings.HasPrefix(v, "HOME=") })
			e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, "cache"))
			e.Setenv("STILE_NO_KEYRING", "1")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"lab": scriptLab, "fault": scriptFault, "skew": scriptSkew, "tidy": scriptTidy, "put": scriptPut, "reads": scriptReads, "within": scriptWithin,
			"exchanges": scriptExchanges, "together": scriptTogether,
			"collector": scriptCollector, "spans": scriptSpans,
		},
		Condition: func(name string) (bool, error) {
			if name != "lean" {
				return false, fmt.Errorf("no condition %q", name)
			}
			return stores.Linked().Build == "lean", nil
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// workloads holds each script's own, by *testscript.TestScript: testscript makes that after Setup.
var workloads sync.Map

func scriptLab(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: lab PLACE")
	}
	folder := ts.MkAbs(".")
	w, err := newWorkload(args[0], folder)
	ts.Check(err)
	ts.Defer(w.close)
	for _, v := range w.env {
		name, value, _ := strings.Cut(v, "=")
		ts.Setenv(name, value)
	}
	for name, value := range map[string]string{"FUNCTION": w.scene.Function, "PROVIDER": stage.Provider, "READER": stage.Reader, "UNBOUND": stage.Unbound,
		"ROLE": stage.FromGCP, "REGION": stage.Region, "AUDIENCE": stage.ImagesAudience} {
		ts.Setenv(name, value)
	}
	workloads.Store(ts, w)
	ts.Defer(func() { workloads.Delete(ts) })
}

func here(ts *testscript.TestScript) *workload {
	w, ok := workloads.Load(ts)
	if !ok {
		ts.Fatalf("no lab yet")
	}
	return w.(*workload)
}

func scriptFault(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: fault HOST[/PATH] KIND [ARGUMENT...]")
	}
	w := here(ts)
	if args[1] == "file" {
		args[2] = ts.MkAbs(args[2])
	}
	h, err := fault(args[1], args[2:]...)
	ts.Check(err)
	w.spoil(args[0], h)
}

func scriptSkew(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: skew aws|google DURATION")
	}
	d, err := time.ParseDuration(args[1])
	ts.Check(err)
	if args[0] == "aws" {
		here(ts).scene.World.SkewAWS(d)
	} else {
		here(ts).scene.World.SkewGoogle(d)
	}
}

func scriptPut(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 4 {
		ts.Fatalf("usage: put gs|s3 BUCKET NAME FILE")
	}
	world, body := here(ts).scene.World, []byte(ts.ReadFile(args[3]))
	if args[0] == "gs" {
		ts.Check(world.Google.PutObject(args[1], args[2], body))
		return
	}
	ts.Check(world.AWS.PutObject(args[1], args[2], body))
}

func scriptReads(ts *testscript.TestScript, neg bool, args []string) {
	w, out := here(ts), ts.ReadFile("stdout")
	client, err := w.server.Client(nil)
	ts.Check(err)
	read := readWarehouse
	if args[0] == "s3" {
		read = readImages
	}
	if err := read(client, out); (err != nil) != neg {
		ts.Fatalf("reading with the credential: %v", err)
	}
}

// readWarehouse reads the stage's object in Cloud Storage with an access token.
func readWarehouse(client *http.Client, token string) error {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://storage.googleapis.com/storage/v1/b/"+stage.Warehouse+"/o/"+stage.OrdersName+"?alt=media", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(token))
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != stage.Orders {
		return fmt.Errorf("%s: %q, %w", res.Status, body, err)
	}
	return nil
}

// readImages reads the stage's object in S3 with what credential-process printed.
func readImages(client *http.Client, printed string) error {
	var session struct{ AccessKeyId, SecretAccessKey, SessionToken string }
	if err := json.Unmarshal([]byte(printed), &session); err != nil {
		return err
	}
	keys := credentials.NewStaticCredentialsProvider(session.AccessKeyId, session.SecretAccessKey, session.SessionToken)
	res, err := s3.New(s3.Options{Region: stage.Region, Credentials: keys, HTTPClient: client, RetryMaxAttempts: 1}).
		GetObject(context.Background(), &s3.GetObjectInput{Bucket: aws.String(stage.Images), Key: aws.String(stage.CatName)})
	if err != nil {
		return err
	}
	return res.Body.Close()
}

func scriptTidy(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(here(ts).untidy(ts.ReadFile("stderr")))
}

func scriptWithin(ts *testscript.TestScript, neg bool, args []string) {
	limit, err := time.ParseDuration(args[0])
	ts.Check(err)
	started := time.Now()
	err = ts.Exec(args[1], args[2:]...)
	if took := time.Since(started); took > limit {
		ts.Fatalf("took %s", took)
	}
	if neg != (err != nil) {
		ts.Fatalf("ended with %v", err)
	}
}

// scriptExchanges counts what the clouds' journals say they gave out.
func scriptExchanges(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	for _, e := range here(ts).scene.World.Journal.Take() {
		if (e.Operation == "token exchange" || e.Operation == "AssumeRoleWithWebIdentity") && e.Status == http.StatusOK {
			got++
		}
	}
	if got != want {
		ts.Fatalf("%d exchanges, want %d", got, want)
	}
}

// collectors holds each script's own, as workloads does.
var collectors sync.Map

func scriptCollector(ts *testscript.TestScript, _ bool, _ []string) {
	c := exportertest.New()
	ts.Defer(c.Close)
	collectors.Store(ts, c)
	ts.Defer(func() { collectors.Delete(ts) })
	ts.Setenv("COLLECTOR", c.URL)
}

func scriptSpans(ts *testscript.TestScript, _ bool, args []string) {
	c, ok := collectors.Load(ts)
	if !ok || len(args) != 1 {
		ts.Fatalf("usage: collector, and later: spans FILE")
	}
	raw, err := c.(*exportertest.Collector).Raw()
	ts.Check(err)
	ts.Check(here(ts).tells(string(raw)))
	lines := c.(*exportertest.Collector).Lines()
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(append(lines, ""), "\n")), 0o600))
}

func scriptTogether(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	w := here(ts)
	var all sync.WaitGroup
	printed, failed := make([]string, n), make([]error, n)
	for i := range n {
		all.Go(func() {
			cmd := exec.CommandContext(context.Background(), args[1], args[2:]...)
			cmd.Dir, cmd.Env = w.folder, append([]string{"PATH=" + ts.Getenv("PATH")}, w.env...)
			out, err := cmd.CombinedOutput()
			printed[i], failed[i] = string(out), err
		})
	}
	all.Wait()
	for i := range n {
		if failed[i] != nil || printed[i] != printed[0] {
			ts.Fatalf("process %d of %d: %v, %q; the first printed %q", i+1, n, failed[i], printed[i], printed[0])
		}
	}
}
