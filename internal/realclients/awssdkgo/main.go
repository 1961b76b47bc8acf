// SPDX-License-Identifier: Apache-2.0

// Command awssdkgo lists BUCKET below PREFIX with the AWS SDK for Go, once for each line on standard input, and says
// what it saw as a line of JSON.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// An answer is what one listing gave.
type answer struct {
	Version string   `json:"version"`
	Names   []string `json:"names"`
	Error   string   `json:"error,omitempty"`
}

func main() {
	if len(os.Args) != 3 || serve(context.Background(), os.Args[1], os.Args[2]) != nil {
		os.Exit(1)
	}
}

func serve(ctx context.Context, bucket, prefix string) error {
	found, failure := config.LoadDefaultConfig(ctx)
	client := s3.NewFromConfig(found)
	out := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		said := answer{Version: aws.SDKVersion}
		err := failure
		if err == nil {
			said.Names, err = list(ctx, client, bucket, prefix)
		}
		if err != nil {
			said.Error = err.Error()
		}
		if err := out.Encode(said); err != nil {
			return err
		}
	}
	return lines.Err()
}

func list(ctx context.Context, client *s3.Client, bucket, prefix string) (names []string, err error) {
	page, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	if err != nil {
		return nil, err
	}
	for _, object := range page.Contents {
		names = append(names, aws.ToString(object.Key))
	}
	return names, nil
}
