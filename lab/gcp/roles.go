// SPDX-License-Identifier: Apache-2.0

package labgcp

// A role is a named set of permissions, and says which kinds of resource it can be granted on.
type role struct {
	on          string // space-separated: projects serviceAccounts buckets functions
	permissions []string
}

// The permissions that are checked somewhere.
const (
	permGetAccessToken     = "iam.serviceAccounts.getAccessToken"
	permGetOpenIDToken     = "iam.serviceAccounts.getOpenIdToken"
	permImplicitDelegation = "iam.serviceAccounts.implicitDelegation"
	permSignBlob           = "iam.serviceAccounts.signBlob"
	permSignJWT            = "iam.serviceAccounts.signJwt"

	permBucketsGet    = "storage.buckets.get"
	permBucketsList   = "storage.buckets.list"
	permObjectsCreate = "storage.objects.create"
	permObjectsDelete = "storage.objects.delete"
	permObjectsGet    = "storage.objects.get"
	permObjectsList   = "storage.objects.list"

	permProjectsGet     = "resourcemanager.projects.get"
	permUseServices     = "serviceusage.services.use"
	permInvokeRun       = "run.routes.invoke"
	permInvokeFunctions = "cloudfunctions.functions.invoke"
)

// roles are Google's predefined roles, cut to the permissions that matter here. Source: the IAM roles reference.
var roles = map[string]role{
	"roles/iam.workloadIdentityUser":             {"projects serviceAccounts", []string{permGetAccessToken, permGetOpenIDToken}},
	"roles/iam.serviceAccountTokenCreator":       {"projects serviceAccounts", []string{permGetAccessToken, permGetOpenIDToken, permImplicitDelegation, permSignBlob, permSignJWT}},
	"roles/iam.serviceAccountOpenIdTokenCreator": {"projects serviceAccounts", []string{permGetOpenIDToken}},
	"roles/iam.serviceAccountUser":               {"projects serviceAccounts", nil}, // actAs, which opens nothing here
	"roles/iam.serviceAccountViewer":             {"projects serviceAccounts", nil},

	"roles/storage.objectViewer":       {"projects buckets", []string{permObjectsGet, permObjectsList, permProjectsGet}},
	"roles/storage.objectCreator":      {"projects buckets", []string{permObjectsCreate, permProjectsGet}},
	"roles/storage.objectUser":         {"projects buckets", []string{permObjectsCreate, permObjectsDelete, permObjectsGet, permObjectsList, permProjectsGet}},
	"roles/storage.objectAdmin":        {"projects buckets", []string{permObjectsCreate, permObjectsDelete, permObjectsGet, permObjectsList, permProjectsGet}},
	"roles/storage.admin":              {"projects buckets", []string{permBucketsGet, permBucketsList, permObjectsCreate, permObjectsDelete, permObjectsGet, permObjectsList, permProjectsGet}},
	"roles/storage.bucketViewer":       {"projects buckets", []string{permBucketsGet, permBucketsList}},
	"roles/storage.legacyBucketReader": {"buckets", []string{permBucketsGet, permObjectsList}},
	"roles/storage.legacyBucketWriter": {"buckets", []string{permBucketsGet, permObjectsCreate, permObjectsDelete, permObjectsList}},
	"roles/storage.legacyObjectReader": {"buckets", []string{permObjectsGet}},

	"roles/run.invoker":            {"projects functions", []string{permInvokeRun}},
	"roles/cloudfunctions.invoker": {"projects functions", []string{permInvokeFunctions}},

	"roles/serviceusage.serviceUsageConsumer": {"projects", []string{permUseServices}},

	"roles/browser": {"projects", []string{permProjectsGet}},
	"roles/viewer":  {"projects", []string{permProjectsGet, permBucketsList}},
	"roles/editor":  {"projects", []string{permProjectsGet, permBucketsList, permUseServices}},
	"roles/owner":   {"projects", []string{permProjectsGet, permBucketsList, permInvokeFunctions, permUseServices}},
}
