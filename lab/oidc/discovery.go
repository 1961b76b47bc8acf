// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Bounds on what an issuer may make a verifier do.
const (
	maxDocument  = 256 << 10 // bytes of a discovery document or key set
	maxKeys      = 100
	fetchTimeout = 10 * time.Second // for both documents together
)

// publishedKeys asks the issuer where its keys are, and fetches them.
func (v Verifier) publishedKeys(ctx context.Context, issuer string) ([]any, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	uri, err := v.jwksURI(ctx, issuer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDiscovery, err)
	}
	set, err := v.fetch(ctx, uri)
	if err != nil {
		return nil, fmt.Errorf("%w: jwks_uri: %w", ErrDiscovery, err)
	}
	keys, ok := set["keys"].([]any)
	if !ok {
		return nil, fmt.Errorf("%w: jwks_uri: the key set has no list of keys", ErrDiscovery)
	}
	if len(keys) > maxKeys {
		return nil, fmt.Errorf("%w: jwks_uri: %d keys, at most %d are read", ErrDiscovery, len(keys), maxKeys)
	}
	return keys, nil
}

func (v Verifier) jwksURI(ctx context.Context, issuer string) (string, error) {
	// One trailing slash goes before the path is added (OpenID Connect Discovery 1.0, section 4.1); the comparison below
	// is still to the letter.
	doc, err := v.fetch(ctx, strings.TrimSuffix(issuer, "/")+discoveryPath)
	if err != nil {
		return "", err
	}
	if doc["issuer"] != issuer {
		return "", fmt.Errorf("the document of issuer %.200q is made out to another issuer", issuer)
	}
	uri, ok := doc["jwks_uri"].(string)
	if !ok {
		return "", errors.New("the discovery document has no jwks_uri")
	}
	return uri, nil
}

// fetch reads one JSON object over https. It follows no redirect: an open one on the issuer's host would let a stranger
// choose the keys.
func (v Verifier) fetch(ctx context.Context, address string) (map[string]any, error) {
	if v.Net == nil {
		return nil, errors.New("the verifier has no network")
	}
	if err := checkAddress(address); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := v.Net.RoundTrip(req) // a RoundTripper, so redirects come back as they are
	if err != nil {
		return nil, fmt.Errorf("fetching %.200q: %w", address, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%.200q answered %d, want 200", address, resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("reading %.200q: %w", address, err)
	}
	if len(body) > maxDocument {
		return nil, fmt.Errorf("%.200q is longer than %d bytes", address, maxDocument)
	}
	object, err := readObject(body)
	if err != nil {
		return nil, fmt.Errorf("%.200q: %w", address, err)
	}
	return object, nil
}

func checkAddress(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return errors.New("the address is not a URL")
	}
	if u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%.200q: want https://HOST/PATH", u.Redacted())
	}
	return nil
}
