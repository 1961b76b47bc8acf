// SPDX-License-Identifier: Apache-2.0

package awschain_test

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/stile-project/stile/from/aws/awschain"
	"github.com/stile-project/stile/lab"
	"github.com/stile-project/stile/lab/stage"
)

// A task has an endpoint that gives out its role, so that instance metadata, which would give the host's, is not asked.
func ExampleSearch() {
	scene, err := stage.Set(lab.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	environment := map[string]string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": scene.Task.CredentialsPath(), "AWS_REGION": "eu-west-1",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull}
	report := awschain.Search(context.Background(), awschain.Options{
		Client: &http.Client{Transport: scene.World.Network(scene.ECS)}, // the lab, as its ECS task sees it
		Lookup: func(name string) (string, bool) { value, ok := environment[name]; return value, ok },
	})
	for _, step := range report.Steps {
		fmt.Printf("%-18s  %s\n", step.Place, step.State)
	}
	fmt.Println(report.Err)
	// Output:
	// environment         not here
	// web identity        not here
	// profile             not here
	// container endpoint  used
	// instance metadata   not used
	// region              used
	// <nil>
}
