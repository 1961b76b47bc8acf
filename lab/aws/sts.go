// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"encoding/xml"
	"net/http"

	"github.com/stile-project/stile/lab/journal"
)

// stsNamespace is the namespace of every STS answer, and stsVersion the one API version there is.
const (
	stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"
	stsVersion   = "2011-06-15"
)

// stsServer is STS behind one host name.
type stsServer struct {
	cloud *Cloud
	at    endpoint
}

// An stsCall is one request on its way through an action.
type stsCall struct {
	*stsServer
	request *http.Request
	body    []byte
	form    form
	entry   *journal.Entry
}

// ServeHTTP answers one request and writes one journal entry.
func (s *stsServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := &journal.Entry{Time: s.cloud.clock(), Cloud: "AWS", Service: "STS"}
	id := newRequestID()
	answer, err := s.answer(r, e)
	if f := asFault(err); f != nil {
		e.Status, e.Code, e.Message = f.Status, f.Code, f.Message
		writeXML(w, id, f.Status, stsError(f, id))
	} else {
		e.Status = http.StatusOK
		writeXML(w, id, http.StatusOK, stsAnswer{
			XMLName: xml.Name{Space: stsNamespace, Local: e.Operation + "Response"},
			Result:  answer, Metadata: responseMetadata{id},
		})
	}
	s.cloud.journal.Add(*e)
}

func (s *stsServer) answer(r *http.Request, e *journal.Entry) (any, error) {
	f, body, err := readForm(r)
	if err != nil {
		return nil, err
	}
	if r.URL.Path != "" && r.URL.Path != "/" {
		return nil, refuse(404, "UnknownOperationException", "There is no operation at this path.")
	}
	call := &stsCall{s, r, body, f, e}
	actions := map[string]func() (any, error){
		"GetCallerIdentity":         call.getCallerIdentity,
		"AssumeRole":                call.assumeRole,
		"AssumeRoleWithWebIdentity": call.assumeRoleWithWebIdentity,
		"GetWebIdentityToken":       call.getWebIdentityToken,
	}
	name, version := f["Action"], f["Version"]
	if name == "" {
		return nil, refuse(400, "MissingAction", "The request is missing an action or a required parameter.")
	}
	action := actions[name]
	if version == "" {
		version = "NO_VERSION_SPECIFIED"
	}
	if action == nil || version != stsVersion {
		return nil, refuse(400, "InvalidAction", "Could not find operation %.64s for version %.32s", name, version)
	}
	e.Operation = name
	return action()
}

type stsAnswer struct {
	XMLName  xml.Name
	Result   any
	Metadata responseMetadata `xml:"ResponseMetadata"`
}

type responseMetadata struct {
	RequestID string `xml:"RequestId"`
}

type errorResponse struct {
	XMLName xml.Name    `xml:"ErrorResponse"`
	Space   string      `xml:"xmlns,attr"`
	Error   errorDetail `xml:"Error"`
	ID      string      `xml:"RequestId"`
}

type errorDetail struct{ Type, Code, Message string }

func stsError(f *fault, id string) errorResponse {
	whose := "Sender"
	if f.Status >= 500 {
		whose = "Receiver"
	}
	return errorResponse{Space: stsNamespace, Error: errorDetail{whose, f.Code, f.Message}, ID: id}
}

func writeXML(w http.ResponseWriter, id string, status int, v any) {
	body, err := xml.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, "labaws: cannot write the answer", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("X-Amzn-Requestid", id)
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
