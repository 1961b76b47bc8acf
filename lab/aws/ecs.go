// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/stile-project/stile/lab/journal"
)

// A Task is an ECS task with one container, as far as its endpoints tell.
type Task struct {
	ID      string // 32 hexadecimal digits as a rule; the session name of its role
	Region  string
	Zone    string // availability zone, told on Fargate only; "" is the region's zone a
	RoleARN string // the task role; "" is a task without one
	Cluster string // "" is "default"
	Family  string // of the task definition; "" is "app"
	Fargate bool   // the launch type: FARGATE rather than EC2

	// AuthToken is the Authorization header that the credentials endpoint wants, word for word. Empty: it wants none,
	// which is how ECS itself works; EKS Pod Identity and Lambda want one.
	AuthToken string
}

// A TaskServer answers what a task finds at 169.254.170.2.
//
// Source: ECS Developer Guide, "Task IAM role" and "Task metadata endpoint version 4".
type TaskServer struct {
	cloud     *Cloud
	task      Task
	account   string
	container string // the id in its paths
	secret    string // the random part of the credentials path
	started   time.Time
	role      *delivery
}

// ECS is the credentials and task metadata endpoint of one task.
func (c *Cloud) ECS(t Task) *TaskServer {
	if t.Zone == "" {
		t.Zone = t.Region + "a"
	}
	if t.Cluster == "" {
		t.Cluster = "default"
	}
	if t.Family == "" {
		t.Family = "app"
	}
	return &TaskServer{
		cloud: c, task: t, account: accountOf(t.RoleARN), container: t.ID + "-0102030405", secret: newRequestID(), started: c.now(),
		role: &delivery{cloud: c, role: t.RoleARN, session: t.ID},
	}
}

// CredentialsPath is the value of AWS_CONTAINER_CREDENTIALS_RELATIVE_URI. It cannot be guessed.
func (t *TaskServer) CredentialsPath() string { return "/v2/credentials/" + t.secret }

// MetadataPath is the path of ECS_CONTAINER_METADATA_URI_V4. The task's own document is at /task below it.
func (t *TaskServer) MetadataPath() string { return "/v4/" + t.container }

// Environment is what the task's container finds.
func (t *TaskServer) Environment() Environment {
	v := map[string]string{
		relativeURI: t.CredentialsPath(), "ECS_CONTAINER_METADATA_URI_V4": "http://169.254.170.2" + t.MetadataPath(),
		"AWS_EXECUTION_ENV": "AWS_ECS_EC2",
	}
	if t.task.Fargate {
		v["AWS_EXECUTION_ENV"], v["AWS_REGION"], v["AWS_DEFAULT_REGION"] = "AWS_ECS_FARGATE", t.task.Region, t.task.Region
	}
	if t.task.AuthToken != "" {
		v["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = t.task.AuthToken
	}
	return Environment{Variables: v}
}

// TaskARN is the task's ARN, whose fourth part is the region.
func (t *TaskServer) TaskARN() string {
	return arn{partitionOf(t.task.Region), "ecs", t.task.Region, t.account, "task/" + t.task.Cluster + "/" + t.task.ID}.String()
}

// ServeHTTP answers one request and writes one journal entry.
func (t *TaskServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := &journal.Entry{Time: t.cloud.clock(), Cloud: "AWS", Service: "ECS", Caller: t.TaskARN()}
	status, doc := t.answer(r, e)
	e.Status = status
	body, err := json.Marshal(doc)
	if err != nil {
		status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
	t.cloud.journal.Add(*e)
}

func (t *TaskServer) answer(r *http.Request, e *journal.Entry) (int, any) {
	if r.Method != http.MethodGet {
		e.Fail("the endpoint is read with GET")
		return taskError(e, http.StatusMethodNotAllowed, "MethodNotAllowed", "Method not allowed")
	}
	switch path := r.URL.Path; {
	case path == t.MetadataPath()+"/task":
		e.Operation = "task metadata"
		return http.StatusOK, t.taskMetadata()
	case path == t.MetadataPath():
		e.Operation = "container metadata"
		return http.StatusOK, t.containerMetadata()
	case strings.HasPrefix(path, "/v2/credentials"):
		e.Operation = "task role credentials"
		return t.credentials(r, e)
	}
	e.Fail("there is something at this path")
	return taskError(e, http.StatusNotFound, "NotFound", "404 page not found")
}

// credentials is what the agent answers: code and message on failure, and the role's keys otherwise.
func (t *TaskServer) credentials(r *http.Request, e *journal.Entry) (int, any) {
	if t.task.AuthToken != "" {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte(t.task.AuthToken)) != 1 {
			e.Fail("the Authorization header is the token this container was given")
			return taskError(e, http.StatusUnauthorized, "AccessDeniedException", "The authorization token is missing or wrong")
		}
		e.OK("the Authorization header is the token this container was given")
	}
	if subtle.ConstantTimeCompare([]byte(r.URL.Path), []byte(t.CredentialsPath())) != 1 || t.task.RoleARN == "" {
		e.Fail("the path holds the id of a task with a role")
		return taskError(e, http.StatusBadRequest, "InvalidIdInRequest", "CredentialsV2Request: Credentials not found")
	}
	keys, _, err := t.role.current()
	if err != nil {
		e.Fail("ECS can assume the role: %v", err)
		return taskError(e, http.StatusInternalServerError, "InternalServerError", "CredentialsV2Request: Unable to marshal credentials")
	}
	e.OK("keys of %s are given out, good until %s", t.task.RoleARN, keys.Expires.Format(time.RFC3339))
	return http.StatusOK, struct{ RoleArn, AccessKeyId, SecretAccessKey, Token, Expiration, AccountId string }{
		t.task.RoleARN, keys.AccessKeyID, keys.SecretAccessKey, keys.SessionToken, keys.Expires.Format(time.RFC3339), t.account,
	}
}

func taskError(e *journal.Entry, status int, code, message string) (int, any) {
	e.Code, e.Message = code, message
	return status, map[string]any{"code": code, "message": message, "HTTPErrorCode": status}
}

// taskMetadata is the document at /task. Only Fargate tells the zone.
func (t *TaskServer) taskMetadata() map[string]any {
	doc := map[string]any{
		"Cluster": arn{partitionOf(t.task.Region), "ecs", t.task.Region, t.account, "cluster/" + t.task.Cluster}.String(),
		"TaskARN": t.TaskARN(), "Family": t.task.Family, "Revision": "1", "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING",
		"LaunchType": "EC2", "PullStartedAt": t.started.Format(time.RFC3339), "PullStoppedAt": t.started.Format(time.RFC3339),
		"Containers": []any{t.containerMetadata()},
	}
	if t.task.Fargate {
		doc["LaunchType"], doc["AvailabilityZone"] = "FARGATE", t.task.Zone
	}
	return doc
}

func (t *TaskServer) containerMetadata() map[string]any {
	return map[string]any{
		"DockerId": t.container, "Name": t.task.Family, "DockerName": t.task.Family, "Type": "NORMAL",
		"Labels": map[string]string{
			"com.amazonaws.ecs.task-arn":                t.TaskARN(),
			"com.amazonaws.ecs.task-definition-family":  t.task.Family,
			"com.amazonaws.ecs.task-definition-version": "1",
		},
		"DesiredStatus": "RUNNING", "KnownStatus": "RUNNING",
		"CreatedAt": t.started.Format(time.RFC3339), "StartedAt": t.started.Format(time.RFC3339),
	}
}
