// SPDX-License-Identifier: Apache-2.0

package fromoidc_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/stile-project/stile"
	fromoidc "github.com/stile-project/stile/from/oidc"
	"github.com/stile-project/stile/lab"
	"github.com/stile-project/stile/lab/stage"
	toaws "github.com/stile-project/stile/to/aws"
)

// A GitHub Actions job becomes a role in AWS. Outside the lab, neither Lookup nor Client is needed.
func Example() {
	scene, err := stage.Everywhere(lab.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: scene.World.Network(nil)}
	source := &fromoidc.GitHubActions{Lookup: scene.Runner.Variables().Lookup, Client: client}
	role := &toaws.Role{ARN: stage.GitHub.Role(), Region: stage.Region, WebAudience: stage.STSAudience, Client: client}
	cred, err := stile.Cross(source, role).Credential(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cred.Kind, "of account", cred.Session.AccountID)
	// Output: AWS session of account 111122223333
}

func ExampleSplitCommand() {
	command, err := fromoidc.SplitCommand("/usr/local/bin/mint --aud x")
	fmt.Printf("%q %v\n", command, err)
	_, err = fromoidc.SplitCommand(`mint --aud "x y"`)
	fmt.Println(err)
	// Output:
	// ["/usr/local/bin/mint" "--aud" "x"] <nil>
	// misused: a command with quotation marks, which would reach the program as they are: put the call into a script
}
