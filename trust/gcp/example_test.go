// SPDX-License-Identifier: Apache-2.0

package gcptrust_test

import (
	"fmt"

	gcptrust "github.com/stile-project/stile/trust/gcp"
)

func Example() {
	rules, err := gcptrust.Compile(gcptrust.DefaultAWS(), "attribute.aws_role == 'arn:aws:sts::111122223333:assumed-role/etl-role'")
	if err != nil {
		fmt.Println(err)
		return
	}
	assertion := map[string]any{
		"account": "111122223333",
		"arn":     "arn:aws:sts::111122223333:assumed-role/etl-role/i-0abc123def4567890",
		"userid":  "AROAEXAMPLE:i-0abc123def4567890",
	}
	mapped, err := rules.Map(assertion)
	if err != nil {
		fmt.Println(err)
		return
	}
	admitted, err := rules.Admits(assertion, mapped)
	fmt.Println("admitted:", admitted, err)
	for _, member := range mapped.Members("projects/1/locations/global/workloadIdentityPools/aws") {
		fmt.Println(member)
	}
	// Output:
	// admitted: true <nil>
	// principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/aws/subject/arn:aws:sts::111122223333:assumed-role/etl-role/i-0abc123def4567890
	// principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/aws/attribute.aws_role/arn:aws:sts::111122223333:assumed-role/etl-role
	// principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/aws/*
}

func ExampleRules_Explain() {
	rules, err := gcptrust.Compile(gcptrust.DefaultAWS(), "assertion.account == '111122223333' && attribute.aws_role.endsWith('/ETL-role')")
	if err != nil {
		fmt.Println(err)
		return
	}
	assertion := map[string]any{"account": "111122223333", "arn": "arn:aws:sts::111122223333:assumed-role/etl-role/session"}
	mapped, err := rules.Map(assertion)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(rules.Explain(assertion, mapped))
	// Output:
	// attribute.aws_role.endsWith("/ETL-role") is false: attribute.aws_role is "arn:aws:sts::111122223333:assumed-role/etl-role"
}
