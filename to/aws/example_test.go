// SPDX-License-Identifier: Apache-2.0

package toaws_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/stile-project/stile"
	fromgcp "github.com/stile-project/stile/from/gcp"
	"github.com/stile-project/stile/lab"
	labaws "github.com/stile-project/stile/lab/aws"
	"github.com/stile-project/stile/lab/stage"
	toaws "github.com/stile-project/stile/to/aws"
)

// A machine in Google Cloud becomes a role of its own company, and by that one a role of a partner's account.
func ExampleRole_then() {
	scene, err := stage.Set(lab.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	own, partners := "arn:aws:iam::111122223333:role/gateway", "arn:aws:iam::444455556666:role/shared"
	for _, role := range []labaws.Role{
		{Account: "111122223333", Name: "gateway", Permissions: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"` + partners + `"}}`,
			Trust: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"accounts.google.com"},"Action":"sts:AssumeRoleWithWebIdentity",
				"Condition":{"StringEquals":{"accounts.google.com:sub":"` + scene.ResizerID + `","accounts.google.com:oaud":"sts.amazonaws.com/111122223333"}}}}`},
		{Account: "444455556666", Name: "shared", Trust: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + own + `"},"Action":"sts:AssumeRole",
			"Condition":{"StringEquals":{"sts:ExternalId":"stile-7"}}}}`},
	} {
		if err := scene.World.AWS.AddRole(role); err != nil {
			fmt.Println(err)
			return
		}
	}
	network := &http.Client{Transport: scene.World.Network(scene.VM)} // outside the lab: leave the clients out

	cred, err := stile.Cross(&fromgcp.Metadata{Client: network}, &toaws.Role{
		ARN: own, Region: "eu-west-1", WebAudience: "sts.amazonaws.com/111122223333", SessionName: "nightly",
		Then:   &toaws.NextRole{ARN: partners, ExternalID: "stile-7"},
		Client: network,
	}).Credential(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cred.Principal, "of account", cred.Session.AccountID)
	// Output: arn:aws:sts::444455556666:assumed-role/shared/nightly of account 444455556666
}
