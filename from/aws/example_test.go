// SPDX-License-Identifier: Apache-2.0

package fromaws_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	fromaws "github.com/stile-project/stile/from/aws"
	"github.com/stile-project/stile/lab"
	labaws "github.com/stile-project/stile/lab/aws"
	"github.com/stile-project/stile/lab/stage"
)

// AWS issues a token for an audience, and the role is its subject.
func ExampleWebIdentityToken() {
	scene, err := stage.Set(lab.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	cloud := scene.World.AWS
	allowed := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:GetWebIdentityToken","Resource":"*"}]}`
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	err = cloud.AddRole(labaws.Role{Account: stage.Account, Name: "etl-role", Trust: trust, Permissions: allowed})
	if _, enabled := cloud.EnableOutboundFederation(stage.Account); err != nil || enabled != nil {
		fmt.Println(err, enabled)
		return
	}
	keys, err := cloud.Session(stage.Role, "i-0abc123def4567890", time.Hour)
	if err != nil {
		fmt.Println(err)
		return
	}
	source := &fromaws.WebIdentityToken{
		Credentials: credentials.NewStaticCredentialsProvider(keys.AccessKeyID, keys.SecretAccessKey, keys.SessionToken),
		Region:      fromaws.FixedRegion("eu-west-1"),
		Client:      &http.Client{Transport: scene.World.Network(nil)}, // the lab
	}
	token, err := source.SubjectToken(context.Background(), "https://vault.example")
	fmt.Println(token.Type, token.Subject, token.Value, err)
	// Output: urn:ietf:params:oauth:token-type:jwt arn:aws:iam::111122223333:role/etl-role [secret] <nil>
}
