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
	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/replay"
	"github.com/patgate/patgate/server"
)

// outputMarkdown is the form of a summary for a pull request.
const outputMarkdown = "markdown"

// replayFlags say what replay compares, and how.
type replayFlags struct {
	logs, manifests, against []string
	failOn, output           string
}

func newReplay(s streams) *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay --log FILE... --manifests NEW [--against OLD]",
		Short: "Show which recorded calls changed manifests allow or deny",
		Long: "Replay evaluates each decision of a log again, at its time, against the manifests NEW, and compares the\n" +
			"result with the log, or with the manifests OLD. What an event does not record (a masked value, a cut\n" +
			"path, a body) is never guessed: replay counts such events, with the reason.\n" +
			"\n" +
			"Rules about bodies are decided by what the log recorded about them. Give --against if the files of such\n" +
			"rules have changed, so that replay finds the rules.",
		Example: "  patgate replay --log audit.jsonl.gz --manifests manifests --fail-on newly-allowed\n" +
			"  kubectl logs deploy/patgate | patgate replay --log - --manifests new --against old -o markdown",
		RunE: func(_ *cobra.Command, given []string) error {
			names, err := logsOf(f.logs, given)
			if err := firstOf(f.check(), err); err != nil {
				return err
			}
			s.colored()
			return f.run(s, names)
		},
	}
	logFlag(cmd, &f.logs)
	manifestsFlag(cmd, &f.manifests)
	l := cmd.Flags()
	l.StringArrayVar(&f.against, "against", nil, "`directory` with the manifests to compare with (default: the decisions of the log); may repeat")
	l.StringVar(&f.failOn, "fail-on", "", "exit with 1 where there are such `differences`: newly-allowed, newly-denied or any")
	l.StringVarP(&f.output, "output", "o", outputText, "`form` of the output: text for people, json for programs, markdown for pull requests")
	return cmd
}

func (f *replayFlags) check() error {
	if f.output != outputText && f.output != outputJSON && f.output != outputMarkdown {
		return usageError{fmt.Errorf("--output %s: expected text, json or markdown", f.output)}
	}
	if known := []string{replay.NewlyAllowed, replay.NewlyDenied, "any"}; f.failOn != "" && !slices.Contains(known, f.failOn) {
		return usageError{fmt.Errorf("--fail-on %s: %s", f.failOn, diag.Suggest(f.failOn, known))}
	}
	return nil
}

func (f *replayFlags) run(s streams, names []string) error {
	dirs, err := manifestsOf(f.manifests, nil)
	if err != nil {
		return err
	}
	now, err := sideOf(dirs)
	if err != nil {
		return err
	}
	var old *replay.Side
	if len(f.against) > 0 {
		if old, err = sideOf(f.against); err != nil {
			return err
		}
	}
	result, cut, err := readLogs(s, names, func(ctx context.Context, logs []audit.Input, progress func(audit.ReadStats)) (*replay.Result, error) {
		return replay.Logs(ctx, logs, now, old, progress)
	})
	if err != nil {
		return err
	}
	return firstOf(f.print(s, result), cut, f.verdict(result))
}

// sideOf reads manifests that must be good.
func sideOf(dirs []string) (*replay.Side, error) {
	set := dir.Load(dirs)
	if len(set.Problems) > 0 {
		return nil, &server.ManifestsError{Problems: set.Problems}
	}
	return replay.NewSide(set.Rows, time.Now())
}

// verdict is an error where there are differences on which to fail.
func (f *replayFlags) verdict(r *replay.Result) error {
	if f.failOn == replay.NewlyAllowed && r.NewlyAllowed > 0 || f.failOn == replay.NewlyDenied && r.NewlyDenied > 0 ||
		f.failOn == "any" && r.NewlyAllowed+r.NewlyDenied > 0 {
		return errSaid
	}
	return nil
}

func (f *replayFlags) print(s streams, r *replay.Result) error {
	switch f.output {
	case outputJSON:
		return json.NewEncoder(s.out).Encode(r)
	case outputMarkdown:
		_, err := io.WriteString(s.out, replayMarkdown(r))
		return err
	}
	saySkipped(s, r.SkippedLines)
	return printReplay(s.out, r)
}

// replayHead says in one line what was found.
func replayHead(r *replay.Result) string {
	return fmt.Sprintf("%s%s: %d same, %d newly allowed, %d newly denied, %d cannot be replayed",
		count(int(r.Events), "decision"), sayTimes(r.First, r.Last), r.Same, r.NewlyAllowed, r.NewlyDenied, r.Unreplayable)
}

// kindTitles are the headings of the kinds of differences.
var kindTitles = []struct{ kind, title string }{{replay.NewlyAllowed, "Newly allowed"}, {replay.NewlyDenied, "Newly denied"}}

func printReplay(out io.Writer, r *replay.Result) error {
	var b strings.Builder
	fmt.Fprintln(&b, replayHead(r))
	for _, k := range kindTitles {
		list := differencesOf(r, k.kind)
		if len(list) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s\n", k.title)
		w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
		_, _ = fmt.Fprintln(w, "COUNT\tTOKEN\tUSER\tREQUEST\tREASON\tRULE\tFIRST\tLAST\tEXAMPLE")
		for _, d := range list[:min(len(list), 10*listed)] {
			_, _ = fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s, was %s\t%s\t%s\t%s\t%s\n", d.Count, diag.Escape(orDash(d.Token)), diag.Escape(orDash(d.User)),
				diag.Escape(d.Method+" "+d.PathShape), diag.Escape(d.Reason), diag.Escape(d.Was), diag.Escape(ruleText(&d)), stamp(d.First), stamp(d.Last), diag.Escape(orDash(d.Example)))
		}
		_ = w.Flush()
		if n := len(list) - 10*listed; n > 0 {
			fmt.Fprintf(&b, "… and %d more; -o json has all\n", n)
		}
	}
	if r.More > 0 {
		fmt.Fprintf(&b, "%s in no list: there are more than %d kinds\n", plural(int(r.More), "difference is", "differences are"), replay.MaxShapes)
	}
	printReasons(&b, "CANNOT BE REPLAYED", r.ReasonsUnreplayable)
	_, err := io.WriteString(out, b.String())
	return err
}

func differencesOf(r *replay.Result, kind string) (list []replay.Difference) {
	for _, d := range r.Differences {
		if d.Kind == kind {
			list = append(list, d)
		}
	}
	return list
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// ruleText names a rule and where it is.
func ruleText(d *replay.Difference) string {
	if d.Rule == "" {
		return "-"
	}
	return d.Rule + " (" + d.Source + ")"
}

// replayMarkdown is a summary for a pull request.
func replayMarkdown(r *replay.Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "### patgate replay\n\n%s.\n", replayHead(r))
	for _, k := range kindTitles {
		list := differencesOf(r, k.kind)
		if len(list) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n#### %s\n\n| count | token | user | request | reason | was | rule | first | last | example |\n|--:|---|---|---|---|---|---|---|---|---|\n", k.title)
		for _, d := range list[:min(len(list), 2*listed)] {
			cells := []string{orDash(d.Token), orDash(d.User), d.Method + " " + d.PathShape, d.Reason, d.Was, ruleText(&d), stamp(d.First), stamp(d.Last), orDash(d.Example)}
			fmt.Fprintf(&b, "| %d |", d.Count)
			for _, cell := range cells {
				b.WriteString(" " + markdownCell(cell) + " |")
			}
			b.WriteString("\n")
		}
		if n := len(list) - 2*listed; n > 0 {
			fmt.Fprintf(&b, "\n… and %d more.\n", n)
		}
	}
	if len(r.ReasonsUnreplayable) > 0 {
		b.WriteString("\n#### Cannot be replayed\n\n| count | reason |\n|--:|---|\n")
		for _, why := range slices.Sorted(maps.Keys(r.ReasonsUnreplayable)) {
			fmt.Fprintf(&b, "| %d | %s |\n", r.ReasonsUnreplayable[why], why)
		}
	}
	return b.String()
}

// markdownCell writes text that clients chose so that it is text in a table, and nothing else.
func markdownCell(text string) string {
	text = diag.Escape(text)
	if text == "-" {
		return text
	}
	text = strings.NewReplacer("|", `\|`, "`", "'", "\n", " ").Replace(text)
	return "`" + text + "`"
}
