// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"encoding/xml"
	"net/http"
)

// s3Error is S3's own shape: no namespace, no Type, and elements that depend on the code.
type s3Error struct {
	XMLName xml.Name `xml:"Error"`
	Code    string
	Message string
	Extra   []s3Field
	Request string `xml:"RequestId"`
	Host    string `xml:"HostId"`
}

type s3Field struct {
	XMLName xml.Name
	Value   string `xml:",chardata"`
}

// withFields adds elements, given as names and values in turn.
func withFields(f *fault, pairs ...string) *fault {
	for i := 0; i+1 < len(pairs); i += 2 {
		f.Extra = append(f.Extra, field{pairs[i], pairs[i+1]})
	}
	return f
}

func writeS3Error(w http.ResponseWriter, r *http.Request, f *fault) {
	id, host := newID("")[:16], randomBase64(48)
	doc := s3Error{Code: f.Code, Message: f.Message, Request: id, Host: host}
	w.Header().Set("X-Amz-Request-Id", id)
	w.Header().Set("X-Amz-Id-2", host)
	for _, x := range f.Extra {
		doc.Extra = append(doc.Extra, s3Field{xml.Name{Local: x.Name}, x.Value})
		if x.Name == "Region" {
			w.Header().Set("X-Amz-Bucket-Region", x.Value)
		}
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(f.Status)
		return
	}
	writeS3(w, f.Status, doc)
}

func writeS3(w http.ResponseWriter, status int, doc any) {
	body, err := xml.Marshal(doc)
	if err != nil {
		http.Error(w, "labaws: cannot write the answer", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Server", "AmazonS3")
	w.WriteHeader(status)
	_, _ = w.Write(append([]byte(xml.Header), body...))
}
