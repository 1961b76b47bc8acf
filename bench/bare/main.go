// SPDX-License-Identifier: Apache-2.0

//go:build unix

// Bare answers every request with the same bytes, and does nothing else: what net/http takes by itself, which the
// endpoints of stile serve are held against. Its arguments are a content type, a file that holds the bytes, and the path
// of a Unix socket; it listens there and on a port of 127.0.0.1, which it prints, and ends with its standard input.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

func main() {
	if err := serve(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		_, _ = os.Stderr.WriteString("bare: " + err.Error() + "\n")
		os.Exit(1)
	}
}

func serve(contentType, path, socket string) error {
	body, err := os.ReadFile(path) //nolint:gosec // whoever runs it says what
	if err != nil {
		return err
	}
	types, length := []string{contentType}, []string{strconv.Itoa(len(body))}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		header := w.Header()
		header["Content-Type"], header["Content-Length"] = types, length
		_, _ = w.Write(body) //nolint:gosec // whoever left does not want it
	})}
	var config net.ListenConfig
	onTCP, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	onUnix, err := config.Listen(context.Background(), "unix", socket)
	if err != nil {
		return err
	}
	fmt.Println(onTCP.Addr())
	ended := make(chan error, 2)
	for _, l := range []net.Listener{onTCP, onUnix} {
		go func() { ended <- server.Serve(l) }()
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // however it ends, it has ended
		_ = server.Close()
	}()
	if err := <-ended; err != http.ErrServerClosed { //nolint:errorlint // Serve returns this one itself
		return err
	}
	return nil
}
