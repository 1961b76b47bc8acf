// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"slices"
	"strings"
)

// An endpoint is what a host name says about the service behind it.
type endpoint struct {
	service   string // "sts", "s3" or "sso"
	partition string // "aws", "aws-cn" or "aws-us-gov"
	region    string // the region that requests must be signed for
	global    bool   // sts.amazonaws.com and s3.amazonaws.com name no region
	bucket    string // S3 only: the bucket in the host name, "" for path style
	suffix    string // what follows the bucket, for messages that name the right endpoint
}

// regionNames lists each partition's regions. A host in any other does not exist.
var regionNames = map[string][]string{
	"aws": {
		"af-south-1", "ap-east-1", "ap-east-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-south-2",
		"ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-6", "ap-southeast-7",
		"ca-central-1", "ca-west-1", "eu-central-1", "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2",
		"eu-west-1", "eu-west-2", "eu-west-3", "il-central-1", "me-central-1", "me-south-1", "mx-central-1", "sa-east-1",
		"us-east-1", "us-east-2", "us-west-1", "us-west-2",
	},
	"aws-cn":     {"cn-north-1", "cn-northwest-1"},
	"aws-us-gov": {"us-gov-east-1", "us-gov-west-1"},
}

// fipsRegions are those with an sts-fips host. GovCloud's plain hosts are FIPS hosts already.
var fipsRegions = []string{"ca-central-1", "ca-west-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2"}

func partitionOf(region string) string {
	for partition, names := range regionNames {
		if slices.Contains(names, region) {
			return partition
		}
	}
	return ""
}

// parseHost knows the names of STS, S3 and the sign-on portal: regional, global, FIPS, dual-stack and virtual-hosted, in three partitions.
func parseHost(host string) (endpoint, bool) {
	name, china := strings.CutSuffix(host, ".amazonaws.com.cn")
	if !china {
		var ok bool
		if name, ok = strings.CutSuffix(host, ".amazonaws.com"); !ok {
			return endpoint{}, false
		}
	}
	at, ok := parseServiceName(name)
	if !ok || china != (at.partition == "aws-cn") {
		return endpoint{}, false
	}
	at.suffix = strings.TrimPrefix(host, at.bucket+".")
	return at, true
}

func parseServiceName(name string) (endpoint, bool) {
	if name == "sts" {
		return endpoint{service: "sts", partition: "aws", region: "us-east-1", global: true}, true
	}
	if bucket, ok := cutService(name, "s3"); ok {
		return endpoint{service: "s3", partition: "aws", region: "us-east-1", global: true, bucket: bucket}, true
	}
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return endpoint{}, false
	}
	at := endpoint{region: name[dot+1:], partition: partitionOf(name[dot+1:])}
	name = name[:dot]
	switch {
	case at.partition == "":
		return endpoint{}, false
	case name == "sts", name == "sts-fips" && slices.Contains(fipsRegions, at.region):
		at.service = "sts"
		return at, true
	case name == "portal.sso":
		at.service = "sso"
		return at, true
	}
	for _, service := range []string{"s3", "s3-fips", "s3.dualstack", "s3-fips.dualstack"} {
		if bucket, ok := cutService(name, service); ok {
			at.service, at.bucket = "s3", bucket
			return at, true
		}
	}
	return endpoint{}, false
}

// cutService takes the service off the end of a name and leaves the bucket, which may hold dots itself.
func cutService(name, service string) (bucket string, ok bool) {
	if name == service {
		return "", true
	}
	bucket, ok = strings.CutSuffix(name, "."+service)
	return bucket, ok && bucket != ""
}
