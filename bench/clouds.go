// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/stile-project/stile"
	fromgcp "github.com/stile-project/stile/from/gcp"
	"github.com/stile-project/stile/keep/seal"
	"github.com/stile-project/stile/lab"
	"github.com/stile-project/stile/lab/stage"
	toaws "github.com/stile-project/stile/to/aws"
)

// clouds are the lab on loopback, with a Compute Engine machine that may become an AWS role.
type clouds struct {
	scene   *stage.Stage
	server  *lab.Server
	machine string // where its metadata is: host:port
	folder  string

	instance string // the same of an EC2 instance; empty: there is none

	drained   sync.WaitGroup
	stop      chan struct{}
	mu        sync.Mutex
	exchanged int
}

func raise(folder string) (c *clouds, err error) {
	c = &clouds{folder: folder, stop: make(chan struct{})}
	if c.scene, err = stage.Set(lab.Options{}); err != nil {
		return nil, err
	}
	if c.server, err = c.scene.World.Listen(); err != nil {
		return nil, err
	}
	c.drained.Go(c.watch)
	if c.machine, err = c.server.ServePlain(c.scene.VM.Metadata); err == nil {
		err = c.write("ca.pem", string(c.server.CA))
	}
	if err == nil {
		err = c.write("stile.yaml", crossings)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *clouds) close() {
	close(c.stop)
	c.drained.Wait()
	c.server.Close()
}

func (c *clouds) path(name string) string { return filepath.Join(c.folder, name) }

func (c *clouds) write(name, content string) error {
	return os.WriteFile(c.path(name), []byte(content), 0o600)
}

// alsoAWS adds an EC2 instance, so that programs find both.
func (c *clouds) alsoAWS() (err error) {
	c.instance, err = c.server.ServePlain(c.scene.EC2.Metadata)
	return err
}

const crossings = `version: 1
crossings:
  images:
    from: { gcp: { audience: ` + stage.ImagesAudience + ` } }
    to:
      aws: { role: ` + stage.FromGCP + `, region: ` + stage.Region + ` }
`

// watch empties the journal, which keeps no more than its newest.
func (c *clouds) watch() {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.count()
		case <-c.stop:
			return
		}
	}
}

// count gives the exchanges so far: what AWS was asked and granted, by its own journal.
func (c *clouds) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, entry := range c.scene.World.Journal.Take() {
		if entry.Operation == "AssumeRoleWithWebIdentity" {
			c.exchanged++
		}
	}
	return c.exchanged
}

// env is all that a program needs to be on the machine, with a folder of its own for what it keeps. Nothing of this
// process's environment reaches it but the way to programs.
func (c *clouds) env(kept string) []string {
	ca, proxy := c.path("ca.pem"), c.server.Proxy
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.folder, "TMPDIR=" + c.folder, "XDG_CACHE_HOME=" + kept, "LANG=C.UTF-8",
		"HTTPS_PROXY=" + proxy, "https_proxy=" + proxy, "NO_PROXY=127.0.0.1,localhost", "no_proxy=127.0.0.1,localhost",
		"STILE_CA_FILE=" + ca, "AWS_CA_BUNDLE=" + ca, "GCE_METADATA_HOST=" + c.machine, "STILE_CONFIG=" + c.path("stile.yaml"),
		"STILE_NO_KEYRING=1", "AWS_CONFIG_FILE=" + c.path("none"), "AWS_SHARED_CREDENTIALS_FILE=" + c.path("none"),
	}
	if c.instance != "" {
		env = append(env, "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://"+c.instance+"/")
	}
	return env
}

// crossing is images of the file, in this process.
func (c *clouds) crossing() (stile.Crossing, error) {
	client, err := c.server.Client(c.scene.VM)
	if err != nil {
		return stile.Crossing{}, err
	}
	plain := &http.Client{Transport: &http.Transport{}}
	return stile.Cross(&fromgcp.Metadata{Host: c.machine, Client: plain},
		&toaws.Role{ARN: stage.FromGCP, Region: stage.Region, WebAudience: stage.ImagesAudience, Client: client}), nil
}

// A redisServer is one of our own. It keeps nothing on the disk.
type redisServer struct {
	address, keyFile string
	end              func()
}

// startRedis gives nil where the machine has no redis-server.
func (c *clouds) startRedis(ctx context.Context) (*redisServer, error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // to have none is no failure
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if err := c.write("key", seal.NewLocalKey().Reveal()+"\n"); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, program, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", c.folder) //nolint:gosec // found in PATH
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	r := &redisServer{address: address, keyFile: c.path("key"), end: func() {
		cancel()
		_ = cmd.Wait() // it was killed
	}}
	if err := answers(ctx, address); err != nil {
		r.end()
		return nil, err
	}
	return r, nil
}

// answers waits for somebody to listen.
func answers(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return errors.Join(fmt.Errorf("nobody listens on %s", address), err)
		}
	}
}
