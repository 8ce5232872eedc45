package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/replay/suggest"
	"github.com/patgate/patgate/ruleset"
)

// suggestFlags say what suggest reads, and for which tokens.
type suggestFlags struct {
	logs, manifests []string
	options         suggest.Options
	output          string
}

const outputPatch = "patch"

func newSuggest(s streams) *cobra.Command {
	var f suggestFlags
	cmd := &cobra.Command{
		Use:   "suggest --log FILE... --manifests DIR",
		Short: "Propose the tightest rules that the recorded calls of tokens need",
		Long: "Suggest reads audit logs and proposes, for each token, the rules that its allowed calls need: methods by\n" +
			"path shape, patterns for path segments that vary, and parameters that every call had. A proposal never\n" +
			"allows what the present rules refuse: suggest proves this for each pattern. -o patch prints a patch of the\n" +
			"manifests. Replay the log against the result before you merge it.\n" +
			"--dead lists rules, policies, groups, gates and tokens that no call used.",
		Example: "  patgate suggest --log audit.jsonl.gz --manifests manifests --token ci-bot\n" +
			"  patgate suggest --log audit.jsonl.gz --manifests manifests -o patch | patch -p0\n" +
			"  kubectl logs deploy/patgate | patgate suggest --log - --manifests manifests --dead",
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
	cmd.Flags().StringArrayVar(&f.options.Tokens, "token", nil, "`name` of a token; may repeat (default: all)")
	cmd.Flags().IntVar(&f.options.MinDays, "min-days", 30, "`days` of evidence below which nothing is proposed")
	cmd.Flags().BoolVar(&f.options.DeadOnly, "dead", false, "list what nothing used, and propose nothing")
	cmd.Flags().StringVarP(&f.output, "output", "o", outputText, "`form` of the output: text for people, json for programs, patch for `git apply -p0`")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{outputText, outputJSON, outputPatch}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (f *suggestFlags) check() error {
	switch {
	case !slices.Contains([]string{outputText, outputJSON, outputPatch}, f.output):
		return usageError{fmt.Errorf("--output %s: expected text, json or patch", f.output)}
	case f.options.MinDays < 0:
		return usageError{fmt.Errorf("--min-days %d: expected days, 0 or more", f.options.MinDays)}
	case f.options.DeadOnly && f.output == outputPatch:
		return usageError{errors.New("--dead has no patch, expected -o text or json")}
	}
	return nil
}

func (f *suggestFlags) run(s streams, names []string) error {
	dirs, err := manifestsOf(f.manifests, nil)
	if err != nil {
		return err
	}
	set, snapshot, err := readGood(dirs, time.Now())
	if err != nil {
		return err
	}
	for _, name := range f.options.Tokens {
		if snapshot.TokenByName(name) == nil {
			return usageError{fmt.Errorf("--token %s: no such token in the manifests, %s", name, diag.Suggest(name, tokenNames(set)))}
		}
	}
	r, cut, err := readLogs(s, names, func(ctx context.Context, logs []audit.Input, progress func(audit.ReadStats)) (*suggest.Report, error) {
		return suggest.Logs(ctx, logs, set.Rows, f.options, progress)
	})
	if err != nil {
		return err
	}
	return firstOf(f.print(s, set, r), cut)
}

func tokenNames(set *ruleset.Set) []string {
	names := make([]string, 0, len(set.Rows.Tokens))
	for _, t := range set.Rows.Tokens {
		names = append(names, t.Name)
	}
	return names
}

func (f *suggestFlags) print(s streams, set *ruleset.Set, r *suggest.Report) error {
	if f.output == outputJSON {
		return json.NewEncoder(s.out).Encode(r)
	}
	saySkipped(s, r.SkippedLines)
	switch {
	case f.options.DeadOnly:
		return printDead(s.out, r)
	case f.output == outputPatch:
		return printPatch(s, set, r)
	}
	return printSuggestions(s.out, r)
}

func printSuggestions(out io.Writer, r *suggest.Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s\n", count(int(r.Events), "event"), sayTimes(r.First, r.Last))
	for i := range r.Tokens {
		t := &r.Tokens[i]
		fmt.Fprintf(&b, "\n%s (%s): ", diag.Escape(t.Token), diag.Escape(orNone(t.User)))
		if t.Proposed() {
			fmt.Fprintf(&b, "covers %d of %s of %s\n", t.Covered, count(int(t.AllowedCalls), "allowed call"), suggest.DaysText(t.Days))
		} else {
			b.WriteString("nothing is proposed\n")
		}
		for _, line := range t.LimitTo {
			fmt.Fprintf(&b, "  %s\n", diag.Escape(line))
		}
		for _, rule := range t.Allow {
			text, _ := json.Marshal(rule)
			fmt.Fprintf(&b, "  allow: %s\n", diag.Escape(string(text)))
		}
		for _, what := range t.Removes {
			fmt.Fprintf(&b, "  removes: %s\n", diag.Escape(what))
		}
		for _, what := range t.Warnings {
			fmt.Fprintf(&b, "  note: %s\n", diag.Escape(what))
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func printDead(out io.Writer, r *suggest.Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Unused in %s%s:\n", count(int(r.Events), "event"), sayTimes(r.First, r.Last))
	for _, list := range []struct {
		kind  string
		names []string
	}{{"gate", r.Dead.Gates}, {"group", r.Dead.Groups}, {"policy", r.Dead.Policies}, {"rule", r.Dead.Rules}, {"token", r.Dead.Tokens}} {
		for _, name := range list.names {
			fmt.Fprintf(&b, "%s %s\n", list.kind, diag.Escape(name))
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// printPatch prints a patch of the manifests. Files that can't be edited are named, and the exit code is 1.
func printPatch(s streams, set *ruleset.Set, r *suggest.Report) error {
	before, after := map[string][]byte{}, map[string][]byte{}
	var files []string
	var failed error
	for i := range r.Tokens {
		t := &r.Tokens[i]
		doc := set.Find(manifest.KindAPIToken, t.Token)
		if !t.Proposed() || doc == nil {
			continue
		}
		if before[doc.File] == nil {
			data, err := os.ReadFile(doc.File)
			if err != nil {
				return fmt.Errorf("%s: %w", doc.File, dir.Reason(err))
			}
			before[doc.File], after[doc.File], files = data, data, append(files, doc.File)
		}
		change := edit.Change{Fields: suggestedFields(t, doc.APIToken)}
		text, err := change.Apply(doc.File, after[doc.File], doc.Metadata.Name.Text)
		if err != nil {
			_, _ = fmt.Fprintln(s.err, diag.Escape(err.Error()))
			failed = errSaid
			continue
		}
		after[doc.File] = text
	}
	for _, name := range files {
		if _, err := s.out.Write(diff.Diff(name, before[name], name, after[name])); err != nil {
			return err
		}
	}
	return failed
}

// suggestedFields are the fields of the spec that a proposal changes.
func suggestedFields(t *suggest.Token, now *manifest.APIToken) []edit.Field {
	var fields []edit.Field
	set := func(key string, has bool, value any) {
		if has || value != nil {
			fields = append(fields, edit.Field{Key: key, Value: value})
		}
	}
	var limits, allow, policies any
	if len(t.LimitTo) > 0 {
		limits = strings.Join(t.LimitTo, "\n") + "\n"
	}
	if len(t.Allow) > 0 {
		var list []any
		text, _ := json.Marshal(t.Allow)
		_ = json.Unmarshal(text, &list)
		allow = list
	}
	if len(t.Policies) > 0 {
		var list []any
		for _, name := range t.Policies {
			list = append(list, name)
		}
		policies = list
	}
	set("unrestricted", now.Unrestricted, nil)
	set("policies", len(now.Policies) > 0, policies)
	set("allow", len(now.Allow) > 0, allow)
	set("limitTo", len(now.LimitTo) > 0, limits)
	return fields
}
