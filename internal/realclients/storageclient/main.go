// SPDX-License-Identifier: Apache-2.0

// Command storageclient lists BUCKET below PREFIX with Google's storage client for Go, once for each line on standard
// input, and says what it saw as a line of JSON. It is a module of its own, since that client links gRPC, xDS and
// OpenTelemetry: Stile's own module needs none of them for it, and go test ./... does not build them.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"runtime/debug"

	"cloud.google.com/go/storage"
	"google.golang.org/api/iterator"
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
	client, failure := storage.NewClient(ctx)
	out := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		said := answer{Version: version()}
		err := failure
		if err == nil {
			said.Names, err = list(ctx, client.Bucket(bucket), prefix)
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

func list(ctx context.Context, bucket *storage.BucketHandle, prefix string) (names []string, err error) {
	for all := bucket.Objects(ctx, &storage.Query{Prefix: prefix}); ; {
		object, err := all.Next()
		if errors.Is(err, iterator.Done) {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
		names = append(names, object.Name)
	}
}

func version() string {
	build, _ := debug.ReadBuildInfo()
	for _, module := range build.Deps {
		if module.Path == "cloud.google.com/go/storage" {
			return module.Version
		}
	}
	return "unknown"
}
