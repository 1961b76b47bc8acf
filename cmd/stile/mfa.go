// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/stile-project/stile/internal/process"
)

// askMFA asks on the terminal itself, so that pipes stay clean. It is nil where there is no terminal: then nobody could
// answer, and the error that follows names the device.
func (p *program) askMFA() func(serial string) (string, error) {
	terminal, err := os.OpenFile(process.TerminalPath, os.O_RDWR, 0)
	if err != nil {
		return nil
	}
	_ = terminal.Close()
	return func(serial string) (string, error) {
		terminal, err := os.OpenFile(process.TerminalPath, os.O_RDWR, 0)
		if err != nil {
			return "", err
		}
		defer func() { _ = terminal.Close() }()
		if _, err := fmt.Fprintf(terminal, "stile: code of the MFA device %s: ", serial); err != nil {
			return "", err
		}
		code, err := bufio.NewReader(terminal).ReadString('\n')
		return strings.TrimSpace(code), err
	}
}
