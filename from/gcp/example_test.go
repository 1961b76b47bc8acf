// SPDX-License-Identifier: Apache-2.0

package fromgcp_test

import (
	"context"
	"fmt"
	"net/http"

	fromgcp "github.com/stile-project/stile/from/gcp"
	"github.com/stile-project/stile/lab"
	labgcp "github.com/stile-project/stile/lab/gcp"
	"github.com/stile-project/stile/lab/stage"
)

// A service on Cloud Run speaks for another service account, and looks at what an AWS trust policy will see.
func ExampleReadClaims() {
	scene, err := stage.Set(lab.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	service := scene.World.Google.CloudRun(labgcp.Service{Project: stage.Project, Region: "europe-west1", Name: "report", ServiceAccount: stage.Reader})
	if err := scene.World.Google.Grant("serviceAccounts/"+stage.Resizer, "roles/iam.serviceAccountTokenCreator", "serviceAccount:"+stage.Reader); err != nil {
		fmt.Println(err)
		return
	}
	network := &http.Client{Transport: scene.World.Network(&lab.Place{Metadata: service})} // outside the lab: leave the clients out

	source := &fromgcp.SignedJWT{ServiceAccount: stage.Resizer, Access: &fromgcp.Metadata{Client: network}, Client: network}
	token, err := source.SubjectToken(context.Background(), "sts.amazonaws.com/111122223333")
	if err != nil {
		fmt.Println(err)
		return
	}
	claims, err := fromgcp.ReadClaims(token)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, condition := range claims.AWSConditions() {
		fmt.Println(condition[0], condition[1])
	}
	// Output:
	// accounts.google.com:sub 104025398480737525392
	// accounts.google.com:aud resizer@demo-proj.iam.gserviceaccount.com
	// accounts.google.com:oaud sts.amazonaws.com/111122223333
}
