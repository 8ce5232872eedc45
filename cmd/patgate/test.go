package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/explain"
	"github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/server"
)

func newTest(s streams) *cobra.Command {
	var junit, only, output string
	var manifests []string
	var coverage bool
	cmd := &cobra.Command{
		Use:   "test [DIR|FILE]...",
		Short: "Run the PolicyTests of manifests",
		Long: "Test runs the PolicyTests in the *.test.yaml files of directories, with the server's own evaluation.\n" +
			"It explains each case that fails, and lists the rules that no case matched. It exits with 1 if a case\n" +
			"fails, or with --require-coverage if no case matches a rule, and with 2 for bad manifests or tests.\n" +
			"An example of a test:\n\n" +
			"  apiVersion: patgate.dev/v1alpha1\n  kind: PolicyTest\n  metadata:\n    name: ci-bot\n  spec:\n    given:\n      token: ci-bot\n" +
			"    cases:\n    - request: GET /rest/api/2/issue/JRA-1\n      want: allow\n    - request: DELETE /rest/api/2/issue/JRA-1\n      want: deny no_rule_matched",
		Example: "  patgate test manifests\n  patgate test manifests --junit report.xml --run kanban",
		RunE: func(_ *cobra.Command, given []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			s.colored()
			dirs, err := manifestsOf(manifests, given)
			if err != nil {
				return err
			}
			if coverage && only != "" {
				return usageError{errors.New("--require-coverage with --run, expected one of them: --run leaves cases out")}
			}
			pattern, err := regexp.Compile(only)
			if err != nil {
				return usageError{fmt.Errorf("--run %s: %w", only, err)}
			}
			report, err := runTests(dirs, pattern)
			if err != nil {
				return err
			}
			uncovered := coverage && len(report.Missed) > 0
			if junit != "" {
				if err := writeJUnit(junit, report, uncovered); err != nil {
					return err
				}
			}
			if output == outputJSON {
				err = json.NewEncoder(s.out).Encode(describeTests(report, uncovered))
			} else {
				err = printTests(s, report, uncovered)
			}
			if err == nil && (report.Failed > 0 || uncovered) {
				err = errSaid
			}
			return err
		},
	}
	manifestsFlag(cmd, &manifests)
	cmd.Flags().StringVar(&junit, "junit", "", "write a JUnit XML report to this `file`, too")
	cmd.Flags().StringVar(&only, "run", "", "run the cases whose TEST/CASE this `pattern` matches")
	cmd.Flags().BoolVar(&coverage, "require-coverage", false, "fail where no case matches a rule")
	outputFlag(cmd, &output)
	return cmd
}

func runTests(dirs []string, only *regexp.Regexp) (*explain.Report, error) {
	set := dir.LoadTests(dirs)
	rows, tests, problems := set.Rows, set.Tests, set.Problems
	if len(problems) == 0 && len(tests) == 0 {
		return nil, usageError{fmt.Errorf("%s: no PolicyTest in it, expected files that end in .test.yaml", strings.Join(dirs, ", "))}
	}
	var report *explain.Report
	if len(problems) == 0 {
		report, problems = explain.Run(rows, tests, time.Now(), only)
	}
	if len(problems) > 0 {
		return nil, &server.ManifestsError{Problems: problems}
	}
	if len(report.Results) == 0 {
		return nil, usageError{fmt.Errorf("--run %s: no case is called so, expected a pattern that some TEST/CASE matches", only)}
	}
	return report, nil
}

// printTests prints a table of the cases, why each that failed did, and the rules that no
// case has matched, which the run may require.
func printTests(s streams, report *explain.Report, uncovered bool) error {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, r := range report.Results {
		state, got := "ok", r.Got
		if !r.Passed {
			state, got = "FAIL", r.Got+", want "+r.Want
		}
		_, _ = fmt.Fprintf(w, "%s\t%s/%s\t%s\t%s\t%s\n", state, r.Test, diag.Escape(r.Name), diag.Escape(r.Request), diag.Escape(caller(&r)), got)
	}
	_ = w.Flush()
	for _, r := range report.Results {
		if !r.Passed {
			fmt.Fprintf(&b, "\n%s/%s (%s): want %s\n%s", r.Test, diag.Escape(r.Name), diag.Escape(r.Source.String()), r.Want, r.Why)
		}
	}
	fmt.Fprintf(&b, "\n%s, %d failed; %d of %s matched by a case\n", count(len(report.Results), "case"), report.Failed,
		len(report.Rules)-len(report.Missed), count(len(report.Rules), "rule"))
	for _, r := range report.Missed {
		fmt.Fprintf(&b, "  not matched: %s %s\n", diag.Escape(r.Source.String()), diag.Escape(ruleName(r.Policy, r.Name)))
	}
	if uncovered {
		fmt.Fprintf(&b, "FAIL: --require-coverage, and no case matches %s: add a case for each\n", count(len(report.Missed), "rule"))
	}
	_, err := fmt.Fprint(s.out, b.String())
	return err
}

// caller describes the caller of a case: the token, and the user who presents it.
func caller(r *explain.Result) string {
	switch {
	case r.Token == "" && r.User == "":
		return "no token"
	case r.Token == "":
		return "user " + r.User
	case r.User == "":
		return r.Token
	}
	return r.Token + " by " + r.User
}

func ruleName(policy, name string) string {
	if policy == "" {
		return name
	}
	return policy + " " + name
}

// testsResult is the JSON output of test.
type testsResult struct {
	OK     bool         `json:"ok"`
	Failed int          `json:"failed"`
	Cases  []testResult `json:"cases"`
	Rules  int          `json:"rules"`
	Missed []testRule   `json:"missed"` // the rules that no case matched
}

type testResult struct {
	Test    string               `json:"test"`
	Case    string               `json:"case"`
	Source  string               `json:"source"`
	Request string               `json:"request"`
	Token   string               `json:"token,omitempty"`
	User    string               `json:"user,omitempty"`
	Want    string               `json:"want"`
	Got     string               `json:"got"`
	Passed  bool                 `json:"passed"`
	Why     *explain.Explanation `json:"why,omitempty"`
}

type testRule struct {
	Policy string `json:"policy,omitempty"`
	Rule   string `json:"rule"`
	Source string `json:"source"`
}

func describeTests(report *explain.Report, uncovered bool) testsResult {
	out := testsResult{OK: report.Failed == 0 && !uncovered, Failed: report.Failed, Cases: []testResult{}, Rules: len(report.Rules), Missed: []testRule{}}
	for _, r := range report.Results {
		c := testResult{r.Test, r.Name, r.Source.String(), r.Request, r.Token, r.User, r.Want, r.Got, r.Passed, nil}
		if !r.Passed {
			c.Why = &r.Evidence
		}
		out.Cases = append(out.Cases, c)
	}
	for _, r := range report.Missed {
		out.Missed = append(out.Missed, testRule{r.Policy, r.Name, r.Source.String()})
	}
	return out
}
