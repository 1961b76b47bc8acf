// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// ask is a program that finds a credential as the clouds' SDKs do: by the variables that tell of an endpoint.
func ask() {
	body, err := askEndpoint(os.Args[1], os.Getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(body)
}

func askEndpoint(kind string, env func(string) string) (string, error) {
	switch kind {
	case "ecs":
		token := env("AWS_CONTAINER_AUTHORIZATION_TOKEN")
		if path := env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); path != "" {
			data, err := os.ReadFile(path)
			if err != nil {
				return "", err
			}
			token = strings.TrimSpace(string(data))
		}
		return fetched(http.MethodGet, env("AWS_CONTAINER_CREDENTIALS_FULL_URI"), "Authorization", token)
	case "imds":
		root := env("AWS_EC2_METADATA_SERVICE_ENDPOINT") + "latest/"
		session, err := fetched(http.MethodPut, root+"api/token", "X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
		if err != nil {
			return "", err
		}
		role, err := fetched(http.MethodGet, root+"meta-data/iam/security-credentials/", "X-Aws-Ec2-Metadata-Token", session)
		if err != nil {
			return "", err
		}
		body, err := fetched(http.MethodGet, root+"meta-data/iam/security-credentials/"+role, "X-Aws-Ec2-Metadata-Token", session)
		return strings.Replace(body, `"Token"`, `"SessionToken"`, 1), err
	case "gce":
		return fetched(http.MethodGet, "http://"+env("GCE_METADATA_HOST")+"/computeMetadata/v1/instance/service-accounts/default/token", "Metadata-Flavor", "Google")
	}
	return "", fmt.Errorf("no endpoint %q", kind)
}

func fetched(method, url, header, value string) (string, error) {
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set(header, value)
	res, err := (&http.Client{Transport: &http.Transport{}}).Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, body)
	}
	return strings.TrimSpace(string(body)), err
}
