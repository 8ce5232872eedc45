package main

import (
	"github.com/spf13/cobra"

	"github.com/patgate/patgate/manifest"
)

func newSchema(s streams) *cobra.Command {
	var crd bool
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of manifests, for editors, or their CRDs",
		Long: "Schema prints a JSON Schema (2020-12) of all kinds of manifests. An editor with a YAML\n" +
			"language server uses it to complete and explain fields and to mark mistakes as you type: put\n" +
			"`# yaml-language-server: $schema=PATH` at the top of each manifest. References to other\n" +
			"manifests, such as the name of a group, are checked by `patgate check` only.\n" +
			"With --crd it prints the CustomResourceDefinitions, with which a Kubernetes cluster stores\n" +
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
