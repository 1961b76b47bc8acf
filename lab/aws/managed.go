// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"fmt"

	awstrust "github.com/stile-project/stile/trust/aws"
)

// managedPolicies are the AWS managed policies that every lab has.
func managedPolicies() map[string]string {
	const form = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":%s,"Resource":"*"}]}`
	return map[string]string{
		"arn:aws:iam::aws:policy/AdministratorAccess":    fmt.Sprintf(form, `"*"`),
		"arn:aws:iam::aws:policy/AmazonS3FullAccess":     fmt.Sprintf(form, `["s3:*","s3-object-lambda:*"]`),
		"arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess": fmt.Sprintf(form, `["s3:Get*","s3:List*","s3:Describe*","s3-object-lambda:Get*","s3-object-lambda:List*"]`),
	}
}

// AddManagedPolicy makes a policy that PolicyArns can name.
func (c *Cloud) AddManagedPolicy(policyARN, doc string) error {
	if a, err := parseARN(policyARN); err != nil || a.service != "iam" {
		return fmt.Errorf("managed policy %.128q: want arn:PARTITION:iam::ACCOUNT:policy/NAME", policyARN)
	}
	if _, err := awstrust.ParseIdentity([]byte(doc)); err != nil {
		return fmt.Errorf("managed policy %.128q: %w", policyARN, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.managed[policyARN] = doc
	return nil
}
