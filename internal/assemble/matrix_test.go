// SPDX-License-Identifier: Apache-2.0

package assemble_test

import (
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/lab/stage"
)

var update = flag.Bool("update", false, "write the table into README.md")

// TestMain lets the test binary stand in for programs that print a token or a session.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "print-token" {
		os.Exit(printToken(os.Args[2]))
	}
	if len(os.Args) == 3 && os.Args[1] == "print-file" {
		os.Exit(printFile(os.Args[2]))
	}
	// The AWS SDK reads some variables for itself, whatever the lookup says.
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AWS_") {
			_ = os.Unsetenv(name)
		}
	}
	os.Exit(atHome(m))
}

// home is the home folder of the test process: nothing of this machine's own.
var home string

func atHome(m *testing.M) int {
	folder, err := os.MkdirTemp("", "home")
	if err != nil {
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }()
	home = folder
	for _, name := range []string{"HOME", "USERPROFILE"} {
		if err := os.Setenv(name, home); err != nil {
			return 1
		}
	}
	return m.Run()
}

func printFile(file string) int {
	data, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return 1
	}
	if _, err := os.Stdout.Write(data); err != nil {
		return 1
	}
	return 0
}

// printToken answers as Google's protocol for executables wants it.
func printToken(file string) int {
	token, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return 1
	}
	err = json.NewEncoder(os.Stdout).Encode(map[string]any{"version": 1, "success": true,
		"token_type": "urn:ietf:params:oauth:token-type:jwt", "id_token": string(token)})
	if err != nil {
		return 1
	}
	return 0
}

// TestEverySourceReachesEveryTarget crosses each source with each target that makes sense and uses the credential it
// got: it reads an object, calls a function, or has the token verified. Pairs that make no sense must be refused by the
// file format. The README's table is what came of it.
func TestEverySourceReachesEveryTarget(t *testing.T) {
	t.Parallel()
	results := make([][]string, len(sources))
	t.Run("cross", func(t *testing.T) {
		for i, from := range sources {
			results[i] = make([]string, len(targets))
			for j, to := range targets {
				t.Run(from.name+" to "+to.name, func(t *testing.T) {
					t.Parallel()
					results[i][j] = cross(t, from, to)
				})
			}
		}
	})
	if !t.Failed() {
		checkTable(t, table(results))
	}
}

// cross returns what the table says of a pair.
func cross(t *testing.T, from source, to target) string {
	t.Helper()
	w := wide(t)
	at := from.set(t, w)
	addNextRole(t, w, at.role, at.s3)
	description := config.Crossing{From: at.from(to.cloud), To: to.describe(at)}
	c, err := throughAFile(description)
	if !at.reaches[to.cloud] {
		if err == nil && !refusedLater(t, at, c) {
			t.Error("the pair makes no sense and is let through")
		}
		return "–"
	}
	if err != nil {
		t.Fatalf("the file format refuses the pair: %v", err)
	}
	crossing, err := at.surroundings.Crossing(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	cred, err := crossing.Credential(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := to.use(t, w, at, cred); err != nil {
		t.Fatal(err)
	}
	return "✓"
}

// refusedLater holds for pairs that a file can describe and only the exchange can refuse.
func refusedLater(t *testing.T, at place, c config.Crossing) bool {
	t.Helper()
	crossing, err := at.surroundings.Crossing(t.Context(), c)
	if err != nil {
		return true
	}
	_, err = crossing.Credential(t.Context())
	return err != nil
}

// throughAFile writes the crossing into a stile.yaml, of which JSON is a part, and reads it back.
func throughAFile(c config.Crossing) (config.Crossing, error) {
	data, err := json.Marshal(config.File{Version: 1, Crossings: map[string]config.Crossing{"pair": c}})
	if err != nil {
		return config.Crossing{}, err
	}
	file, err := config.ParseAllowing("stile.yaml", data, config.ForeignPolicy{AllowExecutables: true, AllowHosts: []string{"127.0.0.1"}})
	if err != nil {
		return config.Crossing{}, err
	}
	return file.Crossing("pair")
}

func table(results [][]string) string {
	var b strings.Builder
	b.WriteString("| from \\ to |")
	for _, to := range targets {
		b.WriteString(" " + to.name + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(targets)) + "\n")
	for i, from := range sources {
		b.WriteString("| " + from.name + " | " + strings.Join(results[i], " | ") + " |\n")
	}
	return b.String()
}

const begin, end = "<!-- matrix: written by go test ./internal/assemble -update -->\n", "<!-- /matrix -->\n"

func checkTable(t *testing.T, want string) {
	t.Helper()
	readme := filepath.Join("..", "..", "README.md")
	data, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(data), begin)
	got, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("README.md has no %q … %q", begin, end)
	}
	if got == want {
		return
	}
	if !*update {
		t.Errorf("README.md's table is not what the test found; go test ./internal/assemble -update writes it:\n%s", want)
		return
	}
	if err := os.WriteFile(readme, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func get(client *http.Client, url, bearer string) (int, string, error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	res, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	return res.StatusCode, readAll(res.Body), nil
}

func wide(t *testing.T) *stage.Wide {
	t.Helper()
	w, err := stage.Everywhere(labOptions)
	if err != nil {
		t.Fatal(err)
	}
	return w
}
