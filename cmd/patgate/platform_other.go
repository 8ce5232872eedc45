//go:build !unix

package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// onUnix has a command that needs a Unix say so: the server writes its audit by poll(2), and Envoy is
// not built for this system. All other commands work here.
func onUnix(cmd *cobra.Command) {
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return usageError{fmt.Errorf("%s runs on Linux and macOS alone, expected it to run there or in a container; the other commands work here", cmd.CommandPath())}
	}
}
