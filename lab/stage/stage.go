// SPDX-License-Identifier: Apache-2.0

// Package stage sets the scene that the demo and the tests play in: a workload in AWS that may read Google Cloud, a
// workload in Google Cloud that may read AWS, and the trust between them, exact and without wildcards.
package stage

import (
	"fmt"

	"github.com/stile-project/stile/lab"
	labaws "github.com/stile-project/stile/lab/aws"
	labgcp "github.com/stile-project/stile/lab/gcp"
)

// What the scene is made of.
const (
	Account = "111122223333"
	Region  = "eu-west-1"

	Role           = "arn:aws:iam::111122223333:role/etl-role"   // what the AWS workload is
	OtherRole      = "arn:aws:iam::111122223333:role/other-role" // passes the provider's account, fails its condition
	FromGCP        = "arn:aws:iam::111122223333:role/from-gcp"   // what the Google workload may become
	Images         = "images"                                    // S3: FromGCP may read and write
	Settings       = "etl-settings"                              // S3: Role may read
	ImagesAudience = "sts.amazonaws.com/" + Account

	Project = "demo-proj"
	Number  = "123456789012"

	Pool     = "projects/" + Number + "/locations/global/workloadIdentityPools/aws-pool"
	Provider = Pool + "/providers/aws-prov"
	// OtherProvider trusts the same account: what is signed for Provider must not work here.
	OtherProvider = Pool + "/providers/aws-other"

	Reader    = "etl-reader@demo-proj.iam.gserviceaccount.com"  // Role may act as it; it may read Warehouse
	Unbound   = "etl-unbound@demo-proj.iam.gserviceaccount.com" // nobody may act as it, though a binding tries
	Resizer   = "resizer@demo-proj.iam.gserviceaccount.com"     // the Google workload
	Warehouse = "warehouse"                                     // Cloud Storage: Reader may read
	Direct    = "warehouse-direct"                              // Cloud Storage: Role may read, with no service account between
)

// Objects in the buckets, to know when something was really read.
const (
	Orders     = "order,total\n1001,42.00\n"
	OrdersName = "orders.csv"
	Cat        = "\x89PNG: a cat\n"
	CatName    = "cat.png"
)

// member is the AWS role as Google Cloud names it: the session's ARN without the session.
const member = "principalSet://iam.googleapis.com/" + Pool + "/attribute.aws_role/arn:aws:sts::" + Account + ":assumed-role/etl-role"

// A Stage is the scene, standing.
type Stage struct {
	World *lab.World

	EC2   *lab.Place         // an instance with Role
	ECS   *lab.Place         // a Fargate task with Role
	Task  *labaws.TaskServer // the same task, to learn its paths
	Other *lab.Place         // an instance with OtherRole
	VM    *lab.Place         // a Compute Engine machine with Resizer

	ResizerID string // Resizer's numeric id, which is azp and sub of its tokens
	Function  string // the URL of a function that Reader may call
}

// Set builds the scene in a new world.
func Set(o lab.Options) (*Stage, error) {
	s := &Stage{World: lab.New(o)}
	for _, step := range []func() error{s.googleSide, s.awsSide, s.places} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("set the stage: %w", err)
		}
	}
	return s, nil
}

func (s *Stage) googleSide() error {
	g := s.World.Google
	if err := g.AddProject(Project, Number); err != nil {
		return err
	}
	for _, name := range []string{"etl-reader", "etl-unbound"} {
		if _, err := g.AddServiceAccount(Project, name); err != nil {
			return err
		}
	}
	resizer, err := g.AddServiceAccount(Project, "resizer")
	if err != nil {
		return err
	}
	s.ResizerID = resizer.UniqueID
	if err := g.AddPool(Project, "aws-pool"); err != nil {
		return err
	}
	if err := g.AddProvider(labgcp.Provider{Project: Project, Pool: "aws-pool", ID: "aws-prov", AWSAccount: Account,
		Condition: "attribute.aws_role == 'arn:aws:sts::" + Account + ":assumed-role/etl-role'"}); err != nil {
		return err
	}
	if err := g.AddProvider(labgcp.Provider{Project: Project, Pool: "aws-pool", ID: "aws-other", AWSAccount: Account}); err != nil {
		return err
	}
	if s.Function, err = g.AddFunction(Project, "europe-west1", "hello"); err != nil {
		return err
	}
	return s.googleData()
}

func (s *Stage) googleData() error {
	g := s.World.Google
	for _, bucket := range []string{Warehouse, Direct} {
		if err := g.AddBucket(Project, bucket); err != nil {
			return err
		}
		if err := g.PutObject(bucket, OrdersName, []byte(Orders)); err != nil {
			return err
		}
	}
	for _, grant := range [][3]string{
		{"serviceAccounts/" + Reader, "roles/iam.workloadIdentityUser", member},
		// The mistake that published walk-throughs make: an IAM role's ARN, which no session ever matches.
		{"serviceAccounts/" + Unbound, "roles/iam.workloadIdentityUser", "principalSet://iam.googleapis.com/" + Pool + "/attribute.aws_role/" + Role},
		{"buckets/" + Warehouse, "roles/storage.objectViewer", "serviceAccount:" + Reader},
		{"buckets/" + Direct, "roles/storage.objectViewer", member},
		{"functions/hello", "roles/cloudfunctions.invoker", "serviceAccount:" + Reader},
		{"projects/" + Project, "roles/browser", "serviceAccount:" + Reader},
	} {
		if err := g.Grant(grant[0], grant[1], grant[2]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stage) awsSide() error {
	a := s.World.AWS
	service := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":["ec2.amazonaws.com","ecs-tasks.amazonaws.com"]},"Action":"sts:AssumeRole"}]}`
	roles := []labaws.Role{
		{Account: Account, Name: "etl-role", Trust: service, Permissions: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::` + Settings + `/*"}]}`},
		{Account: Account, Name: "other-role", Trust: service},
		{Account: Account, Name: "from-gcp", Trust: s.trust(), Permissions: `{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::` + Images + `"},
			{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::` + Images + `/*"}]}`},
	}
	for _, role := range roles {
		if err := a.AddRole(role); err != nil {
			return err
		}
	}
	for _, bucket := range []string{Images, Settings} {
		if err := a.AddBucket(Account, bucket, Region); err != nil {
			return err
		}
	}
	if err := a.PutObject(Settings, "credential.json", []byte(CredentialFile)); err != nil {
		return err
	}
	return a.PutObject(Images, CatName, []byte(Cat))
}

// trust is exact in all three: whose token, for whom it was made, and what was asked.
func (s *Stage) trust() string {
	return `{"Version":"2012-10-17","Statement":[{"Sid":"Resizer","Effect":"Allow","Principal":{"Federated":"accounts.google.com"},
 "Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{
   "accounts.google.com:sub":"` + s.ResizerID + `","accounts.google.com:aud":"` + s.ResizerID + `",
   "accounts.google.com:oaud":"` + ImagesAudience + `"}}}]}`
}

func (s *Stage) places() error {
	a := s.World.AWS
	s.EC2 = &lab.Place{Metadata: a.EC2(labaws.Instance{ID: "i-0abc123def4567890", Region: Region, Zone: Region + "a", RoleARN: Role})}
	s.Other = &lab.Place{Metadata: a.EC2(labaws.Instance{ID: "i-0fedcba9876543210", Region: Region, Zone: Region + "b", RoleARN: OtherRole})}
	s.Task = a.ECS(labaws.Task{ID: "3f2a1b4c5d6e7f80911a2b3c4d5e6f70", Region: Region, Zone: Region + "a", RoleARN: Role, Fargate: true})
	s.ECS = &lab.Place{Container: s.Task}
	s.VM = &lab.Place{Metadata: s.World.Google.VM(labgcp.Machine{Project: Project, Zone: "europe-west1-b", Name: "resizer-1", ServiceAccount: Resizer})}
	return nil
}

// CredentialFile is an external_account file for Role to act as Reader, in the shape that
// gcloud iam workload-identity-pools create-cred-config writes.
const CredentialFile = `{
  "universe_domain": "googleapis.com",
  "type": "external_account",
  "audience": "//iam.googleapis.com/` + Provider + `",
  "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request",
  "token_url": "https://sts.googleapis.com/v1/token",
  "credential_source": {
    "environment_id": "aws1",
    "region_url": "http://169.254.169.254/latest/meta-data/placement/availability-zone",
    "url": "http://169.254.169.254/latest/meta-data/iam/security-credentials",
    "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
    "imdsv2_session_token_url": "http://169.254.169.254/latest/api/token"
  },
  "service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/` + Reader + `:generateAccessToken"
}`
