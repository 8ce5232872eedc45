package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/audit/report"
	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/tokens"
	"github.com/patgate/patgate/usage"
)

func newTokenList(s streams) *cobra.Command {
	var dirs []string
	var q tokens.Query
	var at, within, output, sorted, used string
	cmd := &cobra.Command{
		Use:   "list [DIR...]",
		Short: "List tokens with their states",
		Long: "List prints the tokens of the manifests and the state of each, as the server computes it\n" +
			"from manifest, groups and clock: revoked, suspended, canary, not-yet-valid, expired,\n" +
			"deactivated, expires-soon (5 days or less left) or active.\n\n" +
			"A token expires at its own end or at that of its user's cap, whichever is earlier.",
		Example: "  patgate token list manifests\n" +
			"  patgate token list manifests --within 14d --sort end\n" +
			"  patgate token list manifests --user alice --at +90d -o json",
		RunE: func(_ *cobra.Command, given []string) (err error) {
			if err := firstOf(checkOutput(output), checkStates(q.States), checkSort(sorted)); err != nil {
				return err
			}
			s.colored()
			if q.Now, err = parseAt(at); err != nil {
				return err
			}
			if q.Within, err = parseWithin(within); err != nil {
				return err
			}
			q.ByEnd = sorted == sortEnd
			from, err := manifestsOf(dirs, given)
			if err := firstOf(err, checkNotNames(given)); err != nil {
				return err
			}
			set, snapshot, err := readGood(from, q.Now)
			if err != nil {
				return err
			}
			uses, err := readUsage(s, used)
			if err != nil {
				return err
			}
			return listTokens(s, tokens.List(snapshot, set, &q), uses, noTokensHint(snapshot, &q), q.Now, output)
		},
	}
	manifestsFlag(cmd, &dirs)
	f := cmd.Flags()
	f.StringArrayVar(&q.States, "state", nil, "`state` of the tokens to list; may repeat")
	f.StringVar(&q.User, "user", "", "the `user` whose tokens to list")
	f.StringVar(&within, "within", "", "only tokens that are good and end within this `time`, such as 14d")
	f.StringVar(&sorted, "sort", sortName, "`order`: name, or end (those that end first come first)")
	f.StringVar(&used, "usage", "", "also show the last use: a `FILE` of patgate usage -o json, or an audit log (-: stdin)")
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

// The orders of a list.
const (
	sortName = "name"
	sortEnd  = "end"
)

func checkSort(order string) error {
	if order != sortName && order != sortEnd {
		return usageError{fmt.Errorf("--sort %s: expected name or end", order)}
	}
	return nil
}

// checkNotNames refuses arguments that are names of tokens and no directories.
func checkNotNames(given []string) error {
	for _, arg := range given {
		if _, err := os.Stat(arg); err != nil && filepath.Base(arg) == arg {
			return usageError{fmt.Errorf("%s: no such directory, expected one with manifests; `patgate token show %s` shows one token", arg, arg)}
		}
	}
	return nil
}

func parseWithin(within string) (time.Duration, error) {
	if within == "" {
		return 0, nil
	}
	d, ok := manifest.ParseLifetime(within)
	if !ok || d == policy.Forever {
		return 0, usageError{fmt.Errorf("--within %s: expected a duration such as 14d, 2w or 36h", within)}
	}
	return d, nil
}

// listedUse is a token in a list, with its use.
type listedUse struct {
	tokens.ListedToken
	LastUsed   *time.Time `json:"lastUsed,omitempty"`
	LastClient string     `json:"lastClient,omitempty"`
	Count      int64      `json:"count,omitempty"`
}

// readUsage reads a file of usage; nil: none is named.
func readUsage(s streams, name string) (usage.Uses, error) {
	if name == "" {
		return nil, nil
	}
	in := s.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, usageError{fmt.Errorf("--usage %s: %w", name, dir.Reason(err))}
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	text := bufio.NewReaderSize(in, 64<<10)
	if start, _ := text.Peek(64 << 10); isLog(start) {
		return usageOfLog(name, text)
	}
	uses, err := usage.Read(text)
	if err != nil {
		return nil, usageError{fmt.Errorf("--usage %s: %w", name, err)}
	}
	return uses, nil
}

// usageHead is the beginning of what `patgate usage -o json` prints, and of lines of /usage.
var usageHead = regexp.MustCompile(`^\s*\{\s*"(tokens|instance|token)"`)

// isLog reports whether a file of usage is an audit log instead: its events have a kind, and it may be gzip or zstd.
func isLog(start []byte) bool {
	compressed := len(start) > 0 && (start[0] == 0x1f || start[0] == 0x28 || start[0]&0xf0 == 0x50 && bytes.Contains(start, []byte{0x2a, 0x4d, 0x18}))
	return !usageHead.Match(start) && (compressed || bytes.Contains(start, []byte(`kind`)))
}

// usageOfLog counts the uses of tokens in an audit log.
func usageOfLog(name string, log io.Reader) (usage.Uses, error) {
	list, stats, err := report.Usage(context.Background(), []audit.Input{{Name: name, Reader: log}}, false, nil)
	if err == nil && stats.Events == 0 {
		return nil, usageError{fmt.Errorf("--usage %s: no event of patgate in it, expected what `patgate usage -o json` prints, lines of /usage, or an audit log", name)}
	}
	uses := usage.Uses{}
	for i := range list {
		uses.Add(&list[i])
	}
	return uses, err
}

// withUse adds their use to tokens.
func withUse(list []tokens.ListedToken, uses usage.Uses) []listedUse {
	out := make([]listedUse, len(list))
	for i := range list {
		out[i].ListedToken = list[i]
		if u := uses[list[i].Name]; u != nil {
			out[i].LastUsed, out[i].LastClient, out[i].Count = &u.Last, u.LastClient, u.Count
		}
	}
	return out
}

// listTokens prints the requested tokens.
func listTokens(s streams, list []tokens.ListedToken, uses usage.Uses, hint string, now time.Time, output string) error {
	if output == outputJSON {
		if uses != nil {
			return json.NewEncoder(s.out).Encode(withUse(list, uses))
		}
		return json.NewEncoder(s.out).Encode(list)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintf(s.err, "No tokens%s\n", hint)
		return err
	}
	return printTokens(s, withUse(list, uses), uses != nil, now)
}

// noTokensHint says who was likely meant.
func noTokensHint(snapshot *policy.Snapshot, q *tokens.Query) string {
	users := tokens.Users(snapshot)
	if q.User == "" || len(users) == 0 || slices.Contains(users, q.User) {
		return "."
	}
	return fmt.Sprintf(": no token belongs to %s, %s", diag.Escape(q.User), diag.Escape(diag.Suggest(q.User, users)))
}

func printTokens(s streams, list []listedUse, used bool, now time.Time) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 3, ' ', 0)
	column := ""
	if used {
		column = "\tLAST USED"
	}
	_, _ = fmt.Fprintf(w, "NAME\tUSER\tSTATE\tISSUED\tEXPIRES%s\tGATES\tNOTES\n", column)
	states := map[string]int{}
	for i := range list {
		l := &list[i].ListedToken
		states[l.State]++
		if used {
			column = "\t" + lastUsed(&list[i])
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s%s\t%s\t%s\n", l.Name, diag.Escape(listedUser(l)), l.State, l.Issued.Format(time.DateOnly),
			listedEnd(l, now), column, listedGates(l), listedNotes(l))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(s.err, "%s: %s\n", count(len(list), "token"), statesText(states))
	if soon := states[policy.StateExpiresSoon.String()]; soon > 0 {
		_, err := fmt.Fprintf(s.err, "%s within 5 days: `patgate token rotate NAME` gives a new value under the same name.\n",
			plural(soon, "token expires", "tokens expire"))
		return err
	}
	return nil
}

// lastUsed returns the time and the address of a token's last use.
func lastUsed(l *listedUse) string {
	switch {
	case l.LastUsed == nil:
		return "-"
	case l.LastClient == "":
		return stamp(*l.LastUsed)
	}
	return stamp(*l.LastUsed) + " from " + diag.Escape(l.LastClient)
}

// statesText counts tokens by their states.
func statesText(states map[string]int) string {
	var parts []string
	for _, state := range slices.Backward(stateNames()) {
		if n := states[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	return strings.Join(parts, ", ")
}

func listedUser(l *tokens.ListedToken) string {
	switch {
	case l.AnyUser:
		return "(any)"
	case l.User == "":
		return "-"
	}
	return l.User
}

func listedEnd(l *tokens.ListedToken, now time.Time) string {
	switch {
	case l.Expires != nil:
		return endText(*l.Expires, now)
	case l.User == "" && !l.AnyUser:
		return "-"
	}
	return "never"
}

func listedGates(l *tokens.ListedToken) string {
	switch {
	case l.EveryGate:
		return "(every)"
	case len(l.Gates) == 0:
		return "-"
	}
	return strings.Join(l.Gates, ", ")
}

// listedNotes says in a few words what else to know of a token.
func listedNotes(l *tokens.ListedToken) string {
	var notes []string
	if l.DisplayName != "" {
		notes = append(notes, strconv.Quote(l.DisplayName))
	}
	if l.Revoked != nil {
		notes = append(notes, "revoked "+l.Revoked.Format(time.DateOnly))
	}
	if l.Previous > 0 {
		notes = append(notes, plural(l.Previous, "older value", "older values"))
	}
	if l.Unrestricted {
		notes = append(notes, "unrestricted")
	}
	if l.ActAs {
		notes = append(notes, "acts for others")
	}
	if len(notes) == 0 {
		return "-"
	}
	return strings.Join(notes, ", ")
}
