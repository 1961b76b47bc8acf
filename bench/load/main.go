// SPDX-License-Identifier: Apache-2.0

// Load asks one endpoint the same thing over a few connections, each so many times a second, or as soon as it has the
// answer to the last where that is 0, and prints what came of it: requests, those that were not answered 200, seconds, and the time of one answer in nanoseconds, as
// p50, p99, p99.9 and the longest. Its arguments are a network, an address, how many connections, how often, for how long,
// a path, and headers ("Name: value"). It reads no more of an answer than must be read, for it shares the processors with what
// it measures.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		_, _ = os.Stderr.WriteString("load: " + err.Error() + "\n")
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 6 {
		return errors.New("want NETWORK ADDRESS CONNECTIONS TIMES DURATION PATH [HEADER]…")
	}
	connections, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	often, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	lasts, err := time.ParseDuration(args[4])
	if err != nil {
		return err
	}
	host := args[1]
	if args[0] == "unix" {
		host = "localhost"
	}
	request := "GET " + args[5] + " HTTP/1.1\r\nHost: " + host + "\r\n" + strings.Join(append(args[6:], "", ""), "\r\n")
	askers, errs := make([]asker, connections), make([]error, connections)
	began := time.Now()
	var all sync.WaitGroup
	for i := range askers {
		all.Go(func() { errs[i] = askers[i].ask(args[0], args[1], []byte(request), often, began.Add(lasts)) })
	}
	all.Wait()
	seconds := time.Since(began).Seconds()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	failed, took := 0, []int64(nil)
	for _, a := range askers {
		failed += a.failed
		took = append(took, a.took...)
	}
	if len(took) == 0 {
		return errors.New("nothing was answered")
	}
	slices.Sort(took)
	at := func(share float64) int64 { return took[min(len(took)-1, int(share*float64(len(took))))] }
	fmt.Println(len(took), failed, seconds, at(0.5), at(0.99), at(0.999), took[len(took)-1])
	return nil
}

// An asker is one connection.
type asker struct {
	took   []int64
	failed int
}

func (a *asker) ask(network, address string, request []byte, often int, until time.Time) error {
	conn, err := net.Dial(network, address) //nolint:noctx,gosec // it ends with the process, and whoever runs it says where
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	in := bufio.NewReaderSize(conn, 16<<10)
	a.took = make([]int64, 0, 1<<16)
	next := time.NewTimer(0)
	defer next.Stop()
	<-next.C
	for last := time.Now(); last.Before(until); {
		if often > 0 {
			// A timer that is late is not what is measured.
			next.Reset(time.Until(last.Add(time.Second / time.Duration(often))))
			<-next.C
			last = time.Now()
		}
		if _, err := conn.Write(request); err != nil {
			return err
		}
		ok, err := answer(in)
		if err != nil {
			return err
		}
		now := time.Now()
		a.took = append(a.took, now.Sub(last).Nanoseconds())
		last = now
		if !ok {
			a.failed++
		}
	}
	return nil
}

var contentLength = []byte("Content-Length: ")

// answer reads one, and reports whether it was 200.
func answer(in *bufio.Reader) (ok bool, err error) {
	length := -1
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return false, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if first {
			ok = bytes.HasPrefix(line, []byte("HTTP/1.1 200"))
		}
		if text, found := bytes.CutPrefix(line, contentLength); found {
			if length, err = strconv.Atoi(string(text)); err != nil {
				return false, err
			}
		}
		if len(line) == 0 {
			break
		}
	}
	if length < 0 {
		return false, errors.New("an answer has no length")
	}
	_, err = in.Discard(length)
	return ok, err
}
