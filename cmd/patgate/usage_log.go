package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/audit/report"
	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/usage"
)

// usageFlags say what usage reads, and what it lists.
type usageFlags struct {
	logs, manifests    []string
	from, tokens       []string
	at, unused, output string
	rules              bool
}

func newUsage(s streams) *cobra.Command {
	var f usageFlags
	cmd := &cobra.Command{
		Use:   "usage {--log FILE... | --from URL...} [--manifests DIR]",
		Short: "Show when each token was last used, and which never were",
		Long: "Usage counts the allowed calls of each token, from audit logs or from the status ports of running servers\n" +
			"(/usage). Refused calls do not count. With --manifests it also shows the state of each token and lists\n" +
			"tokens that were never used. It reports who still uses something that is about to end: a token, an older\n" +
			"value, or Basic at a gate that ends it.",
		Example: "  patgate usage --log audit.jsonl.gz --manifests manifests\n" +
			"  patgate usage --log audit.jsonl --token ci-bot\n" +
			"  kubectl logs deploy/patgate | patgate usage --log - --unused 30d -o json\n" +
			"  patgate usage --from http://10.0.0.7:9192 --from http://10.0.0.8:9192 --manifests manifests",
		RunE: func(_ *cobra.Command, given []string) error {
			names, err := f.sources(given)
			if err := firstOf(checkOutput(f.output), err); err != nil {
				return err
			}
			s.colored()
			return f.run(s, names)
		},
	}
	logFlag(cmd, &f.logs)
	cmd.Flags().StringArrayVar(&f.from, "from", nil, "`URL` of a server's status port to ask; may repeat")
	manifestsFlag(cmd, &f.manifests)
	cmd.Flags().StringArrayVar(&f.tokens, "token", nil, "only the token with this `name`; may repeat")
	atFlag(cmd, &f.at)
	cmd.Flags().StringVar(&f.unused, "unused", "", "only tokens that were not used for this `time`, such as 30d")
	cmd.Flags().BoolVar(&f.rules, "rules", false, "also which rules allowed the calls of a token, and with --manifests which never did")
	outputFlag(cmd, &f.output)
	return cmd
}

// sources returns the logs to read, if no servers are asked.
func (f *usageFlags) sources(given []string) ([]string, error) {
	if len(f.from) == 0 {
		return logsOf(f.logs, given)
	}
	if len(f.logs)+len(given) > 0 {
		return nil, usageError{fmt.Errorf("--log and --from exclude each other: both may count the same calls")}
	}
	return nil, nil
}

// usedToken is a token with its usage.
type usedToken struct {
	usage.Token
	State      string     `json:"state"` // by the manifests; gone: they do not have it; empty: no manifests
	Expires    *time.Time `json:"expires,omitempty"`
	UnusedDays int        `json:"unusedDays"` // since its last use

	UnusedRules []unusedRule `json:"unusedRules,omitempty"` // its own rules that allowed no call
}

// usageReport is the JSON output of usage.
type usageReport struct {
	Tokens       []usedToken `json:"tokens"`
	NeverUsed    []string    `json:"neverUsed"` // of the manifests, in these logs
	Events       int64       `json:"events"`
	SkippedLines int64       `json:"skippedLines"`
}

func (f *usageFlags) run(s streams, names []string) error {
	now, err := parseAt(f.at)
	if err != nil {
		return err
	}
	var unused time.Duration
	if f.unused != "" {
		if unused, err = parseWithin(f.unused); err != nil {
			return usageError{fmt.Errorf("--unused %s: expected a duration such as 14d, 2w or 36h", f.unused)}
		}
	}
	var snapshot *policy.Snapshot
	if dirs := manifestsIfAny(f.manifests, nil); len(dirs) > 0 {
		if _, snapshot, err = readGood(dirs, now); err != nil {
			return err
		}
	}
	list, stats, cut, err := f.read(s, names)
	if err != nil {
		return err
	}
	r := usageReportOf(list, snapshot, now, unused)
	if err := r.only(f.tokens, list); err != nil {
		return err
	}
	for i := range r.Tokens {
		r.Tokens[i].addRules(f.rules, snapshot)
	}
	r.Events, r.SkippedLines = stats.Events, stats.Skipped
	if f.output == outputJSON {
		return firstOf(json.NewEncoder(s.out).Encode(r), cut)
	}
	saySkipped(s, stats.Skipped)
	return firstOf(printUsage(s, r, len(f.from) > 0), cut)
}

// read reads the logs, or fetches the counts from servers. The first error reports a log that is cut.
func (f *usageFlags) read(s streams, names []string) (list []usage.Token, stats audit.ReadStats, cut, err error) {
	if len(f.from) > 0 {
		ctx, stop := interrupted()
		defer stop()
		list, err = usageOf(ctx, f.from)
		return list, stats, nil, err
	}
	list, cut, err = readLogs(s, names, func(ctx context.Context, logs []audit.Input, progress func(audit.ReadStats)) (list []usage.Token, cut error) {
		list, stats, cut = report.Usage(ctx, logs, f.rules, progress)
		return list, cut
	})
	return list, stats, cut, err
}

// askWithin limits how long a server may take to answer.
const askWithin = 30 * time.Second

// usageOf fetches the uses of tokens from servers.
func usageOf(ctx context.Context, urls []string) ([]usage.Token, error) {
	all := usage.Uses{}
	for i, from := range urls {
		source, err := usage.NewSource(from, &http.Client{Timeout: askWithin})
		if err != nil {
			return nil, usageError{fmt.Errorf("--from, value %d: %w", i+1, err)}
		}
		if err := source.Fetch(ctx); err != nil {
			return nil, err
		}
		source.AddTo(all)
	}
	return all.List(), nil
}

// usageReportOf puts usage and manifests together.
func usageReportOf(list []usage.Token, snapshot *policy.Snapshot, now time.Time, unused time.Duration) *usageReport {
	r := &usageReport{Tokens: []usedToken{}, NeverUsed: []string{}}
	used := map[string]bool{}
	for _, u := range list {
		used[u.Token] = true
		if idle := now.Sub(u.Last); idle >= unused {
			t := usedToken{Token: u, UnusedDays: max(0, int(idle/(24*time.Hour)))}
			t.State, t.Expires = stateOf(snapshot, u.Token, now)
			r.Tokens = append(r.Tokens, t)
		}
	}
	if snapshot != nil {
		snapshot.Tokens(func(t *policy.Token) bool {
			if !used[t.Name] {
				r.NeverUsed = append(r.NeverUsed, t.Name)
			}
			return true
		})
		slices.Sort(r.NeverUsed)
	}
	return r
}

// only removes the tokens that were not asked for. A name that neither the logs nor the manifests have is an
// error: it would look like a token that nobody uses.
func (r *usageReport) only(names []string, list []usage.Token) error {
	if len(names) == 0 {
		return nil
	}
	known := slices.Clone(r.NeverUsed)
	for i := range list {
		known = append(known, list[i].Token)
	}
	slices.Sort(known)
	for _, name := range names {
		if !slices.Contains(known, name) {
			return usageError{fmt.Errorf("--token %s: no call with it, and no such token in the manifests, %s", name, diag.Suggest(name, known))}
		}
	}
	r.Tokens = slices.DeleteFunc(r.Tokens, func(t usedToken) bool { return !slices.Contains(names, t.Token.Token) })
	r.NeverUsed = slices.DeleteFunc(r.NeverUsed, func(name string) bool { return !slices.Contains(names, name) })
	return nil
}

// stateOf is a token's state, and its end where there is one.
func stateOf(snapshot *policy.Snapshot, name string, now time.Time) (string, *time.Time) {
	if snapshot == nil {
		return "", nil
	}
	t := snapshot.TokenByName(name)
	if t == nil {
		return "gone", nil
	}
	if end := t.End().UTC(); !t.End().IsZero() {
		return snapshot.State(t, now).String(), &end
	}
	return snapshot.State(t, now).String(), nil
}

func printUsage(s streams, r *usageReport, servers bool) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 3, ' ', 0)
	_, _ = fmt.Fprintln(w, "NAME\tUSER\tSTATE\tCOUNT\tFIRST\tLAST\tUNUSED\tCLIENT\tSCHEME\tNOTES")
	for i := range r.Tokens {
		t := &r.Tokens[i]
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", diag.Escape(t.Token.Token), diag.Escape(orDash(t.User)), orDash(t.State), t.Count, stamp(t.First), stamp(t.Last),
			count(t.UnusedDays, "day"), diag.Escape(orDash(t.LastClient)), diag.Escape(orDash(t.LastScheme)), usageNotes(t))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	never := "never used in these logs"
	if servers {
		never = "never used since these servers started"
	}
	if err := printRuleUses(s, r.Tokens); err != nil {
		return err
	}
	for _, name := range r.NeverUsed {
		if _, err := fmt.Fprintf(s.out, "%s: %s\n", never, diag.Escape(name)); err != nil {
			return err
		}
	}
	return nil
}

// usageNotes says what of the token's use is about to end.
func usageNotes(t *usedToken) string {
	var notes []string
	if t.State == policy.StateExpiresSoon.String() && t.Expires != nil {
		notes = append(notes, "ends "+stamp(*t.Expires))
	}
	if t.PreviousLast != nil {
		notes = append(notes, "older value used until "+stamp(*t.PreviousLast))
	}
	if t.BasicLast != nil && t.BasicEnds != nil {
		notes = append(notes, "basic used until "+stamp(*t.BasicLast)+", which ends "+stamp(*t.BasicEnds))
	}
	if len(notes) == 0 {
		return "-"
	}
	return strings.Join(notes, ", ")
}
