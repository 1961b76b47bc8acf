// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

var projectScopes = []string{
	scopePlatform, scopeReadOnly,
	scopePrefix + "cloudplatformprojects", scopePrefix + "cloudplatformprojects.readonly",
}

func (c *Cloud) resourceManagerHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /v1/projects", c.serve("Resource Manager", "projects.list", (*call).listProjects))
	mux.Handle("GET /v1/projects/{project}", c.serve("Resource Manager", "projects.get", (*call).getProject))
	mux.Handle("/", c.serve("Resource Manager", "unknown path", (*call).unknownPath))
	return mux
}

func (q *call) projectsToken(method string) (accessToken, error) {
	return q.authenticate(api{
		service: "cloudresourcemanager.googleapis.com",
		method:  "google.cloudresourcemanager.v1.Projects." + method,
		scopes:  projectScopes,
	})
}

// A projectResource is a project as the API shows it; its number is a string.
type projectResource struct {
	ProjectNumber  string `json:"projectNumber"`
	ProjectID      string `json:"projectId"`
	LifecycleState string `json:"lifecycleState"`
	Name           string `json:"name"`
	CreateTime     string `json:"createTime"`
}

func (p *project) resource() projectResource {
	return projectResource{p.number, p.id, "ACTIVE", p.id, milliseconds(p.created)}
}

func (q *call) getProject() (answer, error) {
	token, err := q.projectsToken("GetProject")
	if err != nil {
		return answer{}, err
	}
	q.mu.Lock()
	p := q.projectByRef(q.r.PathValue("project"))
	q.mu.Unlock()
	denied := apiError(http.StatusForbidden, "The caller does not have permission")
	if p == nil { // not told apart from a closed one
		return answer{}, q.refuse(denied, "there is no project %s", clip(q.r.PathValue("project"), 64))
	}
	if !q.permitted(token.principal, token.members, permProjectsGet, "projects/"+p.id) {
		return answer{}, &refusal{denied}
	}
	return jsonAnswer(http.StatusOK, p.resource()), nil
}

// listProjects shows the projects that the caller may get, in the order of their ids.
func (q *call) listProjects() (answer, error) {
	token, err := q.projectsToken("ListProjects")
	if err != nil {
		return answer{}, err
	}
	query := q.r.URL.Query()
	size, after, ok := page(query.Get("pageSize"), query.Get("pageToken"), 500)
	if !ok {
		return answer{}, q.refuse(invalidArgument(), "pageSize or pageToken makes no sense")
	}
	wanted, ok := projectFilter(query.Get("filter"))
	if !ok {
		return answer{}, q.refuse(invalidArgument(), "the filter is none this lab knows: lifecycleState, projectId, projectNumber or name, and a colon or =")
	}
	list := slices.DeleteFunc(q.visibleProjects(token), func(p projectResource) bool { return p.ProjectID <= after || !wanted(p) })
	result := map[string]any{}
	if len(list) > size {
		list = list[:size]
		result["nextPageToken"] = pageToken(list[size-1].ProjectID)
	}
	if len(list) > 0 {
		result["projects"] = list
	}
	q.entry.OK("%d projects are shown: those the caller has %s on", len(list), permProjectsGet)
	return jsonAnswer(http.StatusOK, result), nil
}

func (q *call) visibleProjects(token accessToken) []projectResource {
	q.mu.Lock()
	all := make([]*project, 0, len(q.projects))
	for _, id := range sortedKeys(q.projects) {
		all = append(all, q.projects[id])
	}
	q.mu.Unlock()
	var list []projectResource
	for _, p := range all {
		if _, ok, _ := q.allowed(token.members, q.now, []string{permProjectsGet}, []string{"projects/" + p.id}); ok {
			list = append(list, p.resource())
		}
	}
	return list
}

// projectFilter knows the filters that gcloud and people write: terms of FIELD:VALUE, all of which must hold.
func projectFilter(filter string) (func(projectResource) bool, bool) {
	type term struct{ field, value string }
	var terms []term
	for _, word := range strings.Fields(filter) {
		field, value, ok := strings.Cut(word, ":")
		if !ok {
			field, value, ok = strings.Cut(word, "=")
		}
		if !ok || !slices.Contains([]string{"lifecycleState", "projectId", "projectNumber", "name", "id"}, field) {
			return nil, false
		}
		terms = append(terms, term{field, strings.Trim(value, `"`)})
	}
	return func(p projectResource) bool {
		have := map[string]string{"lifecycleState": p.LifecycleState, "projectId": p.ProjectID, "id": p.ProjectID, "projectNumber": p.ProjectNumber, "name": p.Name}
		return !slices.ContainsFunc(terms, func(t term) bool { return have[t.field] != t.value })
	}, true
}

// page reads the size of a page and where it starts. A size of none or zero, or over the most, is the most.
func page(size, token string, most int) (n int, after string, ok bool) {
	n = most
	if size != "" {
		asked, err := strconv.Atoi(size)
		if err != nil || asked < 0 {
			return 0, "", false
		}
		if asked > 0 && asked < most {
			n = asked
		}
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	return n, string(text), err == nil
}

func pageToken(last string) string { return base64.RawURLEncoding.EncodeToString([]byte(last)) }

// milliseconds is a time as Cloud Storage and Resource Manager write it.
func milliseconds(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
