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
)

// listedToken is what list tells a program of a token.
type listedToken struct {
	Name      string     `json:"name"`
	User      string     `json:"user"`
	AnyUser   bool       `json:"anyUser,omitempty"`
	State     string     `json:"state"`
	Issued    time.Time  `json:"issued"`
	Expires   *time.Time `json:"expires,omitempty"`
	Gates     []string   `json:"gates"` // by name, also where the token is for every gate
	EveryGate bool       `json:"everyGate,omitempty"`
}

// listQuery is which tokens to list.
type listQuery struct {
	states []string
	user   string
	now    time.Time
}

func newTokenList(s streams) *cobra.Command {
	var dirs []string
	var q listQuery
	var at, output string
	cmd := &cobra.Command{
		Use:   "list --manifests DIR",
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
			if err := firstOf(checkOutput(output), checkStates(q.states)); err != nil {
				return err
			}
			if q.now, err = parseAt(at); err != nil {
				return err
			}
			_, snapshot, err := readGood(dirs, q.now)
			if err != nil {
				return err
			}
			return listTokens(s, snapshot, &q, output)
		},
	}
	manifestsFlag(cmd, &dirs)
	f := cmd.Flags()
	f.StringArrayVar(&q.states, "state", nil, "`state` of the tokens to list; may repeat")
	f.StringVar(&q.user, "user", "", "the `user` whose tokens to list")
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
func listTokens(s streams, snapshot *policy.Snapshot, q *listQuery, output string) error {
	list := []listedToken{}
	snapshot.Tokens(func(t *policy.Token) bool {
		state := snapshot.State(t, q.now)
		if (len(q.states) == 0 || slices.Contains(q.states, state.String())) && (q.user == "" || t.User == q.user) {
			list = append(list, listed(snapshot, t, state))
		}
		return true
	})
	if output == outputJSON {
		return json.NewEncoder(s.out).Encode(list)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(s.err, "No tokens.")
		return err
	}
	return printTokens(s, list, q.now)
}

func listed(snapshot *policy.Snapshot, t *policy.Token, state policy.State) listedToken {
	l := listedToken{
		Name: t.Name, User: t.User, AnyUser: t.AnyUser, State: state.String(), Issued: t.Issued.UTC(),
		Expires: instant(t.End()), Gates: []string{}, EveryGate: len(t.Gates) == 0 && !t.Canary,
	}
	for _, g := range gatesOf(snapshot, t) {
		l.Gates = append(l.Gates, g.Name)
	}
	return l
}

func printTokens(s streams, list []listedToken, now time.Time) error {
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
