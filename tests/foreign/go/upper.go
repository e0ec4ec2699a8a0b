// Writes standard input to standard output, in upper case. An empty input can never succeed: exit code 65.
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

func main() {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(75)
	}
	if len(text) == 0 {
		fmt.Fprintln(os.Stderr, "there is nothing to write")
		os.Exit(65)
	}
	os.Stdout.Write(bytes.ToUpper(text))
}
