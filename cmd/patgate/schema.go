package main

import (
	"github.com/spf13/cobra"

	"github.com/patgate/patgate/manifest"
)

func newSchema(s streams) *cobra.Command {
	var crd bool
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the manifests, for editors, or their CRDs",
		Long: "Schema prints a JSON Schema (2020-12) of all kinds of manifests. An editor with a YAML\n" +
			"language server completes and explains fields by it, and marks mistakes as they are\n" +
			"typed: put `# yaml-language-server: $schema=PATH` in front of each manifest. What\n" +
			"needs other manifests, such as a group's name, `patgate check` sees alone.\n" +
			"With --crd it prints the CustomResourceDefinitions by which a Kubernetes cluster keeps\n" +
			"the same manifests as objects.",
		Example: "  patgate schema >patgate.schema.json\n" +
			"  patgate schema --crd | kubectl apply --server-side -f -",
		Args: args(cobra.NoArgs, "takes no arguments"),
		RunE: func(*cobra.Command, []string) error {
			text := manifest.Schema()
			if crd {
				text = manifest.CRDs()
			}
			_, err := s.out.Write(text)
			return err
		},
	}
	cmd.Flags().BoolVar(&crd, "crd", false, "print the CustomResourceDefinitions of all kinds (YAML)")
	return cmd
}
