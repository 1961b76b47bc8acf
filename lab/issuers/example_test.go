// SPDX-License-Identifier: Apache-2.0

package issuers_test

import (
	"fmt"
	"time"

	"github.com/stile-project/stile/lab/issuers"
)

func Example() {
	d := issuers.New(issuers.Config{Clock: time.Now})
	runner, err := d.GitHub.Run(issuers.GitHubJob{Repository: "octo-org/app", IDToken: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, may := runner.Variables().Lookup("ACTIONS_ID_TOKEN_REQUEST_URL")
	fmt.Println("the job may ask for tokens:", may)

	cluster, err := d.AddCluster(issuers.Cluster{Name: "prod", Issuer: issuers.GKEIssuer("demo-proj", "europe-west1", "prod")})
	if err != nil {
		fmt.Println(err)
		return
	}
	account := issuers.Account{Namespace: "etl", Name: "app"}
	if err := cluster.AddAccount(account); err != nil {
		fmt.Println(err)
		return
	}
	pod, err := cluster.Start(issuers.PodSpec{Account: account, Projections: []issuers.Projection{{Path: "/tokens/aws", Audience: "sts.amazonaws.com"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	files, err := pod.Files()
	fmt.Println(files, err)
	// Output:
	// the job may ask for tokens: true
	// [files /tokens/aws /var/run/secrets/kubernetes.io/serviceaccount/ca.crt /var/run/secrets/kubernetes.io/serviceaccount/namespace /var/run/secrets/kubernetes.io/serviceaccount/token] <nil>
}
