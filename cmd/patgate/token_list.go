package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/tokens"
)

func newTokenList(s streams) *cobra.Command {
	var dirs []string
	var q tokens.Query
	var at, output string
	cmd := &cobra.Command{
		Use:   "list [DIR...]",
		Short: "List tokens with their states",
		Long: "List prints the tokens of the manifests and the state of each, as the server computes it\n" +
			"from manifest, groups and clock: revoked, suspended, canary, not-yet-valid, expired,\n" +
			"deactivated, expires-soon (5 days or less left) or active.\n\n" +
			"A token expires at its own end or at that of its user's cap, whichever is earlier.",
		Example: "  patgate token list --manifests manifests\n" +
			"  patgate token list --manifests manifests --state expires-soon --state expired -o json\n" +
			"  patgate token list --manifests manifests --user alice --at 2026-12-31T00:00:00Z",
		Args:              args(cobra.NoArgs, "takes no arguments, expected `patgate token show NAME` for one token"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) (err error) {
			if err := firstOf(checkOutput(output), checkStates(q.States)); err != nil {
				return err
			}
			if q.Now, err = parseAt(at); err != nil {
				return err
			}
			_, snapshot, err := readGood(dirs, q.Now)
			if err != nil {
				return err
			}
			return listTokens(s, snapshot, &q, output)
		},
	}
	manifestsFlag(cmd, &dirs)
	f := cmd.Flags()
	f.StringArrayVar(&q.States, "state", nil, "`state` of the tokens to list; may repeat")
	f.StringVar(&q.User, "user", "", "the `user` whose tokens to list")
	atFlag(cmd, &at)
	outputFlag(cmd, &output)
	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(stateNames(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// stateNames are the states, the first that holds first.
func stateNames() []string {
	var names []string
	for state := range policy.StateCount {
		names = append(names, state.String())
	}
	return names
}

func checkStates(states []string) error {
	for _, state := range states {
		if !slices.Contains(stateNames(), state) {
			return usageError{fmt.Errorf("--state %s: no such state, %s", state, diag.Suggest(state, stateNames()))}
		}
	}
	return nil
}

// listTokens prints the tokens that are asked for, by name.
func listTokens(s streams, snapshot *policy.Snapshot, q *tokens.Query, output string) error {
	list := tokens.List(snapshot, q)
	if output == outputJSON {
		return json.NewEncoder(s.out).Encode(list)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(s.err, "No tokens.")
		return err
	}
	return printTokens(s, list, q.Now)
}

func printTokens(s streams, list []tokens.ListedToken, now time.Time) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 3, ' ', 0)
	_, _ = fmt.Fprintln(w, "NAME\tUSER\tSTATE\tISSUED\tEXPIRES\tGATES")
	soon := 0
	for _, l := range list {
		user, end, gates := l.User, "never", strings.Join(l.Gates, ", ")
		switch {
		case l.AnyUser:
			user = "(any)"
		case user == "":
			user, end = "-", "-"
		}
		if l.Expires != nil {
			end = endText(*l.Expires, now)
		}
		switch {
		case l.EveryGate:
			gates = "(every)"
		case gates == "":
			gates = "-"
		}
		if l.State == policy.StateExpiresSoon.String() {
			soon++
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", l.Name, diag.Escape(user), l.State, l.Issued.Format(time.DateOnly), end, gates)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if soon > 0 {
		_, err := fmt.Fprintf(s.err, "%s within 5 days: `patgate token rotate NAME` gives a new value under the same name.\n",
			plural(soon, "token expires", "tokens expire"))
		return err
	}
	return nil
}
