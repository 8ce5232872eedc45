package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set at release builds: -ldflags "-X main.version=v1.2.3".
var version = ""

// build describes this binary.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

func thisBuild() build {
	b := build{Version: version, Commit: "unknown", Go: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		if b.Version == "" {
			b.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Commit = s.Value
			}
		}
	}
	if b.Version == "" {
		b.Version = "(devel)"
	}
	return b
}

// text is the build for people.
func (b build) text() string {
	return fmt.Sprintf("patgate %s\ncommit %s\n%s\n", b.Version, b.Commit, b.Go)
}

func newVersion(s streams) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print version, commit and Go version",
		Example: "  patgate version -o json",
		Args:    args(cobra.NoArgs, "takes no arguments"),
		RunE: func(*cobra.Command, []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			if output == outputJSON {
				return json.NewEncoder(s.out).Encode(thisBuild())
			}
			_, err := fmt.Fprint(s.out, thisBuild().text())
			return err
		},
	}
	outputFlag(cmd, &output)
	return cmd
}

// The forms of output.
const (
	outputText = "text"
	outputJSON = "json"
)

func outputFlag(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", outputText, "`form` of the output: text for people, json for programs")
}

func checkOutput(output string) error {
	if output != outputText && output != outputJSON {
		return usageError{fmt.Errorf("--output %s: expected text or json", output)}
	}
	return nil
}
