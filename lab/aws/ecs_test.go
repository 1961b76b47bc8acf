// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
)

func TestECSBySDK(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	task := w.cloud.ECS(Task{ID: "0a1b2c", Region: irishReg, RoleARN: etlARN, AuthToken: "open sesame"})
	creds, err := endpointcreds.New("http://169.254.170.2"+task.CredentialsPath(), func(o *endpointcreds.Options) {
		o.HTTPClient = &http.Client{Transport: direct{task}}
		o.AuthorizationToken = "open sesame"
	}).Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if creds.AccountID != home || !creds.CanExpire {
		t.Errorf("account %s, expires %v", creds.AccountID, creds.CanExpire)
	}
	keys := Keys{AccessKeyID: creds.AccessKeyID, SecretAccessKey: creds.SecretAccessKey, SessionToken: creds.SessionToken}
	if a := w.do(w.signed(keys, irishReg, irish, whoAmI, 0)); !strings.Contains(a.Body, "assumed-role/etl/0a1b2c") {
		t.Errorf("got %d\n%s", a.Status, a.Body)
	}
}

func TestECSRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		task        Task
		token, path string
		status      int
		code        string
	}{
		"no token":                   {Task{RoleARN: etlARN, AuthToken: "t"}, "", "", 401, "AccessDeniedException"},
		"a wrong token":              {Task{RoleARN: etlARN, AuthToken: "t"}, "Bearer t", "", 401, "AccessDeniedException"},
		"another task's path":        {Task{RoleARN: etlARN}, "", "/v2/credentials/0f3c2b1a", 400, "InvalidIdInRequest"},
		"no id at all":               {Task{RoleARN: etlARN}, "", "/v2/credentials", 400, "InvalidIdInRequest"},
		"a task without a role":      {Task{}, "", "", 400, "InvalidIdInRequest"},
		"a role that does not exist": {Task{RoleARN: target}, "", "", 500, "InternalServerError"},
		"nothing there":              {Task{RoleARN: etlARN}, "", "/v4/other/task", 404, "NotFound"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c.task.ID, c.task.Region = "0a1b2c", irishReg
			server := w.cloud.ECS(c.task)
			path := c.path
			if path == "" {
				path = server.CredentialsPath()
			}
			if doc := readJSON(t, server, path, c.token); doc["status"] != c.status || doc["code"] != c.code || doc["AccessKeyId"] != nil {
				t.Errorf("got %v %v, want %d %s", doc["status"], doc["code"], c.status, c.code)
			}
			if w.reason() == "" {
				t.Error("the journal does not say why")
			}
		})
	}
}

func TestECSRefusesOtherMethods(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	task := w.cloud.ECS(Task{ID: "0a1b2c", Region: irishReg, RoleARN: etlARN})
	rec := httptest.NewRecorder()
	task.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, task.CredentialsPath(), nil))
	if rec.Code != http.StatusMethodNotAllowed {
		t.Errorf("got %d, want 405", rec.Code)
	}
}

// The region is in the task's ARN everywhere, and the zone on Fargate alone.
func TestECSTaskMetadata(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for launch, zone := range map[string]any{"FARGATE": "eu-west-1b", "EC2": nil} {
		task := w.cloud.ECS(Task{ID: "0a1b2c", Region: irishReg, Zone: "eu-west-1b", RoleARN: etlARN, Fargate: launch == "FARGATE", AuthToken: "t"})
		doc := readJSON(t, task, task.MetadataPath()+"/task", "")
		if doc["LaunchType"] != launch || doc["AvailabilityZone"] != zone || doc["TaskARN"] != "arn:aws:ecs:eu-west-1:111122223333:task/default/0a1b2c" {
			t.Errorf("%s: got %v in %v, %v", launch, doc["LaunchType"], doc["AvailabilityZone"], doc["TaskARN"])
		}
		if doc := readJSON(t, task, task.MetadataPath(), ""); doc["DockerId"] == nil {
			t.Errorf("%s: no container document: %v", launch, doc)
		}
	}
}
