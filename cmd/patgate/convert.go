package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/ruleset"
	"github.com/patgate/patgate/server"
)

func newConvert(s streams) *cobra.Command {
	var o checkOptions
	var dirs []string
	cmd := &cobra.Command{
		Use:   "convert [DIR...]",
		Short: "Print manifests of directories as Kubernetes objects",
		Long: "Convert prints the manifests of directories, or of ConfigMaps, as one file of objects for\n" +
			"`kubectl apply`. They are as they were written, comments and all: a file is an object.\n" +
			"Manifests with problems are refused. PolicyTests, and the marks of deleted tokens\n" +
			"(.patgate-revoked), are no objects.",
		Example: "  patgate convert manifests | kubectl apply --server-side --namespace patgate -f -\n" +
			"  kubectl get configmap patgate-manifests -o yaml | patgate convert --rendered - > objects.yaml",
		RunE: func(_ *cobra.Command, given []string) error {
			dirs := manifestsIfAny(dirs, given)
			if o.rendered == "" && len(dirs) == 0 {
				_, err := manifestsOf(nil, nil)
				return err
			}
			set, err := checkedSet(s, &o, dirs)
			if err != nil {
				return err
			}
			return convert(s, set)
		},
	}
	manifestsFlag(cmd, &dirs)
	renderedFlags(cmd, &o)
	return cmd
}

// convert prints the objects of a set.
func convert(s streams, set *ruleset.Set) error {
	if len(set.Problems) > 0 {
		return &server.ManifestsError{Problems: set.Problems}
	}
	written := 0
	for name, data := range set.Files {
		for _, part := range manifest.Parts(name, data) {
			if doc := part.Decode(); doc.Kind == "" {
				continue // blank
			}
			if _, err := fmt.Fprintf(s.out, "# %s\n%s", name, objectText(edit.Distinct(part))); err != nil {
				return err
			}
			written++
		}
	}
	_, err := fmt.Fprintf(s.err, "%d objects\n", written)
	return err
}

// objectText is a document that begins with `---`, and has no directive and no marker of its end.
func objectText(text []byte) string {
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		switch word := strings.TrimRight(line, " \r\n"); {
		case b.Len() == 0 && (word == "" || strings.HasPrefix(word, "%")), word == "...":
			continue
		case b.Len() == 0 && !strings.HasPrefix(word, "---"):
			b.WriteString("---\n")
		}
		b.WriteString(line)
	}
	return strings.TrimSuffix(b.String(), "\n") + "\n"
}
