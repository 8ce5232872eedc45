//go:build unix

package main

import "github.com/spf13/cobra"

// onUnix leaves a command that needs a Unix as it is.
func onUnix(*cobra.Command) {}
