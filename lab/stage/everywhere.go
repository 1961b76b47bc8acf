// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"fmt"

	"github.com/stile-project/stile/lab"
	labaws "github.com/stile-project/stile/lab/aws"
	labgcp "github.com/stile-project/stile/lab/gcp"
	"github.com/stile-project/stile/lab/issuers"
)

// An Origin is where a workload gets its token that is at home in neither cloud, or in AWS but shows an OIDC token.
// What trusts it is named after it.
type Origin string

// The origins. AWSToken, the token of sts:GetWebIdentityToken, is trusted by Google Cloud alone: AWS takes none of its own.
const (
	GitHub     Origin = "github"
	GitLab     Origin = "gitlab"
	EKS        Origin = "eks"
	GKE        Origin = "gke"
	Kubernetes Origin = "kubernetes"
	SPIFFE     Origin = "spiffe"
	AWSToken   Origin = "awstoken"
)

// Origins are those that both clouds trust.
func Origins() []Origin { return []Origin{GitHub, GitLab, EKS, GKE, Kubernetes, SPIFFE} }

// What the workloads of the larger scene are called where they run.
const (
	Repository  = "octo-org/warehouse"
	RefName     = "main"
	GroupedRepo = "octo-group/etl/warehouse" // on GitLab
	Namespace   = "etl"
	Pods        = "warehouse" // the Kubernetes service account
	SPIFFEPath  = "/etl/warehouse"
	TrustDomain = "example.org"

	OutboundRole = "arn:aws:iam::" + Account + ":role/outbound-role" // may ask AWS for tokens

	// STSAudience is whom tokens for AWS are made out to. Those for Google Cloud name the provider.
	STSAudience = "sts.amazonaws.com"

	// Where a GitLab job and a pod find their tokens, which somebody made out to one cloud.
	AWSVariable    = "AWS_ID_TOKEN"
	GoogleVariable = "GOOGLE_ID_TOKEN"
	AWSFile        = "/var/run/secrets/tokens/aws"
	GoogleFile     = "/var/run/secrets/tokens/google"
)

const issuerPool = "issuers-pool"

// Role is what the origin's workload may become in AWS; it may read and write [Origin.S3Bucket].
func (o Origin) Role() string { return "arn:aws:iam::" + Account + ":role/" + o.name() }

// S3Bucket holds [CatName].
func (o Origin) S3Bucket() string { return "images-" + string(o) }

// Provider is the full name of the workload identity pool provider that trusts the origin's issuer.
func (o Origin) Provider() string {
	return "projects/" + Number + "/locations/global/workloadIdentityPools/" + issuerPool + "/providers/" + o.name()
}

// Audience is whom the origin's tokens for Google Cloud are made out to.
func (o Origin) Audience() string { return "//iam.googleapis.com/" + o.Provider() }

// ServiceAccount is whom the origin's workload may act as; it may read [Origin.Bucket], as may the workload itself.
func (o Origin) ServiceAccount() string {
	return o.name() + "@" + Project + ".iam.gserviceaccount.com"
}

func (o Origin) name() string { return "from-" + string(o) }

// Bucket holds [OrdersName].
func (o Origin) Bucket() string { return "warehouse-" + string(o) }

// A Wide is the larger scene: the [Stage], and a workload in every place outside both clouds, trusted by both, exactly.
type Wide struct {
	*Stage

	Runner   *issuers.Runner                   // a GitHub Actions job of Repository on RefName
	Job      issuers.Variables                 // a GitLab job of GroupedRepo on RefName
	Clusters map[Origin]*issuers.ClusterServer // EKS, GKE, Kubernetes
	Pods     map[Origin]*issuers.Pod           // one in each, which may also create tokens of its own account
	Domain   *issuers.TrustDomainServer        // SPIFFE
	Agent    *issuers.Agent                    // entitled to SPIFFEPath
	Outbound *lab.Place                        // an EC2 instance with OutboundRole
	Subjects map[Origin]string                 // the sub of each workload's tokens
	Issuers  map[Origin]string                 // their iss
}

// Everywhere builds the larger scene in a new world.
func Everywhere(o lab.Options) (*Wide, error) {
	s, err := Set(o)
	if err != nil {
		return nil, err
	}
	w := &Wide{Stage: s, Clusters: map[Origin]*issuers.ClusterServer{}, Pods: map[Origin]*issuers.Pod{},
		Subjects: map[Origin]string{}, Issuers: map[Origin]string{}}
	for _, step := range []func() error{w.continuous, w.clusters, w.spiffe, w.outbound, w.trustInGoogle, w.trustInAWS} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("set the stage: %w", err)
		}
	}
	return w, nil
}

func (w *Wide) continuous() (err error) {
	hub := issuers.GitHubJob{Repository: Repository, Ref: "refs/heads/" + RefName, IDToken: true}
	grouped := issuers.GitLabJob{Project: GroupedRepo, Ref: RefName,
		IDTokens: map[string][]string{AWSVariable: {STSAudience}, GoogleVariable: {GitLab.Audience()}}}
	w.Issuers[GitHub], w.Subjects[GitHub] = issuers.GitHubIssuer, hub.Subject()
	w.Issuers[GitLab], w.Subjects[GitLab] = issuers.GitLabIssuer, grouped.Subject()
	if w.Runner, err = w.World.Issuers.GitHub.Run(hub); err != nil {
		return err
	}
	w.Job, err = w.World.Issuers.GitLab.Start(grouped)
	return err
}

func (w *Wide) clusters() error {
	account := issuers.Account{Namespace: Namespace, Name: Pods}
	for o, c := range map[Origin]issuers.Cluster{
		EKS:        {Issuer: issuers.EKSIssuer(Region, "warehouse"), APIAudience: "https://kubernetes.default.svc"},
		GKE:        {Issuer: issuers.GKEIssuer(Project, "europe-west1", "warehouse")},
		Kubernetes: {Issuer: "https://oidc.warehouse.example", APIAudience: "https://kubernetes.default.svc.cluster.local"},
	} {
		c.Name = "warehouse-" + string(o)
		cluster, err := w.World.Issuers.AddCluster(c)
		if err != nil {
			return err
		}
		if err := cluster.AddAccount(account); err != nil {
			return err
		}
		if err := cluster.AllowTokens(account, account); err != nil {
			return err
		}
		if w.Pods[o], err = cluster.Start(issuers.PodSpec{Account: account, Projections: []issuers.Projection{
			{Path: AWSFile, Audience: STSAudience}, {Path: GoogleFile, Audience: o.Audience()}}}); err != nil {
			return err
		}
		w.Clusters[o], w.Issuers[o], w.Subjects[o] = cluster, cluster.Issuer(), account.Subject()
	}
	return nil
}

func (w *Wide) spiffe() (err error) {
	if w.Domain, err = w.World.Issuers.AddTrustDomain(issuers.TrustDomain{Name: TrustDomain}); err != nil {
		return err
	}
	w.Issuers[SPIFFE], w.Subjects[SPIFFE] = w.Domain.Issuer(), w.Domain.ID(SPIFFEPath)
	w.Agent, err = w.Domain.Agent(w.Subjects[SPIFFE])
	return err
}

func (w *Wide) outbound() error {
	a := w.World.AWS
	issuer, err := a.EnableOutboundFederation(Account)
	if err != nil {
		return err
	}
	w.Issuers[AWSToken], w.Subjects[AWSToken] = issuer, OutboundRole
	if err := a.AddRole(labaws.Role{Account: Account, Name: "outbound-role",
		Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`,
		Permissions: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:GetWebIdentityToken","Resource":"*",
			"Condition":{"ForAllValues:StringEquals":{"sts:IdentityTokenAudience":"` + AWSToken.Audience() + `"}}}]}`}); err != nil {
		return err
	}
	w.Outbound = &lab.Place{Metadata: a.EC2(labaws.Instance{ID: "i-0123456789abcdef0", Region: Region, Zone: Region + "c", RoleARN: OutboundRole})}
	return nil
}

// condition holds an issuer's tokens to one workload, by the claims that the issuer's own guide names.
func (w *Wide) condition(o Origin) string {
	switch o {
	case GitHub:
		return "assertion.repository == '" + Repository + "' && assertion.ref == 'refs/heads/" + RefName + "'"
	case GitLab:
		return "assertion.project_path == '" + GroupedRepo + "' && assertion.ref_type == 'branch' && assertion.ref == '" + RefName + "'"
	case EKS, GKE, Kubernetes:
		return "assertion['kubernetes.io'].namespace == '" + Namespace + "' && assertion['kubernetes.io'].serviceaccount.name == '" + Pods + "'"
	case AWSToken:
		return "assertion['https://sts.amazonaws.com/'].aws_account == '" + Account + "'"
	}
	return "assertion.sub == '" + w.Subjects[o] + "'"
}

func (w *Wide) trustInGoogle() error {
	g := w.World.Google
	if err := g.AddPool(Project, issuerPool); err != nil {
		return err
	}
	for _, o := range append(Origins(), AWSToken) {
		if err := g.AddProvider(labgcp.Provider{Project: Project, Pool: issuerPool, ID: o.name(), Issuer: w.Issuers[o],
			Mapping: map[string]string{"google.subject": "assertion.sub"}, Condition: w.condition(o)}); err != nil {
			return err
		}
		if _, err := g.AddServiceAccount(Project, o.name()); err != nil {
			return err
		}
		if err := g.AddBucket(Project, o.Bucket()); err != nil {
			return err
		}
		if err := g.PutObject(o.Bucket(), OrdersName, []byte(Orders)); err != nil {
			return err
		}
		if err := w.grant(o); err != nil {
			return err
		}
	}
	return nil
}

func (w *Wide) grant(o Origin) error {
	workload := "principal://iam.googleapis.com/projects/" + Number + "/locations/global/workloadIdentityPools/" + issuerPool + "/subject/" + w.Subjects[o]
	for _, grant := range [][3]string{
		{"serviceAccounts/" + o.ServiceAccount(), "roles/iam.workloadIdentityUser", workload},
		{"buckets/" + o.Bucket(), "roles/storage.objectViewer", workload},
		{"buckets/" + o.Bucket(), "roles/storage.objectViewer", "serviceAccount:" + o.ServiceAccount()},
		{"functions/hello", "roles/cloudfunctions.invoker", "serviceAccount:" + o.ServiceAccount()},
	} {
		if err := w.World.Google.Grant(grant[0], grant[1], grant[2]); err != nil {
			return err
		}
	}
	return nil
}

func (w *Wide) trustInAWS() error {
	a := w.World.AWS
	for _, o := range Origins() {
		if err := a.AddOIDCProvider(Account, w.Issuers[o], STSAudience); err != nil {
			return err
		}
		if err := a.AddRole(labaws.Role{Account: Account, Name: o.name(), Trust: w.exactly(o),
			Permissions: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::` + o.S3Bucket() + `/*"}]}`}); err != nil {
			return err
		}
		if err := a.AddBucket(Account, o.S3Bucket(), Region); err != nil {
			return err
		}
		if err := a.PutObject(o.S3Bucket(), CatName, []byte(Cat)); err != nil {
			return err
		}
	}
	return nil
}

// exactly trusts one workload and one audience: whom the token speaks of, and for whom it was made.
func (w *Wide) exactly(o Origin) string {
	issuer := w.Issuers[o][len("https://"):]
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Sid":"Workload","Effect":"Allow","Action":"sts:AssumeRoleWithWebIdentity",
 "Principal":{"Federated":"arn:aws:iam::%s:oidc-provider/%s"},"Condition":{"StringEquals":{%q:%q,%q:%q}}}]}`,
		Account, issuer, issuer+":sub", w.Subjects[o], issuer+":aud", STSAudience)
}
