// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strings"
)

// forget makes this process blind to the credentials and settings of the machine it runs on: the lab's workloads have
// only what the lab gives them.
func forget() error {
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		for _, prefix := range []string{"AWS_", "ECS_", "GOOGLE_", "GCE_", "CLOUDSDK_", "STILE_"} {
			if strings.HasPrefix(name, prefix) {
				if err := os.Unsetenv(name); err != nil {
					return err
				}
			}
		}
	}
	for _, file := range []string{"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"} {
		if err := os.Setenv(file, os.DevNull); err != nil {
			return err
		}
	}
	return nil
}
