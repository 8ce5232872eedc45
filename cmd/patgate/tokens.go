package main

import (
	"errors"
	"fmt"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
	"github.com/patgate/patgate/server"
	"github.com/patgate/patgate/token"
	"github.com/patgate/patgate/tokens"
)

// manifestsFlag adds --manifests, which a command wants.
func manifestsFlag(cmd *cobra.Command, dirs *[]string) {
	cmd.Flags().StringArrayVar(dirs, "manifests", nil, "`directory` with the manifests (required); may repeat")
	_ = cmd.MarkFlagDirname("manifests") // for the shell's completion
}

func checkManifests(dirs []string) error {
	if len(dirs) == 0 || slices.Contains(dirs, "") {
		return usageError{fmt.Errorf("--manifests is missing, expected the directory of the manifests")}
	}
	return nil
}

// tokenName completes the NAME of a token.
func tokenName(dirs *[]string) cobra.CompletionFunc {
	return func(_ *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(given) > 0 || len(*dirs) == 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return dir.Load(*dirs).TokenNames(), cobra.ShellCompDirectiveNoFileComp
	}
}

// atFlag adds --at.
func atFlag(cmd *cobra.Command, at *string) {
	cmd.Flags().StringVar(at, "at", "", "`time` to look at, such as 2026-07-30T00:00:00Z (default: now)")
}

// parseAt reads the value of --at.
func parseAt(at string) (time.Time, error) {
	if at == "" {
		return time.Now(), nil
	}
	t, ok := manifest.ParseTime(at)
	if !ok {
		return time.Time{}, usageError{fmt.Errorf("--at %s: expected a time such as 2026-07-30T00:00:00Z (RFC 3339)", at)}
	}
	return t, nil
}

// snapshotOf makes rows a running revision, so that a token's state is what the server
// computes.
func snapshotOf(rows policy.Rows, now time.Time) (*policy.Snapshot, error) {
	index := policy.NewIndex()
	if _, err := index.Replace(rows, now); err != nil {
		return nil, err
	}
	return index.Snapshot(), nil
}

// readGood reads manifests that must be good.
func readGood(dirs []string, now time.Time) (*ruleset.Set, *policy.Snapshot, error) {
	if err := checkManifests(dirs); err != nil {
		return nil, nil, err
	}
	set := dir.Load(dirs)
	if len(set.Problems) > 0 {
		return nil, nil, &server.ManifestsError{Problems: set.Problems}
	}
	snapshot, err := snapshotOf(set.Rows, now)
	return set, snapshot, err
}

// tokenService changes tokens in directories of manifests. Without into it creates none.
func tokenService(dirs []string, into string) *tokens.Service {
	store := &dir.Store{Roots: dirs, Into: into}
	return &tokens.Service{Store: store, Documents: store}
}

// withFlag adds to a refusal the flag that lifts it.
func withFlag(err error) error {
	var refused *tokens.RefusedError
	switch {
	case !errors.As(err, &refused):
	case refused.Code == tokens.TooMany && refused.Field == "previous":
		refused.Reasons[0] += " (`--overlap 0`)"
	case refused.Code == tokens.NoRight || refused.Code == tokens.TooMany:
		refused.Reasons = append(refused.Reasons, "With --as-admin it is created all the same, and its manifest records that.")
	}
	return err
}

// printValue prints a token's value, alone on its line. A reader that is gone is an
// error: the signal would end the process before it takes its work back.
func printValue(s streams, secret token.Secret) error {
	signal.Ignore(syscall.SIGPIPE)
	_, err := fmt.Fprintln(s.out, secret.Reveal())
	return err
}

// printable writes text that a manifest chose so that it can't move a cursor or break a table.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

// stamp writes a time for people and programs.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// endText writes an end and how far it is.
func endText(end, now time.Time) string {
	if end.IsZero() {
		return "never"
	}
	return stamp(end) + " (" + tokens.DistanceText(end, now) + ")"
}
