// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"net/http"
	"testing"
)

const projectsURL = "https://cloudresourcemanager.googleapis.com/v1/projects"

func TestProjects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.AddProject("other-proj", "210987654321"))
	w.must(w.AddProject("third-proj", "310987654321"))
	token := w.federated()
	w.wantAPI(w.request(http.MethodGet, projectsURL+"/"+testProject, token, ""), http.StatusForbidden, "PERMISSION_DENIED", "The caller does not have permission")
	w.wantAPI(w.request(http.MethodGet, projectsURL+"/none-proj", token, ""), http.StatusForbidden, "PERMISSION_DENIED", "The caller does not have permission")
	w.must(w.Grant("projects/"+testProject, "roles/browser", roleMember))
	w.must(w.Grant("projects/third-proj", "roles/viewer", roleMember))

	for _, ref := range []string{testProject, testNumber} { // Google's libraries ask by number
		got := w.want(w.request(http.MethodGet, projectsURL+"/"+ref, token, ""), http.StatusOK)
		if got.field(t, "projectId") != testProject || got.field(t, "projectNumber") != testNumber || got.field(t, "lifecycleState") != "ACTIVE" {
			t.Errorf("got %s", got.body)
		}
	}
	list := w.want(w.request(http.MethodGet, projectsURL+"?filter=lifecycleState:ACTIVE&pageSize=1", token, ""), http.StatusOK)
	if list.field(t, "projects.0.projectId") != testProject {
		t.Errorf("got %s", list.body)
	}
	next, _ := list.field(t, "nextPageToken").(string)
	list = w.want(w.request(http.MethodGet, projectsURL+"?pageSize=1&pageToken="+next, token, ""), http.StatusOK)
	if list.field(t, "projects.0.projectId") != "third-proj" || list.field(t, "nextPageToken") != nil {
		t.Errorf("got %s", list.body)
	}
	w.want(w.request(http.MethodGet, projectsURL+"?filter=labels.a:b", token, ""), http.StatusBadRequest)
	w.want(w.request(http.MethodGet, projectsURL+"?pageSize=-1", token, ""), http.StatusBadRequest)
	w.want(w.request(http.MethodGet, projectsURL, w.federated("openid"), ""), http.StatusForbidden)
	w.want(w.request(http.MethodGet, projectsURL, "", ""), http.StatusUnauthorized)
}
