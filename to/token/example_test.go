// SPDX-License-Identifier: Apache-2.0

package totoken_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/stile-project/stile"
	fromgcp "github.com/stile-project/stile/from/gcp"
	"github.com/stile-project/stile/lab"
	"github.com/stile-project/stile/lab/stage"
	totoken "github.com/stile-project/stile/to/token"
)

// A machine in Google Cloud signs in to Vault by its own ID token.
func ExampleToken() {
	scene, err := stage.Set(lab.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	source := &fromgcp.Metadata{Client: &http.Client{Transport: scene.World.Network(scene.VM)}} // outside the lab: &fromgcp.Metadata{}
	cred, err := stile.Cross(source, &totoken.Token{TokenAudience: "https://vault.example"}).Credential(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cred.Kind, "of", cred.Principal)
	// Output: ID token of resizer@demo-proj.iam.gserviceaccount.com
}
