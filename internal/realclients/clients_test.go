// SPDX-License-Identifier: Apache-2.0

//go:build unix

package realclients_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// One lab serves all clients: what they keep is in homes of their own.
func TestRealClients(t *testing.T) {
	t.Parallel()
	gcloud, aws := found("gcloud"), found("aws")
	if gcloud != nil && aws != nil {
		absent(t, fmt.Errorf("%w, and %w", gcloud, aws))
	}
	l := raise(t, build(t))
	for _, client := range []struct {
		program string
		absence error
		tests   []clientTests
	}{
		{"gcloud", gcloud, []clientTests{gcloudTests, gcloudFileTests}},
		{"aws", aws, []clientTests{awsTests, awsFileTests}},
	} {
		t.Run(client.program, func(t *testing.T) {
			t.Parallel()
			if client.absence != nil {
				absent(t, client.absence)
			}
			for _, tests := range client.tests {
				tests.run(t, l)
			}
		})
	}
}

// clientTests are by name, which no two tests of a client share.
type clientTests map[string]func(*testing.T, *lab)

func (tests clientTests) run(t *testing.T, l *lab) {
	t.Helper()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, l)
		})
	}
}

// absent ends a test for want of a client: a failure where clients are required.
func absent(t *testing.T, why error) {
	t.Helper()
	if os.Getenv("STILE_REQUIRE_CLIENTS") == "1" {
		t.Fatalf("%v, and STILE_REQUIRE_CLIENTS=1 requires it", why)
	}
	t.Skipf("%v; STILE_REQUIRE_CLIENTS=1 insists on it", why)
}

// found tells whether a program is there and starts: a version manager's stand-in may be on PATH for a program that
// no installed version has.
func found(program string) error {
	if _, err := exec.LookPath(program); err != nil {
		return fmt.Errorf("%s is not on PATH", program)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if out, err := exec.CommandContext(ctx, program, "--version").CombinedOutput(); err != nil {
		return fmt.Errorf("%s is on PATH and does not start: %w: %s", program, err, out)
	}
	return nil
}
