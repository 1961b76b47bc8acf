// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"time"

	"github.com/stile-project/stile/lab/journal"
)

// lambdaCredentials is where a function with SnapStart finds its keys, on its own loopback.
const lambdaCredentials = "http://127.0.0.1:9001/2021-04-23/credentials"

// A Function is a Lambda function, as far as its environment tells.
type Function struct {
	Name    string
	Region  string
	RoleARN string // the execution role

	// SnapStart: the function starts from a snapshot, which must hold no keys. It asks an endpoint for them instead.
	SnapStart bool
}

// A FunctionServer is one running copy of a function, and the endpoint it asks for keys when it has SnapStart.
//
// Source: Lambda Developer Guide, "Using Lambda environment variables" and "Improving startup performance with SnapStart".
type FunctionServer struct {
	cloud    *Cloud
	function Function
	token    string
	role     *delivery
}

// Lambda starts one copy of a function.
func (c *Cloud) Lambda(f Function) *FunctionServer {
	arn := arn{partitionOf(f.Region), "lambda", f.Region, accountOf(f.RoleARN), "function:" + f.Name}.String()
	return &FunctionServer{cloud: c, function: f, token: randomBase64(48),
		role: &delivery{cloud: c, role: f.RoleARN, session: f.Name, origin: map[string]string{"lambda_source_function_arn": arn}}}
}

// Environment is what the function finds. Without SnapStart that includes keys, which are fixed for the copy's life.
func (s *FunctionServer) Environment() (Environment, error) {
	f := s.function
	v := map[string]string{
		"AWS_REGION": f.Region, "AWS_DEFAULT_REGION": f.Region, "AWS_EXECUTION_ENV": "AWS_Lambda_provided.al2023",
		"AWS_LAMBDA_FUNCTION_NAME": f.Name, "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
		"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand", "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", "LAMBDA_TASK_ROOT": "/var/task",
	}
	if f.SnapStart {
		v["AWS_LAMBDA_INITIALIZATION_TYPE"] = "snap-start"
		v[fullURI], v["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = lambdaCredentials, s.token
		return Environment{Variables: v}, nil
	}
	keys, _, err := s.role.current()
	if err != nil {
		return Environment{}, err
	}
	v["AWS_ACCESS_KEY_ID"], v["AWS_SECRET_ACCESS_KEY"], v["AWS_SESSION_TOKEN"] = keys.AccessKeyID, keys.SecretAccessKey, keys.SessionToken
	return Environment{Variables: v}, nil
}

// ServeHTTP answers one request for keys and writes one journal entry. Without SnapStart there is nothing here.
func (s *FunctionServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := &journal.Entry{Time: s.cloud.clock(), Cloud: "AWS", Service: "Lambda", Operation: "function credentials", Caller: s.function.Name}
	status, doc := s.answer(r, e)
	e.Status = status
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(doc)
	s.cloud.journal.Add(*e)
}

func (s *FunctionServer) answer(r *http.Request, e *journal.Entry) (int, any) {
	switch {
	case !s.function.SnapStart, r.URL.Path != "/2021-04-23/credentials", r.Method != http.MethodGet:
		e.Fail("the function has SnapStart, and asks for its credentials with GET")
		return taskError(e, http.StatusNotFound, "NotFound", "404 page not found")
	case subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte(s.token)) != 1:
		e.Fail("the Authorization header is the token this function was given")
		return taskError(e, http.StatusForbidden, "AccessDeniedException", "The authorization token is missing or wrong")
	}
	e.OK("the Authorization header is the token this function was given")
	keys, _, err := s.role.current()
	if err != nil {
		e.Fail("Lambda can assume the role: %v", err)
		return taskError(e, http.StatusInternalServerError, "InternalServerError", "Unable to get credentials")
	}
	e.OK("keys of %s are given out, good until %s", s.function.RoleARN, keys.Expires.Format(time.RFC3339))
	return http.StatusOK, struct{ AccessKeyId, SecretAccessKey, Token, Expiration, AccountId string }{
		keys.AccessKeyID, keys.SecretAccessKey, keys.SessionToken, keys.Expires.Format(time.RFC3339), accountOf(s.function.RoleARN),
	}
}
