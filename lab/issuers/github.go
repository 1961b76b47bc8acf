// SPDX-License-Identifier: Apache-2.0

package issuers

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/stile-project/stile/lab/journal"
	"github.com/stile-project/stile/lab/oidc"
)

const (
	// GitHubIssuer is the iss of every GitHub Actions token outside GitHub Enterprise Server.
	GitHubIssuer = "https://token.actions.githubusercontent.com"

	githubPipelines = "pipelines.actions.githubusercontent.com"
	githubTokenLife = 5 * time.Minute
	githubBackdated = 10 * time.Minute // how far nbf lies before iat
	maxAudience     = 1000             // characters; the figure is ours
)

// GitHub is GitHub Actions as an issuer of tokens, and the service that a job asks for one.
//
// Source: GitHub docs, "OpenID Connect reference", its example token, and "Methods for requesting the OIDC token".
type GitHub struct {
	directory *Directory
	issuer    *issuer
}

func newGitHub(d *Directory) *GitHub {
	i, err := d.newIssuer("GitHub", GitHubIssuer, oidc.JWKSURI(GitHubIssuer+"/.well-known/jwks"))
	if err != nil {
		panic("issuers: " + err.Error()) // a constant of ours is wrong
	}
	g := &GitHub{directory: d, issuer: i}
	if err := d.add(githubPipelines, "", http.NotFoundHandler()); err != nil {
		panic("issuers: " + err.Error())
	}
	return g
}

// A GitHubJob is one job of a workflow, as far as its token tells.
type GitHubJob struct {
	Repository   string // OWNER/NAME, required
	Ref          string // "": refs/heads/main
	Event        string // "": push
	Environment  string // the deployment environment; "": none
	Workflow     string // the workflow's name; "": deploy
	WorkflowFile string // "": .github/workflows/deploy.yml
	Actor        string // "": octocat
	JobWorkflow  string // a reusable workflow, OWNER/NAME/PATH@REF; "": the job's own

	// IDToken is the job's permission id-token: write. Without it the job cannot ask for a token.
	IDToken bool
}

// A Runner is a machine with a job on it, and the place where the job asks for tokens.
type Runner struct {
	github *GitHub
	job    GitHubJob
	path   string
	bearer string
	run    string // the run's id

	mu   sync.Mutex
	done bool
}

// Run starts a job.
func (g *GitHub) Run(j GitHubJob) (*Runner, error) {
	if strings.Count(j.Repository, "/") != 1 || !pathName.MatchString(j.Repository) {
		return nil, fmt.Errorf("running a job of %.128q: want OWNER/NAME", j.Repository)
	}
	j = j.filled()
	if !strings.HasPrefix(j.Ref, "refs/") {
		return nil, fmt.Errorf("running a job of %s: ref %.128q: want refs/heads/…, refs/tags/… or refs/pull/…", j.Repository, j.Ref)
	}
	bearer := make([]byte, 48)
	_, _ = rand.Read(bearer) // never fails
	r := &Runner{github: g, job: j, bearer: base64.RawURLEncoding.EncodeToString(bearer), run: numberOf(newUUID(), 10)}
	r.path = "/" + hexOf(r.bearer, 40) + "/_apis/distributedtask/hubs/Actions/plans/" + newUUID() + "/jobs/" + newUUID() + "/idtoken"
	return r, g.directory.add(githubPipelines, r.path, r)
}

func (j GitHubJob) filled() GitHubJob {
	for field, usual := range map[*string]string{
		&j.Ref: "refs/heads/main", &j.Event: "push", &j.Workflow: "deploy", &j.WorkflowFile: ".github/workflows/deploy.yml", &j.Actor: "octocat",
	} {
		if *field == "" {
			*field = usual
		}
	}
	if j.JobWorkflow == "" {
		j.JobWorkflow = j.workflowRef()
	}
	return j
}

func (j GitHubJob) workflowRef() string { return j.Repository + "/" + j.WorkflowFile + "@" + j.Ref }

func (j GitHubJob) owner() string {
	owner, _, _ := strings.Cut(j.Repository, "/")
	return owner
}

// Subject is the sub of the job's tokens, in GitHub's default form.
// Source: GitHub docs, "OpenID Connect reference", example subject claims.
func (j GitHubJob) Subject() string {
	j = j.filled()
	switch {
	case j.Environment != "":
		return "repo:" + j.Repository + ":environment:" + strings.ReplaceAll(j.Environment, ":", "%3A")
	case j.Event == "pull_request":
		return "repo:" + j.Repository + ":pull_request"
	}
	return "repo:" + j.Repository + ":ref:" + j.Ref
}

func (j GitHubJob) refType() string {
	if strings.HasPrefix(j.Ref, "refs/tags/") {
		return "tag"
	}
	return "branch"
}

// Variables are what the job's steps find. Without id-token: write the two that ask for tokens are absent.
// Source: GitHub docs, "Variables reference", default environment variables.
func (r *Runner) Variables() Variables {
	j := r.job
	v := Variables{
		"CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": j.Repository, "GITHUB_REPOSITORY_OWNER": j.owner(),
		"GITHUB_REF": j.Ref, "GITHUB_REF_TYPE": j.refType(), "GITHUB_EVENT_NAME": j.Event, "GITHUB_WORKFLOW": j.Workflow,
		"GITHUB_WORKFLOW_REF": j.workflowRef(), "GITHUB_ACTOR": j.Actor, "GITHUB_RUN_ID": r.run, "GITHUB_RUN_ATTEMPT": "1",
		"GITHUB_SHA": j.commit(), "GITHUB_SERVER_URL": "https://github.com", "RUNNER_OS": "Linux", "RUNNER_ENVIRONMENT": "github-hosted",
	}
	if j.IDToken {
		v["ACTIONS_ID_TOKEN_REQUEST_URL"] = "https://" + githubPipelines + r.path + "?api-version=2.0"
		v["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = r.bearer
	}
	return v
}

func (j GitHubJob) commit() string { return hexOf(j.Repository+j.Ref, 40) }

// Finish ends the job. What it asked with works no more; its tokens live out their time.
func (r *Runner) Finish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done = true
}

func (r *Runner) finished() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.done
}

// ServeHTTP answers one request for a token and writes one journal entry.
func (r *Runner) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	d := r.github.directory
	e := journal.Entry{Time: d.now(), Cloud: "GitHub", Service: "Actions", Operation: "ID token", Caller: r.job.Repository}
	token, refusal := r.answer(q, &e)
	var body any = map[string]any{"count": len(token), "value": token}
	e.Status = http.StatusOK
	if refusal != nil {
		e.Status, e.Code, e.Message = refusal.status, refusal.key, refusal.text
		body = refusal.body()
	}
	d.journal.Add(e) // first, so that whoever has the answer finds the entry
	w.Header().Set("Content-Type", "application/json; charset=utf-8; api-version=2.0")
	if e.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	w.WriteHeader(e.Status)
	_ = json.NewEncoder(w).Encode(body)
}

// A serviceFault is an error in the form of the software behind GitHub's runners, which is Azure DevOps's. GitHub does
// not document it.
type serviceFault struct {
	status    int
	key, text string
}

func (f *serviceFault) body() any {
	return map[string]any{
		"$id": "1", "innerException": nil, "message": f.text, "typeKey": f.key, "errorCode": 0, "eventId": 3000,
	}
}

func (r *Runner) answer(q *http.Request, e *journal.Entry) (string, *serviceFault) {
	if fault := r.admit(q, e); fault != nil {
		return "", fault
	}
	audience, fault := r.audience(q, e)
	if fault != nil {
		return "", fault
	}
	token, err := r.github.Token(r.claims(audience))
	if err != nil {
		e.Fail("the token can be signed: %v", err)
		return "", &serviceFault{http.StatusInternalServerError, "VssServiceException", "An unexpected error occurred."}
	}
	e.OK("so the job gets a token of %s for %s, good for %v", r.job.Subject(), audience, githubTokenLife)
	return token, nil
}

func (r *Runner) admit(q *http.Request, e *journal.Entry) *serviceFault {
	if q.URL.Path != r.path || q.Method != http.MethodGet {
		e.Fail("the job asks for its token with GET")
		return &serviceFault{http.StatusMethodNotAllowed, "VssRequestMethodNotAllowedException", "The requested resource does not support http method '" + clip(q.Method, 16) + "'."}
	}
	bearer, ok := strings.CutPrefix(q.Header.Get("Authorization"), "Bearer ")
	unauthorized := &serviceFault{http.StatusUnauthorized, "UnauthorizedRequestException", "TF400813: The user '' is not authorized to access this resource."}
	switch {
	case !ok:
		e.Fail("the request carries the bearer token that the job was given: it carries none")
		return unauthorized
	case subtle.ConstantTimeCompare([]byte(bearer), []byte(r.bearer)) != 1:
		e.Fail("the request carries the bearer token that the job was given: it carries another")
		return unauthorized
	case r.finished():
		e.Fail("the job is still running: it has finished")
		return unauthorized
	case !r.job.IDToken:
		e.Fail("the job has the permission id-token: write")
		return &serviceFault{http.StatusForbidden, "AccessDeniedException", "The job does not have permission to request an ID token."}
	}
	e.OK("the request carries the bearer token that the job was given, and the job is still running")
	if q.URL.Query().Get("api-version") == "" && !strings.Contains(q.Header.Get("Accept"), "api-version=") {
		e.Fail("the request names the version of the API")
		return &serviceFault{http.StatusBadRequest, "VssVersionNotSpecifiedException", `No api-version was supplied for the "GET" request. The version must be supplied either as part of the Accept header (e.g. "application/json; api-version=1.0") or as a query parameter (e.g. "?api-version=1.0").`}
	}
	return nil
}

// audience is what was asked for, or else the owner's URL.
func (r *Runner) audience(q *http.Request, e *journal.Entry) (string, *serviceFault) {
	asked := q.URL.Query()["audience"]
	switch {
	case len(asked) == 0 || len(asked) == 1 && asked[0] == "":
		e.OK("the request names no audience, so the token is for the repository's owner")
		return "https://github.com/" + r.job.owner(), nil
	case len(asked) > 1 || len(asked[0]) > maxAudience:
		e.Fail("the request names one audience of at most %d characters", maxAudience)
		return "", &serviceFault{http.StatusBadRequest, "VssPropertyValidationException", "The audience is not valid."}
	}
	return asked[0], nil
}

// claims are those of GitHub's own example, numbers written as strings as there.
func (r *Runner) claims(audience string) map[string]any {
	j, now := r.job, r.github.directory.now()
	c := map[string]any{
		"jti": newUUID(), "iss": GitHubIssuer, "sub": j.Subject(), "aud": audience,
		"iat": now.Unix(), "nbf": now.Add(-githubBackdated).Unix(), "exp": now.Add(githubTokenLife).Unix(),
		"repository": j.Repository, "repository_id": numberOf(j.Repository, 9), "repository_visibility": "private",
		"repository_owner": j.owner(), "repository_owner_id": numberOf(j.owner(), 8),
		"ref": j.Ref, "ref_type": j.refType(), "ref_protected": "false", "sha": j.commit(), "base_ref": "", "head_ref": "",
		"workflow": j.Workflow, "workflow_ref": j.workflowRef(), "workflow_sha": j.commit(),
		"job_workflow_ref": j.JobWorkflow, "job_workflow_sha": j.commit(), "event_name": j.Event,
		"actor": j.Actor, "actor_id": numberOf(j.Actor, 7), "run_id": r.run, "run_number": "10", "run_attempt": "1",
		"runner_environment": "github-hosted",
	}
	if j.Environment != "" {
		c["environment"] = j.Environment
	}
	return c
}

// Token signs claims with GitHub's key, whatever they are: for tests of what the clouds refuse.
func (g *GitHub) Token(claims map[string]any) (string, error) {
	return g.issuer.made().Sign(maps.Clone(claims))
}

// clip makes text of unknown origin fit for a message.
func clip(s string, n int) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return '?'
		}
		return r
	}, s[:min(len(s), n)])
}
