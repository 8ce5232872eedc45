package main

import (
	"errors"
	"fmt"
	"os/signal"
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

// timeForms describes the values of --at and similar flags.
const timeForms = "2026-07-30T12:00:00Z, 2026-07-30 (midnight UTC) or +90d (from now)"

// atFlag adds --at.
func atFlag(cmd *cobra.Command, at *string) {
	cmd.Flags().StringVar(at, "at", "", "`time` to look at: 2026-07-30T12:00:00Z, 2026-07-30 or +90d (default: now)")
}

// parseAt reads the value of --at.
func parseAt(at string) (time.Time, error) {
	if at == "" {
		return time.Now(), nil
	}
	return parseMoment("--at", at, time.Now())
}

// parseMoment reads a time that a flag has: RFC 3339, a date or a distance from now.
func parseMoment(flag, text string, now time.Time) (time.Time, error) {
	if t, ok := manifest.ParseTime(text); ok {
		return t, nil
	}
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t.UTC(), nil
	}
	for sign, direction := range map[string]time.Duration{"+": 1, "-": -1} {
		if distance, ok := strings.CutPrefix(text, sign); ok {
			if d, ok := manifest.ParseLifetime(distance); ok && d != policy.Forever {
				return now.Add(direction * d), nil
			}
		}
	}
	return time.Time{}, usageError{fmt.Errorf("%s %s: expected a time: %s", flag, text, timeForms)}
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
