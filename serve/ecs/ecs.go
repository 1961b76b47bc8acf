// SPDX-License-Identifier: Apache-2.0

// Package ecs serves AWS sessions as the agents of ECS and EKS Pod Identity do: to every AWS SDK that finds
//
//	AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:PORT/v1/credentials/NAME
//	AWS_CONTAINER_AUTHORIZATION_TOKEN=…      or AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=/PATH
//
// Errors are {"code":"…","message":"…"}, which is how the ECS agent writes them and Go's SDK reads them. The agents
// differ in what they answer; this is what and why:
//
//   - 401, a missing or wrong token. ECS's agent wants none; the EKS agent answers 400 for one that it cannot read, and
//     for others whatever EKS says. None of the SDKs tells these apart, but the reader of a log does.
//   - 403, a refusal that lasts until somebody changes something, with the cloud's code and words. The EKS agent passes
//     on the cloud's own status; here a cloud's 401 or 404 would be taken for this endpoint's. Go does not ask again.
//   - 404, no such path. ECS's agent answers 400 for an id it does not know. Go does not ask again, either way.
//   - 405, anything but GET.
//   - 500, the crossing gave what is no AWS session; 503, all that may pass (ECS's agent: "CredentialsUninitialized").
//     Go asks again after both. botocore and JavaScript ask again after any of these.
//
// Sources: amazon-ecs-agent, agent/handlers/v1/credentials_handler.go; eks-pod-identity-agent, pkg/errors/errors.go and
// pkg/handlers/eks_credential_handler.go; aws-sdk-go-v2, credentials/endpointcreds/internal/client;
// botocore, utils.ContainerMetadataFetcher.
package ecs

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/serve/ecs/session"
	"github.com/stile-project/stile/serve/offer"
)

// Floor is the least remaining life that the keepers of these crossings should be kept with: with less than 15 minutes
// left, botocore asks again on every call of a program. What has less, because the session is short or nothing newer can
// be had, is handed out for as long as it is valid.
const Floor = 15 * time.Minute

const root = "/v1/credentials"

// Path is where the crossing with this name is answered. Names are matched exactly once the path is percent-decoded.
func Path(name string) string { return root + "/" + url.PathEscape(name) }

// Options are who may ask, and how.
type Options struct {
	// Token is the Authorization header that callers must send, word for word: printable ASCII of at most 8 KiB.
	// Either this or TokenFile is required.
	Token stile.Secret
	// TokenFile holds that token, with or without a line break at its end. It may be replaced at any time: the new token
	// counts from then on, and the old one for at most 100 ms. Nobody else is let in while it is missing, empty or malformed,
	// or may be another user's: see [OpenTokenFile].
	TokenFile string

	// Root names the crossing that is answered at /v1/credentials itself, the one path of the EKS Pod Identity agent.
	// Empty: none is.
	Root string

	Clock func() time.Time // nil: time.Now
}

// A Handler answers GET of one path for each crossing. It must be reached with paths as they were sent: what cleans them,
// as http.ServeMux does, would let a name be asked for in two ways.
type Handler struct {
	bearer    *bearer
	crossings map[string]*crossing // by decoded name
	root      *crossing            // nil: nothing there
}

type crossing struct {
	name string
	held *session.Held
}

// New makes a handler. It fails with [stile.ErrMisuse] where there is no token, no crossing, one that does not lead into
// AWS, or two of one name.
func New(crossings []offer.Crossing, o Options) (*Handler, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	b, err := newBearer(o)
	if err != nil {
		return nil, err
	}
	h := &Handler{bearer: b, crossings: map[string]*crossing{}}
	for _, c := range crossings {
		switch {
		case c.Name == "" || c.Name == "." || c.Name == "..":
			return nil, misuse("name the crossing otherwise", fmt.Sprintf("clients would change the path of a crossing named %q", c.Name))
		case c.AWS == nil || c.AWS.Session == nil:
			return nil, misuse("offer only crossings into AWS here", fmt.Sprintf("crossing %q gives no AWS session", c.Name))
		case h.crossings[c.Name] != nil:
			return nil, misuse("give each crossing a name of its own", fmt.Sprintf("two crossings are named %q", c.Name))
		}
		h.crossings[c.Name] = &crossing{c.Name, session.New(c.AWS.Session, o.Clock, encoder(c.AWS.RoleARN))}
	}
	h.root = h.crossings[o.Root]
	switch {
	case len(h.crossings) == 0:
		return nil, misuse("offer a crossing", "there is nothing to serve")
	case o.Root != "" && h.root == nil:
		return nil, misuse("name a crossing that is offered", fmt.Sprintf("no crossing is named %q", o.Root))
	}
	return h, nil
}

// encoder writes sessions of one role. What is not known is left out.
func encoder(roleARN string) func(s stile.Session, expires, now string) []byte {
	head := []byte("{")
	if text, err := json.Marshal(roleARN); err == nil && roleARN != "" {
		head = append(append(head, `"RoleArn":`...), text...)
	}
	return func(s stile.Session, expires, _ string) []byte {
		b := append(make([]byte, 0, 2048), head...)
		b = session.AppendField(b, "AccessKeyId", s.AccessKeyID)
		b = session.AppendField(b, "SecretAccessKey", s.SecretAccessKey.Reveal())
		b = session.AppendField(b, "Token", s.SessionToken.Reveal())
		b = session.AppendField(b, "Expiration", expires)
		if account := accountOf(s, roleARN); account != "" {
			b = session.AppendField(b, "AccountId", account)
		}
		return append(b, '}')
	}
}

// accountOf is the account's 12 digits: what STS said, or else what the role's ARN says.
func accountOf(s stile.Session, roleARN string) string {
	if s.AccountID != "" {
		return s.AccountID
	}
	parts := strings.SplitN(roleARN, ":", 6)
	if len(parts) == 6 && len(parts[4]) == 12 && strings.Trim(parts[4], "0123456789") == "" {
		return parts[4]
	}
	return ""
}

// find returns the crossing that is answered at a path as it was sent, or nil.
func (h *Handler) find(path string) *crossing {
	rest, ok := strings.CutPrefix(path, root)
	if !ok || rest == "" {
		if ok {
			return h.root
		}
		return nil
	}
	if rest[0] != '/' || strings.Contains(rest[1:], "/") {
		return nil
	}
	name, err := url.PathUnescape(rest[1:])
	if err != nil {
		return nil
	}
	return h.crossings[name]
}

var jsonType = []string{"application/json"}

// ServeHTTP answers one request. Whoever has not shown the token learns nothing but that.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		refuse(w, session.Refusal{Status: http.StatusMethodNotAllowed, Code: "MethodNotAllowed", Message: "credentials are read with GET"})
		return
	}
	c := h.find(r.URL.EscapedPath())
	if refusal, err := h.admit(r); err != nil {
		note := offer.Handed{Endpoint: endpoint, What: session.What, Err: err}
		if c != nil {
			note.Crossing = c.name
		}
		offer.Note(r, note)
		refuse(w, refusal)
		return
	}
	if c == nil {
		refuse(w, session.Refusal{Status: http.StatusNotFound, Code: "NotFound", Message: "no crossing is answered at this path; want " + root + "/NAME"})
		return
	}
	answer, err := c.held.Answer(r.Context())
	if err != nil {
		offer.Note(r, offer.Handed{Endpoint: endpoint, Crossing: c.name, What: session.What, Err: err})
		refuse(w, session.RefusalOf(err))
		return
	}
	offer.Note(r, offer.Handed{Endpoint: endpoint, Crossing: c.name, What: session.What, Expires: answer.Expires})
	header := w.Header()
	header["Content-Type"], header["Content-Length"] = jsonType, answer.Length
	_, _ = w.Write(answer.Body)
}

const endpoint = "ecs"

var errToken = &stile.Error{Op: "hand out container credentials", Hint: "set AWS_CONTAINER_AUTHORIZATION_TOKEN, or its _FILE, for this program",
	Err: fmt.Errorf("%w: the Authorization header is missing or is not this endpoint's token", stile.ErrRefused)}

// admit fails for a request without the token.
func (h *Handler) admit(r *http.Request) (session.Refusal, error) {
	switch ok, err := h.bearer.admits(r); {
	case err != nil:
		// Not the error's words, which name a file of the machine's to one who has shown nothing.
		return session.Refusal{Status: http.StatusServiceUnavailable, Code: "ServiceUnavailable", Message: "the endpoint cannot read its own token; see stile's log"}, err
	case !ok:
		return session.Refusal{Status: http.StatusUnauthorized, Code: "AccessDeniedException", Message: errors.Unwrap(errToken).Error() + "; " + errToken.Hint}, errToken
	}
	return session.Refusal{}, nil
}

func refuse(w http.ResponseWriter, refusal session.Refusal) {
	refusal.SetRetryAfter(w.Header())
	body, err := json.Marshal(map[string]string{"code": refusal.Code, "message": refusal.Message})
	if err != nil {
		body = []byte(`{"code":"InternalServerError","message":"see stile's log"}`)
	}
	w.Header()["Content-Type"] = jsonType
	w.WriteHeader(refusal.Status)
	_, _ = w.Write(body)
}
