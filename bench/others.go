// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

func nothing() error { return nil }

// bare starts a handler that does nothing but answer these bytes. It gives where, by network.
func (s *sitting) bare(ctx context.Context, b body) (address map[string]string, end func() error, err error) {
	socket := s.c.path("bare-" + b.name + ".sock")
	cmd := exec.CommandContext(ctx, s.p.bare, b.contentType, b.path, socket) //nolint:gosec // what runs is ours
	cmd.Env = []string{}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nothing, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nothing, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nothing, err
	}
	end = func() error {
		_ = in.Close() // which it waits for
		return cmd.Wait()
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, end, fmt.Errorf("bench/bare: %w", err)
	}
	return map[string]string{"tcp": strings.TrimSpace(line), "unix": socket}, end, nil
}

const nginxConf = `daemon off;
pid FOLDER/nginx.pid;
error_log stderr error;
USER
worker_processes auto;
events { worker_connections 256; }
http {
  access_log off;
  sendfile on;
  keepalive_requests 1000000000;
  client_body_temp_path FOLDER/nginx-1;
  proxy_temp_path FOLDER/nginx-2;
  fastcgi_temp_path FOLDER/nginx-3;
  uwsgi_temp_path FOLDER/nginx-4;
  scgi_temp_path FOLDER/nginx-5;
  default_type application/json;
  server {
    listen ADDRESS;
    root FOLDER/bodies;
    open_file_cache max=10;
  }
}
`

// startNginx serves the bytes as files, and says where: nowhere, where the machine has no nginx.
func (c *clouds) startNginx(ctx context.Context) (address string, end func() error, err error) {
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx" // not in everybody's PATH
	}
	if _, err := os.Stat(program); err != nil {
		return "", nothing, nil //nolint:nilerr // to have none is no failure
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nothing, err
	}
	address = l.Addr().String()
	if err := l.Close(); err != nil {
		return "", nothing, err
	}
	user := "" // only root's master changes to another
	if os.Geteuid() == 0 {
		user = "user root;"
	}
	if err := c.write("nginx.conf", strings.NewReplacer("FOLDER", c.folder, "ADDRESS", address, "USER", user).Replace(nginxConf)); err != nil {
		return "", nothing, err
	}
	cmd := exec.CommandContext(ctx, program, "-p", c.folder, "-c", c.path("nginx.conf"), "-e", "stderr") //nolint:gosec // found in PATH
	// Killed outright, it would leave its workers behind.
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(syscall.SIGTERM) }, 5*time.Second
	if err := cmd.Start(); err != nil {
		return "", nothing, err
	}
	end = func() error { return errors.Join(cmd.Cancel(), cmd.Wait()) }
	if err := answers(ctx, address); err != nil {
		return "", end, err
	}
	return address, end, nil
}
