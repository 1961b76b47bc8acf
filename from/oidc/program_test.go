// SPDX-License-Identifier: Apache-2.0

package fromoidc_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"

	fromoidc "github.com/stile-project/stile/from/oidc"
)

// program is what the tests of Executable run: this very test, started again with TEST_PROGRAM. It gives the exit code.
func program(mode string) int {
	switch mode {
	case "print":
		fmt.Print(os.Getenv("TEST_PRINT"))
	case "complain":
		fmt.Fprint(os.Stderr, os.Getenv("TEST_PRINT"))
	case "fail":
		fmt.Print(os.Getenv("TEST_PRINT"))
		fmt.Fprint(os.Stderr, "hunter2")
		return 3
	case "tell":
		tell()
	case "key":
		fmt.Print((&fromoidc.SPIFFE{Socket: "unix:///a"}).CacheKey())
	case "flood":
		for {
			if _, err := os.Stdout.WriteString(strings.Repeat("hunter2 ", 1<<10)); err != nil {
				return 1
			}
		}
	case "wait":
		wait()
	case "wait with a child":
		startChild()
		wait()
	case "leave a child":
		startChild()
	}
	return 0
}

// tell makes out a token to the audience that the protocol names, which says everything else that the program was told.
func tell() {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	told := map[string]any{"aud": os.Getenv("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE"), "args": os.Args[1:], "stdin": string(input)}
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "GOOGLE_") || name == "OTHER" {
			told[name] = value
		}
	}
	fmt.Printf(`{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:id_token","id_token":"%s","expiration_time":%d}`,
		token(told), noon.Unix()+600)
}

// wait reports to the test, and then does nothing until it is ended. The test sees the connection close.
func wait() {
	conn, err := net.Dial("tcp", os.Getenv("TEST_REPORT"))
	if err != nil {
		panic(err)
	}
	_, _ = conn.Write([]byte("here"))
	fmt.Fprint(os.Stderr, "!") // for startChild
	_, _ = io.Copy(io.Discard, conn)
}

// startChild starts one more, which holds on to this one's output, and waits until it has reported.
func startChild() {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "TEST_PROGRAM=wait")
	child.Stdout = os.Stdout
	reported, err := child.StderrPipe()
	if err == nil {
		err = child.Start()
	}
	if err == nil {
		_, err = io.ReadFull(reported, make([]byte, 1))
	}
	if err != nil {
		panic(err)
	}
}
