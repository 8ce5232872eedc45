package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/patgate/patgate/loader/dir"
)

// manifestsVariable names the environment variable for the directories of every command.
const manifestsVariable = envPrefix + "MANIFESTS"

// manifestsFlag adds --manifests. Every command that reads manifests takes them as arguments and from
// PATGATE_MANIFESTS too; see manifestsOf.
func manifestsFlag(cmd *cobra.Command, dirs *[]string) {
	cmd.Flags().StringArrayVar(dirs, "manifests", nil, "`directory` with the manifests, as the arguments DIR or $"+manifestsVariable+"; may repeat")
	_ = cmd.MarkFlagDirname("manifests") // for the shell's completion
}

// maxBytesFlag names the flag that limits what one load reads.
const maxBytesFlag = "manifests-max-bytes"

// manifestsSizeFlag adds the flag of that name.
func manifestsSizeFlag(f *pflag.FlagSet, most *int64) {
	f.Int64Var(most, maxBytesFlag, dir.MaxBytes, "most bytes that one load may read")
}

// manifestsOf returns the directories or files of manifests: those of --manifests and the arguments, and where there
// are none, those of PATGATE_MANIFESTS.
func manifestsOf(flag, given []string) ([]string, error) {
	dirs := slices.Concat(flag, given)
	if len(dirs) == 0 {
		dirs = filepath.SplitList(os.Getenv(manifestsVariable))
	}
	if len(dirs) == 0 || slices.Contains(dirs, "") {
		return nil, usageError{fmt.Errorf("no manifests are named, expected their directory as the argument DIR, --manifests DIR or %s=DIR", manifestsVariable)}
	}
	return dirs, nil
}

// manifestsIfAny does what manifestsOf does where manifests may be missing.
func manifestsIfAny(flag, given []string) []string {
	dirs, err := manifestsOf(flag, given)
	if err != nil {
		return nil
	}
	return dirs
}

// named cuts NAME off the arguments, of which the rest are directories.
func named(given []string) (name string, dirs []string) { return given[0], given[1:] }
