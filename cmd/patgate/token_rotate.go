package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/tokens"
)

func newTokenRotate(s streams) *cobra.Command {
	var dirs []string
	var overlap, expiresIn, output string
	r := tokens.RotateRequest{Request: tokens.Request{Via: tokens.ViaCommand}}
	cmd := &cobra.Command{
		Use:   "rotate NAME [DIR...]",
		Short: "Mint a new value under the same name, and print it once",
		Long: "Rotate puts the digest of a new value into the token's manifest and prints the value once,\n" +
			"alone, on stdout. The new value is issued now and has the lifetime of the old one, within the\n" +
			"cap of its user's groups. The old value stays valid for --overlap, but never longer than before:\n" +
			"switch the clients in that time. The rest of the file stays unchanged.",
		Example: "  patgate token rotate ci-bot manifests\n" +
			"  patgate token rotate ci-bot manifests --overlap 0   # it leaked: all older ones end now",
		Args:              args(cobra.MinimumNArgs(1), "expected the NAME of a token"),
		ValidArgsFunction: tokenThenDirectories,
		RunE: func(_ *cobra.Command, given []string) error {
			name, more := named(given)
			r.Name = name
			from, err := manifestsOf(dirs, more)
			if err := firstOf(checkOutput(output), err, checkRotate(&r, overlap, expiresIn)); err != nil {
				return err
			}
			return rotateToken(s, tokenService(from, ""), r, output)
		},
	}
	manifestsFlag(cmd, &dirs)
	f := cmd.Flags()
	f.StringVar(&overlap, "overlap", "24h", "`time` that the old value stays good, such as 7d; 0: all older ones end at once")
	f.StringVar(&expiresIn, "expires-in", "", "`lifetime` of the new value, such as 90d (default: that of the old one, within the user's cap)")
	outputFlag(cmd, &output)
	return cmd
}

func checkRotate(r *tokens.RotateRequest, overlap, expiresIn string) error {
	var ok bool
	if zero, err := time.ParseDuration(overlap); err != nil || zero != 0 {
		if r.Overlap, ok = manifest.ParseLifetime(overlap); !ok || r.Overlap == policy.Forever {
			return usageError{fmt.Errorf("--overlap %s: expected a duration such as 24h or 7d, or 0", overlap)}
		}
	}
	if expiresIn == "" {
		return nil
	}
	if r.Lifetime, ok = manifest.ParseLifetime(expiresIn); !ok || r.Lifetime == policy.Forever {
		return usageError{fmt.Errorf("--expires-in %s: expected a lifetime such as 90d, 12w or 36h", expiresIn)}
	}
	return nil
}

// rotateToken prints the value after its file is written; where that can't be done the
// file becomes what it was.
func rotateToken(s streams, service *tokens.Service, r tokens.RotateRequest, output string) error {
	ctx := context.Background()
	made, err := service.Rotate(ctx, r)
	if err != nil {
		return withFlag(err)
	}
	if err := printRotated(s, made, output); err != nil {
		if undo := made.Undo(ctx); undo != nil {
			return fmt.Errorf("the value could not be printed: %w\n%s holds the digest of a value that was lost, and could not be restored: %w\n"+
				"Rotate it again, or take the old file from Git.", err, made.File, undo)
		}
		return fmt.Errorf("the value could not be printed, and %s is what it was: %w", made.File, err)
	}
	if output == outputJSON {
		return nil
	}
	return afterRotate(s, made)
}

// rotatedToken is the JSON output of rotate.
type rotatedToken struct {
	Name          string     `json:"name"`
	User          string     `json:"user,omitempty"`
	File          string     `json:"file"`
	State         string     `json:"state"` // before; suspended and deactivated tokens stay so
	Issued        time.Time  `json:"issued"`
	Expires       *time.Time `json:"expires,omitempty"`       // by its manifest, or by its user's cap
	PreviousUntil *time.Time `json:"previousUntil,omitempty"` // when the value before ends; absent: it has ended
	Shortened     string     `json:"shortened,omitempty"`     // why the lifetime is not that of the value before
	Value         string     `json:"value"`                   // shown this once
}

// printRotated prints the value, alone or in JSON.
func printRotated(s streams, r *tokens.RotatedToken, output string) error {
	if output != outputJSON {
		return printValue(s, r.Secret)
	}
	signal.Ignore(syscall.SIGPIPE)
	return json.NewEncoder(s.out).Encode(rotatedToken{
		Name: r.Name, User: r.User, File: r.File, State: r.State.String(), Issued: r.Issued.UTC(), Expires: optional(r.End),
		PreviousUntil: optional(r.Until), Shortened: r.Shortened, Value: r.Secret.Reveal(),
	})
}

// optional is a time in UTC; nil where it is zero.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// afterRotate says what was done, and what to do next.
func afterRotate(s streams, r *tokens.RotatedToken) error {
	user, end := r.User, "never"
	old := "All older values have ended: clients that still use one are refused as soon as a server sees the file"
	if user == "" {
		user = "any user"
	}
	if !r.End.IsZero() {
		end = stamp(r.End)
	}
	if !r.Until.IsZero() {
		old = "The old value stays valid until " + stamp(r.Until) + ": give its clients the new one before that"
	}
	if r.Shortened != "" {
		end += " (" + r.Shortened + ")"
	}
	if r.State == policy.StateSuspended || r.State == policy.StateDeactivated {
		_, _ = fmt.Fprintf(s.err, "Warning: the token is %s, and its new value does not change that.\n", r.State)
	}
	_, err := fmt.Fprintf(s.err, "Changed %s: token %s of %s has a new value, which expires %s.\n"+
		"The value above is shown this once: keep it where its client finds it.\n"+
		"%s.\n"+
		"Next: commit the file; a running `patgate serve` sees it within a second.\n",
		r.File, r.Name, user, end, old)
	return err
}
