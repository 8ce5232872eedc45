package main

import (
	"github.com/spf13/cobra"

	"github.com/patgate/patgate/manifest"
)

func newSchema(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the manifests, for editors",
		Long: "Schema prints a JSON Schema (2020-12) of all kinds of manifests. An editor with a YAML\n" +
			"language server completes and explains fields by it, and marks mistakes as they are\n" +
			"typed: put `# yaml-language-server: $schema=PATH` in front of each manifest. What\n" +
			"needs other manifests, such as a group's name, `patgate check` sees alone.",
		Example: "  patgate schema >patgate.schema.json",
		Args:    args(cobra.NoArgs, "takes no arguments"),
		RunE: func(*cobra.Command, []string) error {
			_, err := s.out.Write(manifest.Schema())
			return err
		},
	}
}
