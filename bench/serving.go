// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/stile-project/stile/lab/stage"
)

// twoCrossings are one into each cloud, and all endpoints for them, over TCP and Unix sockets.
func twoCrossings(folder string) string {
	return strings.ReplaceAll(crossings+`  warehouse:
    from: { aws: {} }
    to: { gcp: { provider: `+stage.Provider+`, service_account: `+stage.Reader+` } }
serve:
  admin: unix:FOLDER/admin.sock
  endpoints:
    - { ecs: [images], listen: "127.0.0.1:0", token_file: FOLDER/token }
    - { ecs: [images], listen: "unix:FOLDER/ecs.sock", token_file: FOLDER/token }
    - { imds: images, listen: "127.0.0.1:0" }
    - { imds: images, listen: "unix:FOLDER/imds.sock" }
    - { gce: warehouse, listen: "127.0.0.1:0", project: `+stage.Project+` }
    - { gce: warehouse, listen: "unix:FOLDER/gce.sock", project: `+stage.Project+` }
`, "FOLDER", folder)
}

// A serving is stile serve, as a process.
type serving struct {
	cmd     *exec.Cmd
	folder  string
	began   time.Time
	readyIn time.Duration
	ready   chan struct{} // closed when readyIn is known
	drained chan struct{} // closed when it will say no more

	mu   sync.Mutex
	said []string // its last lines
}

// serve starts stile serve with a configuration, and waits until it has said that everything can be had.
func (c *clouds) serve(ctx context.Context, p programs, folder, configuration string, flags ...string) (*serving, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	file := filepath.Join(folder, "stile.yaml")
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		return nil, err
	}
	s := &serving{folder: folder, ready: make(chan struct{}), drained: make(chan struct{})}
	s.cmd = exec.CommandContext(ctx, p.stile, append([]string{"serve", "--no-cache", "--config", file, "--log-format", "json"}, flags...)...) //nolint:gosec // what runs is ours
	s.cmd.Env = c.env(filepath.Join(folder, "kept"))
	errs, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	s.began = time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go s.listen(errs)
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	select {
	case <-s.ready:
		return s, nil
	case <-s.drained:
	case <-late.C:
	case <-ctx.Done():
	}
	return nil, errors.Join(fmt.Errorf("stile serve is not ready; it said\n%s", s.lines()), context.Cause(ctx), s.end())
}

// listen keeps the last lines that it says, and notes when it is ready.
func (s *serving) listen(errs io.Reader) {
	defer close(s.drained)
	told := false
	for in := bufio.NewScanner(errs); in.Scan(); {
		if !told && saysReady(in.Bytes()) {
			s.readyIn, told = time.Since(s.began), true
			close(s.ready)
		}
		s.mu.Lock()
		if s.said = append(s.said, in.Text()); len(s.said) > 40 {
			s.said = s.said[20:]
		}
		s.mu.Unlock()
	}
}

// saysReady tells the line of its log that says that everything can be had.
func saysReady(line []byte) bool {
	var entry struct{ Msg string }
	return json.Unmarshal(line, &entry) == nil && strings.HasPrefix(entry.Msg, "ready: ")
}

func (s *serving) lines() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.said, "\n")
}

// end has it end as a service manager would.
func (s *serving) end() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-s.drained
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("stile serve ended with %w; it said\n%s", err, s.lines())
	}
	return nil
}

// A residence is the memory that a process has in RAM, in bytes: now, at most so far, and now of files.
type residence struct{ all, most, file float64 }

// residentIn asks the kernel; only Linux tells.
func residentIn(pid int) residence {
	status := "/proc/" + strconv.Itoa(pid) + "/status"
	bytesOf := func(name string) float64 {
		n, err := strconv.ParseFloat(strings.TrimSuffix(field(status, name, ""), " kB"), 64)
		if err != nil {
			return 0
		}
		return n * 1024
	}
	return residence{bytesOf("VmRSS"), bytesOf("VmHWM"), bytesOf("RssFile")}
}

const memoryIsTold = runtime.GOOS == "linux"

// admin asks at the admin's socket.
func (s *serving) admin(ctx context.Context, path string) ([]byte, error) {
	_, body, err := fetch(ctx, overUnix(filepath.Join(s.folder, "admin.sock")), http.MethodGet, "http://localhost"+path, nil)
	return body, err
}

var goroutinesMetric = regexp.MustCompile(`(?m)^go_goroutines ([0-9.e+]+)$`)

// goroutines is how many it has.
func (s *serving) goroutines(ctx context.Context) (int, error) {
	text, err := s.admin(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	found := goroutinesMetric.FindSubmatch(text)
	if found == nil {
		return 0, errors.New("/metrics tells nothing of goroutines")
	}
	n, err := strconv.ParseFloat(string(found[1]), 64)
	return int(n), err
}

// descriptors is how many it has open; 0 where the system does not tell.
func (s *serving) descriptors() int {
	all, err := os.ReadDir("/proc/" + strconv.Itoa(s.cmd.Process.Pid) + "/fd")
	if err != nil {
		return 0
	}
	return len(all)
}

// overUnix is a client that reaches nothing but one socket.
func overUnix(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
}

// fetch fails for any answer but 200.
func fetch(ctx context.Context, client *http.Client, method, url string, headers []string) (http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, nil, err
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.300s", url, res.Status, bytes.TrimSpace(body))
	}
	return res.Header, body, err
}

// A spot is one kind of endpoint, over both networks.
type spot struct {
	kind, name, path string
	header           map[string]string // by network
	address          map[string]string // by network
}

// on is what clients ask it.
func (s spot) on(network string) question { return s.at(network, s.address[network]) }

// at is the same, asked elsewhere.
func (s spot) at(network, address string) question {
	return question{network, address, s.path, []string{s.header[network]}, 0}
}

// spots are the endpoints of [twoCrossings], as clients are told to ask them.
func (s *serving) spots(ctx context.Context) ([]spot, error) {
	text, err := s.admin(ctx, "/status")
	if err != nil {
		return nil, err
	}
	var status struct {
		Serves []struct {
			Kind      string
			Addresses []string
		}
	}
	if err := json.Unmarshal(text, &status); err != nil {
		return nil, err
	}
	token, err := os.ReadFile(filepath.Join(s.folder, "token"))
	if err != nil {
		return nil, err
	}
	const machine = "/latest/meta-data/iam/security-credentials/"
	all := []spot{
		{kind: "ecs", name: "ECS", path: "/v1/credentials/images", header: onBoth("Authorization: " + strings.TrimSpace(string(token)))},
		{kind: "imds", name: "IMDS", path: machine + stage.FromGCP[strings.LastIndexByte(stage.FromGCP, '/')+1:], header: map[string]string{}},
		{kind: "gce", name: "GCE token", path: "/computeMetadata/v1/instance/service-accounts/default/token", header: onBoth("Metadata-Flavor: Google")},
	}
	for i := range all {
		all[i].address = map[string]string{"unix": filepath.Join(s.folder, all[i].kind+".sock")}
		for _, one := range status.Serves {
			if one.Kind == all[i].kind && len(one.Addresses) == 1 && !strings.HasPrefix(one.Addresses[0], "unix:") {
				all[i].address["tcp"] = one.Addresses[0]
			}
		}
	}
	for network, address := range all[1].address { // each endpoint has session tokens of its own
		client, host := http.DefaultClient, address
		if network == "unix" {
			client, host = overUnix(address), "localhost"
		}
		_, session, err := fetch(ctx, client, http.MethodPut, "http://"+host+"/latest/api/token", []string{"X-Aws-Ec2-Metadata-Token-Ttl-Seconds: 21600"})
		if err != nil {
			return nil, err
		}
		all[1].header[network] = "X-Aws-Ec2-Metadata-Token: " + string(session)
	}
	return all, nil
}

func onBoth(header string) map[string]string { return map[string]string{"tcp": header, "unix": header} }
