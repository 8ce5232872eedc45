package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/tokens"
)

func newTokenShow(s streams) *cobra.Command {
	var dirs []string
	var at, output string
	cmd := &cobra.Command{
		Use:   "show NAME [DIR...]",
		Short: "Show all that is known of one token, and what it may do",
		Long: "Show prints a token's state and the reasons for it: its end and what sets the end, its user's\n" +
			"groups, its gates, and every rule with its place. The value is not stored anywhere; of a digest\n" +
			"it prints the first characters.",
		Example: "  patgate token show ci-bot manifests\n" +
			"  patgate token show ci-bot policies tokens --at 2026-12-31T00:00:00Z -o json",
		Args:              args(cobra.MinimumNArgs(1), "expected the NAME of a token"),
		ValidArgsFunction: tokenThenDirectories,
		RunE: func(_ *cobra.Command, given []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			s.colored()
			now, err := parseAt(at)
			if err != nil {
				return err
			}
			name, more := named(given)
			from, err := manifestsOf(dirs, more)
			if err != nil {
				return err
			}
			set, snapshot, err := readGood(from, now)
			if err != nil {
				return err
			}
			doc, err := tokens.Find(set, name)
			if err != nil {
				return err
			}
			shown := tokens.Describe(snapshot, snapshot.TokenByName(name), doc, now)
			if output == outputJSON {
				return json.NewEncoder(s.out).Encode(shown)
			}
			return printToken(s.out, &shown, now)
		},
	}
	manifestsFlag(cmd, &dirs)
	atFlag(cmd, &at)
	outputFlag(cmd, &output)
	return cmd
}

// printToken prints a token for people: a name and its value a line, lists below.
func printToken(out io.Writer, t *tokens.View, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); text != "" {
			_, _ = fmt.Fprintf(w, "%s:\t%s\n", name, diag.Escape(text))
		}
	}
	line("Name", "%s", t.Name)
	if t.DisplayName != "" {
		line("Display name", "%q", t.DisplayName)
	}
	line("State", "%s", t.State+because(t.Why))
	line("User", "%s", userText(t))
	line("Groups", "%s", groupsText(t.Groups))
	line("Issued", "%s (%s)", stamp(t.Issued), tokens.DistanceText(t.Issued, now))
	line("Expires", "%s", expiresText(t, now))
	for _, p := range t.Previous {
		line("Previous", "%s issued %s, %s", p.Digest, stamp(p.Issued), previousText(&p, now))
	}
	line("Digest", "%s", t.Digest)
	line("Schemes", "%s", strings.Join(t.Schemes, " or "))
	line("Gates", "%s", gatesText(t))
	for _, d := range t.Deactivated {
		line("Deactivated", "at %s: %s is in none of its groups (%s)", d.Gate, t.User, strings.Join(d.Groups, ", "))
	}
	if t.Clients != nil {
		line("Clients", "%s", clientsText(t.Clients))
	}
	line("May act as", "%s", printable(strings.Join(t.ActAs, ", ")))
	line("Policies", "%s", strings.Join(t.Policies, ", "))
	if t.Unrestricted {
		line("May do", "%s", "whatever its user may (unrestricted)")
	}
	line("Manifest", "%s", t.Source)
	if err := w.Flush(); err != nil {
		return err
	}
	return printRules(out, t)
}

// printRules prints the rules of the token, and those that bound it.
func printRules(out io.Writer, t *tokens.View) error {
	of := ""
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, r := range t.Rules {
		if r.Of() != of {
			of = r.Of()
			_ = w.Flush() // its error comes again
			_, _ = fmt.Fprintf(w, "\nRules of %s:\n", of)
		}
		name := r.Rule
		if r.Policy != "" {
			name = r.Policy + "/" + r.Rule
		}
		if r.Observed {
			name += " (observed only)"
		}
		_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", r.Kind, printable(name), diag.Escape(r.Source), printable(r.Text))
	}
	return w.Flush()
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ", " + why
}

func userText(d *tokens.View) string {
	switch {
	case d.AnyUser:
		return "any user, with Basic alone"
	case d.User == "":
		return "-"
	case len(d.Logins) > 0:
		return d.User + ", with Basic also as " + strings.Join(d.Logins, ", ")
	}
	return d.User
}

func groupsText(groups []tokens.GroupView) string {
	var parts []string
	for _, g := range groups {
		if g.MaxLifetime != "" {
			parts = append(parts, g.Name+" (at most "+g.MaxLifetime+")")
		} else {
			parts = append(parts, g.Name)
		}
	}
	return strings.Join(parts, ", ")
}

func expiresText(d *tokens.View, now time.Time) string {
	switch {
	case d.Expires == nil && d.User == "" && !d.AnyUser:
		return ""
	case d.Expires == nil:
		return "never"
	}
	return endText(*d.Expires, now) + ", set by " + d.ExpiresBy
}

func gatesText(d *tokens.View) string {
	switch names := strings.Join(d.Gates, ", "); {
	case d.EveryGate && names == "":
		return "every gate"
	case d.EveryGate:
		return "every gate: " + names
	default:
		return names
	}
}

func previousText(p *tokens.PreviousView, now time.Time) string {
	if p.Ended {
		return "ended " + endText(p.Until, now)
	}
	return "ends " + endText(p.Until, now)
}

func clientsText(c *tokens.ClientsView) string {
	text := "every address"
	if len(c.Allow) > 0 {
		text = strings.Join(c.Allow, ", ")
	}
	if len(c.Deny) > 0 {
		text += ", but not " + strings.Join(c.Deny, ", ")
	}
	return text
}
