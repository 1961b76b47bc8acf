// SPDX-License-Identifier: Apache-2.0

package labgcp_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	labgcp "github.com/stile-project/stile/lab/gcp"
)

// A machine with a service account, and what a program on it reads from the metadata server.
func Example() {
	google := labgcp.New(labgcp.Config{})
	if err := google.AddProject("demo-proj", "123456789012"); err != nil {
		fmt.Println(err)
	}
	app, err := google.AddServiceAccount("demo-proj", "resizer")
	if err != nil {
		fmt.Println(err)
	}
	vm := google.VM(labgcp.Machine{Project: "demo-proj", Zone: "europe-west1-b", Name: "vm1", ServiceAccount: app.Email})

	r := httptest.NewRequest(http.MethodGet, "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/email", nil)
	for _, flavor := range []string{"", "Google"} {
		r.Header.Set("Metadata-Flavor", flavor)
		w := httptest.NewRecorder()
		vm.ServeHTTP(w, r)
		fmt.Println(w.Code)
		if w.Code == http.StatusOK {
			fmt.Println(w.Body)
		}
	}
	// Output:
	// 403
	// 200
	// resizer@demo-proj.iam.gserviceaccount.com
}

// A provider that trusts an AWS account, and a binding that lets one of its roles act as a service account.
func ExampleCloud_Grant() {
	google := labgcp.New(labgcp.Config{})
	const pool = "projects/123456789012/locations/global/workloadIdentityPools/aws-pool"
	reader := "etl-reader@demo-proj.iam.gserviceaccount.com"
	fmt.Println(google.AddProject("demo-proj", "123456789012"))
	_, err := google.AddServiceAccount("demo-proj", "etl-reader")
	fmt.Println(err)
	fmt.Println(google.AddPool("demo-proj", "aws-pool"))
	fmt.Println(google.AddProvider(labgcp.Provider{Project: "demo-proj", Pool: "aws-pool", ID: "aws-prov", AWSAccount: "111122223333"}))
	fmt.Println(google.Grant("serviceAccounts/"+reader, "roles/iam.workloadIdentityUser",
		"principalSet://iam.googleapis.com/"+pool+"/attribute.aws_role/arn:aws:sts::111122223333:assumed-role/etl-role"))
	// Output:
	// <nil>
	// <nil>
	// <nil>
	// <nil>
	// <nil>
}
