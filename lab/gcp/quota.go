// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"fmt"
	"net/http"
)

const quotaHeader = "X-Goog-User-Project"

// chargedProject is the project that a request asks to be charged to, in its header or through its token.
func (q *call) chargedProject(token accessToken) string {
	if named := q.r.Header.Get(quotaHeader); named != "" {
		return named
	}
	return token.userProject
}

// mayCharge reports whether the caller has serviceusage.services.use on the project that is to be charged.
func (q *call) mayCharge(token accessToken, ref string) bool {
	q.mu.Lock()
	p := q.projectByRef(ref)
	q.mu.Unlock()
	if p == nil {
		q.entry.Fail("there is no project %s to charge the call to", clip(ref, 64))
		return false
	}
	return q.permitted(token.principal, token.members, permUseServices, "projects/"+p.id)
}

// checkCharge is mayCharge for the newer APIs, in their words.
func (q *call) checkCharge(a api, token accessToken) error {
	ref := q.chargedProject(token)
	if ref == "" || q.mayCharge(token, ref) {
		return nil
	}
	ref = clip(ref, 64)
	text := fmt.Sprintf("Caller does not have required permission to use project %s. Grant the caller the roles/serviceusage.serviceUsageConsumer role, "+
		"or a custom role with the serviceusage.services.use permission, by visiting https://console.developers.google.com/iam-admin/iam/project?project=%[1]s "+
		"and then retry. Propagation of the new permission may take a few minutes.", ref)
	return &refusal{apiError(http.StatusForbidden, text, errorInfo("USER_PROJECT_DENIED", "googleapis.com", map[string]string{"service": a.service, "consumer": "projects/" + ref}))}
}

// checkStorageCharge is mayCharge for Cloud Storage, in its words.
func (q *call) checkStorageCharge(token accessToken) error {
	ref := q.chargedProject(token)
	if ref == "" || q.mayCharge(token, ref) {
		return nil
	}
	return &refusal{storageError(http.StatusForbidden, "forbidden", access{permission: permUseServices}.denial(storageName(token)))}
}
