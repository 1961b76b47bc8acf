// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Fault is something that goes wrong with the requests it matches.
type Fault struct {
	Host       string        // the host name; empty: every host
	Path       string        // the path's beginning; empty: every path
	Times      int           // how many requests it strikes; zero: all
	Delay      time.Duration // how long the answer takes, in real time
	Status     int           // answers this status with Body in place of the cloud; zero: the cloud answers
	Header     http.Header   // sent with Status
	Body       string
	RetryAfter int          // seconds, sent with Status; zero: not sent
	Cut        bool         // closes the connection with no answer
	Replace    http.Handler // answers in place of the cloud; nil: Status or the cloud
}

// Faults are the faults in force. The zero Faults strike nothing. Safe for concurrent use.
type Faults struct {
	mu   sync.Mutex
	list []*Fault
}

// Add puts a fault in force and returns what lifts it.
func (f *Faults) Add(fault Fault) (lift func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	struck := &fault
	if struck.Times == 0 {
		struck.Times = -1
	}
	f.list = append(f.list, struck)
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		struck.Times = 0
	}
}

func (f *Faults) strike(host, path string) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fault := range f.list {
		if fault.Times == 0 || (fault.Host != "" && fault.Host != host) || !strings.HasPrefix(path, fault.Path) {
			continue
		}
		if fault.Times > 0 {
			fault.Times--
		}
		return fault
	}
	return nil
}

func (f *Faults) wrap(host string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fault := f.strike(host, r.URL.Path)
		if fault == nil {
			next.ServeHTTP(w, r)
			return
		}
		if fault.Delay > 0 {
			select {
			case <-time.After(fault.Delay):
			case <-r.Context().Done():
				panic(http.ErrAbortHandler)
			}
		}
		fault.answer(w, r, next)
	})
}

func (f *Fault) answer(w http.ResponseWriter, r *http.Request, next http.Handler) {
	switch {
	case f.Cut:
		panic(http.ErrAbortHandler)
	case f.Replace != nil:
		f.Replace.ServeHTTP(w, r)
	case f.Status != 0:
		for key, values := range f.Header {
			w.Header()[key] = values
		}
		if f.RetryAfter != 0 {
			w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
		}
		w.WriteHeader(f.Status)
		_, _ = w.Write([]byte(f.Body))
	default:
		next.ServeHTTP(w, r)
	}
}
