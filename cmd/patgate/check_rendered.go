package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/ruleset"
)

// maxRendered is the maximum number of bytes of rendered objects that are read.
const maxRendered = 256 << 20

func renderedFlags(cmd *cobra.Command, o *checkOptions) {
	f := cmd.Flags()
	f.StringVar(&o.rendered, "rendered", "", "`file` of ConfigMaps, as kubectl kustomize prints them (-: stdin)")
	f.StringArrayVar(&o.configMaps, "config-map", nil, "`name` of a ConfigMap that --rendered reads (default: all); may repeat")
}

// checkedSet loads the manifests to check.
func checkedSet(s streams, o *checkOptions, dirs []string) (*ruleset.Set, error) {
	if o.rendered == "" {
		if len(o.configMaps) > 0 {
			return nil, usageError{fmt.Errorf("--config-map needs --rendered")}
		}
		return dir.LoadUpTo(dirs, o.maxBytes), nil
	}
	source, text, err := readRendered(s, o.rendered)
	if err != nil {
		return nil, err
	}
	rendered := dir.SelectRendered(source, manifest.ReadRendered(source, text), o.configMaps)
	if len(dirs) == 0 {
		return rendered.Load(), nil
	}
	set := dir.LoadUpTo(dirs, o.maxBytes)
	set.Problems = append(append(set.Problems, rendered.Problems...), rendered.Compare(set)...)
	return set, nil
}

// readRendered reads a file, or stdin.
func readRendered(s streams, name string) (source string, text []byte, err error) {
	in, source := s.in, "stdin"
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", nil, usageError{fmt.Errorf("--rendered %s: %w, expected a file", name, dir.Reason(err))}
		}
		defer func() { _ = f.Close() }()
		in, source = f, name
	}
	text, err = io.ReadAll(io.LimitReader(in, maxRendered+1))
	switch {
	case err != nil:
		return "", nil, usageError{fmt.Errorf("--rendered %s: %w", name, dir.Reason(err))}
	case len(text) > maxRendered:
		return "", nil, usageError{fmt.Errorf("--rendered %s: more than %d MiB, expected less", name, maxRendered>>20)}
	}
	return source, text, nil
}
