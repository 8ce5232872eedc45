package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/lint"
	"github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/ruleset"
	"github.com/patgate/patgate/server"
)

// errSaid is an error whose text is in the output already.
var errSaid = errors.New("")

// checkOptions are the flags of check.
type checkOptions struct {
	output    string
	strict    bool
	examples  bool
	against   []string
	manifests []string

	rendered   string
	configMaps []string
	maxBytes   int64
}

func newCheck(s streams) *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check [DIR|FILE]...",
		Short: "Validate manifests and print every problem",
		Long: "Check reads directories of manifests as serve does, and prints every problem at once as\n" +
			"FILE:LINE:COLUMN: field: what is wrong, what was expected. It exits with 2 if there is a problem.\n" +
			"\n" +
			"If there is none, it prints warnings about risky manifests; docs/checks.md describes each code.\n" +
			"The comment `# patgate:ignore CODE reason` on the same line or the line above accepts a warning.\n" +
			"It exits with 1 for warnings with --strict, and for tokens that live longer than before with --against.\n" +
			"--rendered reads the ConfigMaps that a cluster would get. If directories are given as well, the\n" +
			"ConfigMaps must contain exactly what the directories contain.\n\n" +
			"A directory needs a Gate, which says what is protected. The smallest guards everything:\n\n" +
			"  apiVersion: patgate.dev/v1alpha1\n  kind: Gate\n  metadata:\n    name: everything\n  spec:\n    schemes: [basic, bearer]",
		Example: "  patgate check manifests\n  patgate check --strict -o json policies tokens\n  patgate check --examples manifests\n" +
			"  git worktree add /tmp/main main && patgate check --against /tmp/main/manifests manifests\n" +
			"  kubectl kustomize manifests | patgate check --rendered - manifests 'manifests/tokens,kinds=APIToken'",
		RunE: func(_ *cobra.Command, given []string) error {
			if err := checkOutput(o.output); err != nil {
				return err
			}
			if o.maxBytes <= 0 {
				return usageError{fmt.Errorf("--%s %d: expected a number of bytes above zero", maxBytesFlag, o.maxBytes)}
			}
			s.colored()
			dirs, err := manifestsOf(o.manifests, given)
			if err != nil && (o.rendered == "" || len(o.manifests)+len(given) > 0) {
				return err
			}
			return check(s, &o, dirs)
		},
	}
	manifestsFlag(cmd, &o.manifests)
	outputFlag(cmd, &o.output)
	f := cmd.Flags()
	f.BoolVar(&o.strict, "strict", false, "exit with 1 where there is a warning that no comment accepts")
	f.BoolVar(&o.examples, "examples", false, "print for each rule a request that it allows and a near one that it refuses")
	f.StringArrayVar(&o.against, "against", nil, "`directory` of older manifests: refuse tokens that live longer than there; may repeat")
	manifestsSizeFlag(f, &o.maxBytes)
	renderedFlags(cmd, &o)
	return cmd
}

// checked is the result of check.
type checked struct {
	in, older *ruleset.Set   // older: nil without --against
	warnings  []diag.Problem // that count
	accepted  []diag.Problem
	revivals  []lint.Revival
	examples  []checkExample // nil without --examples

	passedOver []string // files with manifests that are not read
}

func check(s streams, o *checkOptions, dirs []string) error {
	now := time.Now()
	in, err := checkedSet(s, o, dirs)
	if err != nil {
		return err
	}
	c := checked{in: in, passedOver: dir.PassedOver(dirs)}
	for _, w := range lint.Lint(c.in, now) {
		if w.Suppressed != "" {
			c.accepted = append(c.accepted, w)
		} else {
			c.warnings = append(c.warnings, w)
		}
	}
	if len(o.against) > 0 {
		c.older = dir.LoadUpTo(o.against, o.maxBytes)
		older, newer := c.state(c.older, o.against), c.state(c.in, dirs)
		c.revivals = lint.Revivals(older, newer, now)
	}
	if o.examples && len(c.in.Problems) == 0 {
		examples, err := lint.Examples(c.in.Rows, now)
		if err != nil {
			return err
		}
		c.examples = describeExamples(examples)
	}
	verdict := c.verdict(o)
	if o.output == outputJSON {
		if err := json.NewEncoder(s.out).Encode(c.describe(verdict == nil)); err != nil {
			return err
		}
		return said(verdict)
	}
	return firstOf(c.printText(s, verdict == nil), verdict)
}

// state reads the tombstones among the manifests. Mistakes in them are problems of the manifests.
func (c *checked) state(set *ruleset.Set, dirs []string) lint.State {
	files, problems := dir.ReadTombstones(dirs)
	set.Problems = append(set.Problems, problems...)
	stones := manifest.Tombstones{}
	for _, f := range files {
		set.Problems = append(set.Problems, stones.Add(f.Name, f.Data)...)
	}
	return lint.State{Set: set, Tombstones: stones}
}

// verdict is the error that check ends with: bad manifests before all else.
func (c *checked) verdict(o *checkOptions) error {
	problems := c.in.Problems
	if c.older != nil {
		problems = append(problems[:len(problems):len(problems)], c.older.Problems...)
	}
	switch {
	case len(problems) > 0:
		return &server.ManifestsError{Problems: problems}
	case len(c.revivals) > 0:
		return fmt.Errorf("refused: %s longer than before", plural(len(c.revivals), "token lives", "tokens live"))
	case o.strict && len(c.warnings) > 0:
		return fmt.Errorf("refused: %s (--strict)", count(len(c.warnings), "warning"))
	}
	return nil
}

// said keeps a verdict's exit code and leaves out its text, which is in the output.
func said(verdict error) error {
	switch {
	case verdict == nil:
		return nil
	case exitCode(verdict) == exitUsage:
		return usageError{errSaid}
	}
	return errSaid
}

// printText prints for people: warnings and revivals on stderr, the summary on stdout.
func (c *checked) printText(s streams, ok bool) error {
	if err := printWarnings(s.err, c.warnings); err != nil {
		return err
	}
	for _, r := range c.revivals {
		if _, err := fmt.Fprintln(s.err, r); err != nil {
			return err
		}
	}
	if err := printPassedOver(s.err, c.passedOver); err != nil {
		return err
	}
	if err := printExamples(s.out, c.examples); err != nil || !ok {
		return err
	}
	rows := &c.in.Rows
	_, err := fmt.Fprintf(s.out, "ok: %s, %s, %s, %s\n", count(len(rows.Gates), "gate"), count(len(rows.Tokens), "token"),
		count(len(rows.Groups), "group"), plural(len(rows.Policies), "policy", "policies"))
	return err
}

// printPassedOver names files with manifests that nothing reads.
func printPassedOver(w io.Writer, files []string) error {
	for i, file := range files {
		if i == maxListed {
			_, err := fmt.Fprintf(w, "and %d more files that are not read (-o json has all)\n", len(files)-maxListed)
			return err
		}
		if _, err := fmt.Fprintf(w, "%s: not read, expected a name that ends in .yaml or .yml\n", diag.Escape(file)); err != nil {
			return err
		}
	}
	return nil
}

// maxListed is the maximum number of warnings of a code that are printed one by one.
const maxListed = 10

// printWarnings prints the first warnings of each code and counts the others: thousands of
// tokens may have the same, and would hide the rest.
func printWarnings(w io.Writer, warnings []diag.Problem) error {
	told := map[lint.Code]int{}
	for _, warning := range warnings {
		if told[warning.Code]++; told[warning.Code] > maxListed {
			continue
		}
		if _, err := fmt.Fprintln(w, warning); err != nil {
			return err
		}
	}
	for _, code := range slices.Sorted(maps.Keys(told)) {
		if more := told[code] - maxListed; more > 0 {
			if _, err := fmt.Fprintf(w, "and %d more warnings %s (-o json has all)\n", more, code); err != nil {
				return err
			}
		}
	}
	return nil
}

func count(n int, noun string) string { return plural(n, noun, noun+"s") }

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
