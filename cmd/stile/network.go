// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// client asks the clouds. Proxies come from the environment, as everywhere.
func (p *program) client() (*http.Client, error) {
	roots, err := p.roots()
	if err != nil || roots == nil {
		return http.DefaultClient, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: t}, nil
}

// awsClient is the same for the AWS SDK, which insists on a client that it can add AWS_CA_BUNDLE to.
func (p *program) awsClient() (*awshttp.BuildableClient, error) {
	roots, err := p.roots()
	if err != nil || roots == nil {
		return awshttp.NewBuildableClient(), err
	}
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}), nil
}

// roots are the system's certificates and those of --ca-file; nil without one.
func (p *program) roots() (*x509.CertPool, error) {
	if p.caFile == "" {
		return nil, nil
	}
	data, err := os.ReadFile(p.caFile)
	if err != nil {
		return nil, misuse("read the CA file", "%w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(data) {
		return nil, misuse("read the CA file", "%s holds no PEM certificate", p.caFile)
	}
	return pool, nil
}
