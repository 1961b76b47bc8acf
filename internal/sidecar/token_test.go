// SPDX-License-Identifier: Apache-2.0

package sidecar_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/sidecar"
)

func TestTokenFolder(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.apply(oneECS)
	info, err := os.Stat(s.options.Folder)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	if all, err := os.ReadDir(s.options.Folder); err != nil || len(all) != 1 {
		t.Errorf("%v, %v: want the token's file alone", all, err)
	}
	_, token := s.at("ecs")
	if len(token) != 52 || strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
		t.Errorf("a token of %d characters, want 52 of 5 random bits each", len(token))
	}
}

func TestTokenFileByName(t *testing.T) {
	t.Parallel()
	o := sidecar.Options{Folder: "/run/stile", Home: "/home/etl"}
	file := func(e config.Endpoint) string {
		path, err := o.TokenFile(e)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	if got := file(config.Endpoint{TokenFile: "~/token"}); got != "/home/etl/token" {
		t.Error(got)
	}
	if got := file(config.Endpoint{TokenFile: "/etc/token"}); got != "/etc/token" {
		t.Error(got)
	}
	free, fixed := "127.0.0.1:0", "127.0.0.1:9911"
	images, both := []string{"images"}, []string{"images", "other"}
	if a, b := file(config.Endpoint{ECS: images, Listen: free}), file(config.Endpoint{ECS: both, Listen: free}); a == b || filepath.Dir(a) != o.Folder {
		t.Errorf("%s and %s: two endpoints on free ports", a, b)
	}
	// A client that has the path goes on with it when a crossing is added.
	if a, b := file(config.Endpoint{ECS: images, Listen: fixed}), file(config.Endpoint{ECS: both, Listen: fixed}); a != b {
		t.Errorf("%s and %s: one address", a, b)
	}
	o.Folder = ""
	if path, err := o.TokenFile(config.Endpoint{ECS: images, Listen: free}); err == nil {
		t.Errorf("got %s with no folder to be in", path)
	}
}

// TestTokenFileThatCannotBeMade holds that what is wrong, and what mends it, can be told from the error.
func TestTokenFileThatCannotBeMade(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("no folder that root cannot make one in is known here")
	}
	s := newScene(t)
	const nowhere = "/proc/none"
	s.options.Folder = nowhere
	for _, test := range []struct{ file, hint string }{{"", "set XDG_RUNTIME_DIR to a folder of this user, "}, {nowhere + "/token", "name a file in a folder that this user may write to: token_file"}} {
		p := plan(t, oneECS)
		p.Serve.Endpoints[0].TokenFile = test.file
		one := sidecar.New(s.options)
		t.Cleanup(one.Close)
		err := one.Apply(t.Context(), p)
		if e, ok := errors.AsType[*stile.Error](err); !ok || !errors.Is(err, stile.ErrMisuse) || !strings.Contains(err.Error(), "make the file of the bearer token, "+nowhere+"/") || !strings.HasPrefix(e.Hint, test.hint) {
			t.Errorf("%q: got %v", test.file, err)
		}
	}
}

// Many that start at once agree on one token, and none of them reads half of it.
func TestTokenFileOfManyAtOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for range 20 {
		s.options.Folder = t.TempDir()
		var all sync.WaitGroup
		tokens := make([]string, 8)
		for i := range tokens {
			one := sidecar.New(s.options)
			t.Cleanup(one.Close)
			all.Go(func() {
				if err := one.Apply(t.Context(), plan(t, oneECS)); err != nil {
					t.Error(err)
					return
				}
				data, err := os.ReadFile(one.Report().Serves[0].TokenFile)
				if err != nil {
					t.Error(err)
				}
				tokens[i] = string(data)
			})
		}
		all.Wait()
		for _, token := range tokens {
			if token != tokens[0] || token == "" {
				t.Fatal("they have several tokens")
			}
		}
	}
}

func TestTokenFileThatCannotBeRead(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	file := filepath.Join(s.folder, "file")
	if err := os.WriteFile(file, []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := plan(t, oneECS)
	p.Serve.Endpoints[0].TokenFile = file + "/token"
	s.refuses(p, file)
}

func TestVariables(t *testing.T) {
	t.Parallel()
	secret := stile.NewSecret("bearer")
	for _, c := range []struct {
		kind, address string
		token         sidecar.Bearer
		region, want  string
	}{
		{"ecs", "127.0.0.1:9", sidecar.Bearer{File: "/run/token"}, "eu-west-1",
			"AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:9/v1/credentials/images AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=/run/token AWS_REGION=eu-west-1 AWS_DEFAULT_REGION=eu-west-1"},
		{"ecs", "[::1]:9", sidecar.Bearer{Value: secret}, "", "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://[::1]:9/v1/credentials/images AWS_CONTAINER_AUTHORIZATION_TOKEN=bearer"},
		{"imds", "127.0.0.1:9", sidecar.Bearer{}, "eu-west-1", "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:9/ AWS_REGION=eu-west-1 AWS_DEFAULT_REGION=eu-west-1"},
		{"imds", "[::1]:9", sidecar.Bearer{}, "", "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://[::1]:9/ AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE=IPv6"},
		{"ecs", "https://stile:9", sidecar.Bearer{File: "/t"}, "", "AWS_CONTAINER_CREDENTIALS_FULL_URI=https://stile:9/v1/credentials/images AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=/t"},
		{"imds", "https://[::1]:9", sidecar.Bearer{}, "", "AWS_EC2_METADATA_SERVICE_ENDPOINT=https://[::1]:9/ AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE=IPv6"},
		{"gce", "127.0.0.1:9", sidecar.Bearer{}, "eu-west-1", "GCE_METADATA_HOST=127.0.0.1:9 GCE_METADATA_IP=127.0.0.1:9 GCE_METADATA_ROOT=127.0.0.1:9 GCE_METADATA_MTLS_MODE=none"},
	} {
		var got []string
		for _, v := range sidecar.Variables(c.kind, c.address, "images", c.token, c.region) {
			got = append(got, v.Name+"="+v.Value)
		}
		if all := strings.Join(got, " "); all != c.want {
			t.Errorf("%s: got %s, want %s", c.kind, all, c.want)
		}
	}
}

// What is set is what nothing shadows, and what shadows another kind is not set for it.
func TestShadowing(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{
		"ecs":  "AWS_ACCESS_KEY_ID AWS_PROFILE AWS_WEB_IDENTITY_TOKEN_FILE AWS_CONTAINER_CREDENTIALS_RELATIVE_URI AWS_CONTAINER_AUTHORIZATION_TOKEN AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
		"imds": "AWS_ACCESS_KEY_ID AWS_PROFILE AWS_WEB_IDENTITY_TOKEN_FILE AWS_CONTAINER_CREDENTIALS_RELATIVE_URI AWS_CONTAINER_CREDENTIALS_FULL_URI AWS_EC2_METADATA_DISABLED AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
		"gce":  "GOOGLE_APPLICATION_CREDENTIALS CLOUDSDK_AUTH_ACCESS_TOKEN CLOUDSDK_AUTH_ACCESS_TOKEN_FILE NO_GCE_CHECK METADATA_SERVER_DETECTION",
	} {
		got := " " + strings.Join(sidecar.Shadowing(kind), " ") + " "
		for name := range strings.FieldsSeq(want) {
			if !strings.Contains(got, " "+name+" ") {
				t.Errorf("%s: %s is left to win", kind, name)
			}
		}
	}
}

func TestAddressOfAnEndpoint(t *testing.T) {
	t.Parallel()
	r := sidecar.Report{Serves: []sidecar.Served{
		{Kind: "imds", Listen: "127.0.0.1:0", Crossings: []string{"images"}, Listener: "1"},
		{Kind: "ecs", Listen: "127.0.0.1:1", Crossings: []string{"images"}, Listener: "2"},
		{Kind: "ecs", Listen: "127.0.0.1:0", Crossings: []string{"images", "other"}, Listener: "3"},
		{Kind: "ecs", Listen: "127.0.0.1:0", Crossings: []string{"images"}, Listener: "4"},
	}}
	if one, ok := r.Address(config.Endpoint{ECS: []string{"images"}, Listen: "127.0.0.1:0"}); !ok || one.Listener != "4" {
		t.Errorf("%+v, %t", one, ok)
	}
	if one, ok := r.Address(config.Endpoint{ECS: []string{"other"}, Listen: "127.0.0.1:0"}); ok {
		t.Errorf("%+v", one)
	}
}
