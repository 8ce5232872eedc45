package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/audit/report"
	"github.com/patgate/patgate/diag"
)

func newAuditSummary(s streams) *cobra.Command {
	var logs []string
	var f filterFlags
	var output string
	var shadow bool
	cmd := &cobra.Command{
		Use:   "summary --log FILE... [FILE...]",
		Short: "Count what logs hold, by token, user, gate, reason and client",
		Long: "Summary counts decisions. It also shows who still uses Basic or an older value, which canaries were\n" +
			"used, and which tokens are refused again and again for the same reason. --shadow shows what gates and\n" +
			"policies in shadow mode would refuse if they were enforced.",
		Example: "  patgate audit summary --log audit.jsonl --decision deny --since -7d\n" +
			"  kubectl logs deploy/patgate | patgate audit summary --log - --shadow -o json",
		RunE: func(_ *cobra.Command, given []string) error {
			filter, ferr := f.filter(time.Now())
			names, err := logsOf(logs, given)
			if err := firstOf(checkOutput(output), ferr, err); err != nil {
				return err
			}
			s.colored()
			return auditSummary(s, names, filter, output, shadow)
		},
	}
	logFlag(cmd, &logs)
	f.add(cmd)
	cmd.Flags().BoolVar(&shadow, "shadow", false, "show what gates and policies in shadow mode would refuse")
	outputFlag(cmd, &output)
	return cmd
}

func auditSummary(s streams, names []string, filter *report.Filter, output string, shadow bool) error {
	sum, cut, err := readLogs(s, names, func(ctx context.Context, logs []audit.Input, progress func(audit.ReadStats)) (*report.Summary, error) {
		return report.Summarize(ctx, logs, filter, progress)
	})
	if err != nil {
		return err
	}
	if !shadow {
		sum.Shadow, sum.ShadowPolicies, sum.ShadowTokens = nil, nil, nil
	}
	if output == outputJSON {
		return firstOf(json.NewEncoder(s.out).Encode(shadowed{sum, shadowOf(sum, shadow)}), cut)
	}
	saySkipped(s, sum.SkippedLines)
	if shadow {
		return firstOf(printShadow(s.out, sum), cut)
	}
	return firstOf(printSummary(s.out, sum), cut)
}

// shadowed is a summary that has its field for refusals to come even where there are none.
type shadowed struct {
	*report.Summary
	Shadow *map[string]int64 `json:"shadow,omitempty"`
}

func shadowOf(sum *report.Summary, asked bool) *map[string]int64 {
	if !asked {
		return nil
	}
	return &sum.Shadow
}

// listed is the maximum number of lines of a part of the summary, for people.
const listed = 20

// printSummary prints a summary for people: first what needs somebody.
func printSummary(out io.Writer, sum *report.Summary) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s\n", count(int(sum.Events), "event"), sayTimes(sum.First, sum.Last))
	for _, c := range sum.Canaries {
		fmt.Fprintf(&b, "ALERT  the canary %s was touched %s, last at %s\n", diag.Escape(c.Name), times(c.Allowed+c.Denied), stamp(c.Last))
	}
	for _, c := range sum.Broken[:min(len(sum.Broken), listed)] {
		fmt.Fprintf(&b, "Refused again and again: token %s of %s, %s %s, last used at %s\n", diag.Escape(c.Token), diag.Escape(orNone(c.User)), diag.Escape(c.Reason), times(c.Count), stamp(c.Last))
	}
	for i := range sum.Tokens {
		t := &sum.Tokens[i]
		if n := t.Schemes["basic"]; n > 0 {
			fmt.Fprintf(&b, "Basic: token %s of %s, %s, last at %s%s\n", diag.Escape(t.Token), diag.Escape(orNone(t.User)), times(n), stamp(*t.BasicLast), endsText(t.BasicEnds))
		}
		if t.Previous > 0 {
			fmt.Fprintf(&b, "Older value: token %s of %s, %s, last at %s\n", diag.Escape(t.Token), diag.Escape(orNone(t.User)), times(t.Previous), stamp(*t.PreviousLast))
		}
	}
	printReasons(&b, "REASON", sum.Reasons)
	printTokenSummaries(&b, sum.Tokens)
	printGroups(&b, "USER", sum.Users)
	printGroups(&b, "GATE", sum.Gates)
	printGroups(&b, "CLIENT", sum.Clients)
	if sum.Other > 0 {
		fmt.Fprintf(&b, "\n%d counts are in no group: there are more than %d names\n", sum.Other, report.MaxGroups)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func times(n int64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func orNone(name string) string {
	if name == "" {
		return "nobody"
	}
	return name
}

func endsText(end *time.Time) string {
	if end == nil {
		return ""
	}
	return "; basic ends " + stamp(*end)
}

// printReasons prints counts, the highest first.
func printReasons(out io.Writer, title string, counts map[string]int64) {
	if len(counts) == 0 {
		return
	}
	names := slices.Sorted(maps.Keys(counts))
	slices.SortStableFunc(names, func(a, b string) int { return int(counts[b] - counts[a]) })
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	_, _ = fmt.Fprintf(w, "\n%s\tCOUNT\n", title)
	for _, name := range names {
		_, _ = fmt.Fprintf(w, "%s\t%d\n", diag.Escape(name), counts[name])
	}
	_ = w.Flush()
}

// printTokenSummaries prints the tokens that were used most.
func printTokenSummaries(out io.Writer, tokens []report.TokenSummary) {
	if len(tokens) == 0 {
		return
	}
	tokens = slices.Clone(tokens)
	slices.SortStableFunc(tokens, func(a, b report.TokenSummary) int { return int(b.Allowed + b.Denied - a.Allowed - a.Denied) })
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	_, _ = fmt.Fprintln(w, "\nTOKEN\tUSER\tALLOWED\tDENIED\tCLIENTS\tFIRST\tLAST")
	for i := range tokens[:min(len(tokens), listed)] {
		t := &tokens[i]
		_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%s\t%s\n", diag.Escape(t.Token), diag.Escape(orNone(t.User)), t.Allowed, t.Denied, t.Clients, stamp(t.First), stamp(t.Last))
	}
	_ = w.Flush()
	more(out, len(tokens))
}

// printGroups prints the groups with the most calls.
func printGroups(out io.Writer, title string, groups []report.Group) {
	if len(groups) == 0 {
		return
	}
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	_, _ = fmt.Fprintf(w, "\n%s\tALLOWED\tDENIED\tFIRST\tLAST\n", title)
	for _, g := range groups[:min(len(groups), listed)] {
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\n", diag.Escape(g.Name), g.Allowed, g.Denied, stamp(g.First), stamp(g.Last))
	}
	_ = w.Flush()
	more(out, len(groups))
}

// more says how many were left out.
func more(out io.Writer, n int) {
	if n > listed {
		_, _ = fmt.Fprintf(out, "… and %d more; -o json has all\n", n-listed)
	}
}

// printShadow prints what gates and policies in shadow mode would refuse.
func printShadow(out io.Writer, sum *report.Summary) error {
	var b strings.Builder
	total := int64(0)
	for _, n := range sum.Shadow {
		total += n
	}
	fmt.Fprintf(&b, "%s%s: gates that observe would refuse %s\n", count(int(sum.Events), "event"), sayTimes(sum.First, sum.Last), count(int(total), "call"))
	printReasons(&b, "REASON", sum.Shadow)
	printReasons(&b, "POLICY AND VERDICT", sum.ShadowPolicies)
	printGroups(&b, "TOKEN", sum.ShadowTokens)
	_, err := io.WriteString(out, b.String())
	return err
}
