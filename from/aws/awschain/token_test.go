// SPDX-License-Identifier: Apache-2.0

package awschain

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A token is replaced under the reader's hands, as the kubelet does it and as a careless script does. What is read is
// one token or the other, whole, or an error.
func TestTokenFileReplacedWhileRead(t *testing.T) {
	t.Parallel()
	tokens := []string{strings.Repeat("a", 2000), strings.Repeat("b", 1500)} // less than a page, as tokens are: more than one, written in place, can be seen in part
	for name, replace := range map[string]func(path, token string) error{
		"by another file": func(path, token string) error {
			if err := os.WriteFile(path+".new", []byte(token+"\n"), 0o600); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		},
		"in place": func(path, token string) error { return os.WriteFile(path, []byte(token+"\n"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "token")
			if err := replace(path, tokens[0]); err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			var writer sync.WaitGroup
			writer.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-done:
						return
					default:
					}
					if err := replace(path, tokens[i%2]); err != nil {
						t.Error(err)
						return
					}
				}
			})
			for range 500 {
				got, err := tokenFile(path).GetIdentityToken()
				if err == nil && string(got) != tokens[0] && string(got) != tokens[1] {
					t.Errorf("read %d bytes that are neither token", len(got))
					break
				}
				if err != nil && name == "by another file" {
					t.Errorf("a whole file was refused: %v", err)
					break
				}
			}
			close(done)
			writer.Wait()
		})
	}
}
