// SPDX-License-Identifier: Apache-2.0

// Hello is the least that a Go program can do: what stile's start is measured against.
package main

import "fmt"

func main() { fmt.Println("hello, world") }
