package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/loader/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/server"
)

// checkResult is what check tells a program.
type checkResult struct {
	OK       bool           `json:"ok"`
	SHA256   string         `json:"sha256,omitempty"`
	Gates    int            `json:"gates"`
	Tokens   int            `json:"tokens"`
	Groups   int            `json:"groups"`
	Policies int            `json:"policies"`
	Problems []checkProblem `json:"problems"`
}

type checkProblem struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Field   string `json:"field,omitempty"`
	Message string `json:"message"`
}

// errSaid is an error whose text stands in the output already.
var errSaid = errors.New("")

func newCheck(s streams) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "check DIR...",
		Short:   "Validate manifests and print every problem",
		Long:    "Check reads directories of manifests as serve does, and prints every problem at once as\nFILE:LINE:COLUMN: field: what is wrong, what was expected. It exits with 2 where there is one.",
		Example: "  patgate check manifests\n  patgate check -o json policies tokens",
		Args:    args(cobra.MinimumNArgs(1), "expected the directories of the manifests"),
		RunE: func(_ *cobra.Command, dirs []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			rows, problems := loader.Check(dirs)
			if output == outputJSON {
				if err := json.NewEncoder(s.out).Encode(describeCheck(rows, problems)); err != nil {
					return err
				}
			} else if len(problems) == 0 {
				_, err := fmt.Fprintf(s.out, "ok: %s, %s, %s, %s\n", count(len(rows.Gates), "gate"), count(len(rows.Tokens), "token"),
					count(len(rows.Groups), "group"), plural(len(rows.Policies), "policy", "policies"))
				return err
			}
			switch {
			case len(problems) > 0 && output == outputJSON:
				return usageError{errSaid}
			case len(problems) > 0:
				return &server.ManifestsError{Problems: problems}
			}
			return nil
		},
	}
	outputFlag(cmd, &output)
	return cmd
}

func describeCheck(rows policy.Rows, problems []manifest.Problem) checkResult {
	r := checkResult{
		OK: len(problems) == 0, Gates: len(rows.Gates), Tokens: len(rows.Tokens),
		Groups: len(rows.Groups), Policies: len(rows.Policies), Problems: []checkProblem{},
	}
	if r.OK {
		r.SHA256 = fmt.Sprintf("%x", rows.SHA256)
	}
	for _, p := range problems {
		r.Problems = append(r.Problems, checkProblem{p.File, p.Pos.Line, p.Pos.Column, p.Field, p.Message})
	}
	return r
}

func count(n int, noun string) string { return plural(n, noun, noun+"s") }

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
