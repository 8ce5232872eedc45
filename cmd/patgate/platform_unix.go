//go:build unix

package main

import "github.com/spf13/cobra"

// onUnix returns a command that needs a Unix as it is.
func onUnix(cmd *cobra.Command) *cobra.Command { return cmd }
