package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/tokens"
)

func newToken(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "token",
		Short:   "Create, list, rotate and revoke tokens",
		Example: "  patgate token create ci-bot --into manifests --user alice --limit-to '[get,head]/rest/api/2/issue/JRA-[0-9]+'\n  patgate token list --manifests manifests",
		RunE:    groupOnly,
	}
	cmd.AddCommand(newTokenCreate(s), newTokenList(s), newTokenShow(s), newTokenRevoke(s), newTokenRotate(s), newTokenImport(s), newTokenSnippet(s))
	return cmd
}

func newTokenCreate(s streams) *cobra.Command {
	var f createFlags
	cmd := &cobra.Command{
		Use:   "create NAME --into DIR",
		Short: "Mint a token, write its manifest, and print its value once",
		Long: "Create writes DIR/NAME.yaml, which holds the digest of a new value and is safe to\n" +
			"commit, and prints the value once, alone, on stdout. Nobody can see it again.\n\n" +
			"A rule of --limit-to is [methods]REGEX[QueryParam::NAME==REGEX][JsonData::NODE==REGEX].\n" +
			"Methods and groups may be left out; each expression must match in full.",
		Example: "  patgate token create ci-bot --into manifests --user alice --limit-to '[get,head]/rest/api/2/issue/JRA-[0-9]+'\n" +
			"  patgate token create report --into tokens --manifests policies --user bob --policy read-only --expires-in 30d",
		Args: args(cobra.ExactArgs(1), "expected one NAME"),
		RunE: func(_ *cobra.Command, given []string) error {
			f.token.Name = given[0]
			if err := f.check(); err != nil {
				return err
			}
			return f.create(s)
		},
	}
	l, t := cmd.Flags(), &f.token
	l.StringVar(&f.into, "into", "", "`directory` that gets the manifest (required)")
	l.StringArrayVar(&f.manifests, "manifests", nil, "`directory` with the groups and policies (default: --into); may repeat")
	l.StringVar(&t.User, "user", "", "the `user` whose token it is")
	l.BoolVar(&t.AnyUser, "any-user", false, "a token that any user may present, with Basic alone")
	l.StringVar(&f.expiresIn, "expires-in", "", "`lifetime` such as 90d, 12w or 36h (default: 90d, or the user's cap if that is shorter)")
	l.BoolVar(&f.forever, "forever", false, "no end")
	l.StringArrayVar(&t.LimitTo, "limit-to", nil, "a `rule` such as [get].*/issue/JRA.*[QueryParam::fields==[a-z]+]; may repeat")
	l.StringArrayVar(&t.Policies, "policy", nil, "`name` of a TokenPolicy that says what the token may do; may repeat")
	l.BoolVar(&t.Unrestricted, "unrestricted", false, "the token may do whatever its user may")
	l.StringArrayVar(&t.Schemes, "scheme", nil, "`scheme` in which it may be presented, basic or bearer (default: those of the gate); may repeat")
	l.StringArrayVar(&t.Gates, "gate", nil, "`name` of a gate that it is for (default: every gate); may repeat")
	l.StringArrayVar(&t.AllowFrom, "allow-from", nil, "`range` of client addresses, such as 10.20.0.0/16; may repeat")
	l.StringArrayVar(&t.DenyFrom, "deny-from", nil, "`range` of client addresses that may not use it; may repeat")
	l.BoolVar(&f.asAdmin, "as-admin", false, "lift what the user's groups say of creating tokens; the manifest records it")
	return cmd
}

// createFlags are what a user says of a new token.
type createFlags struct {
	token     edit.NewToken
	into      string
	manifests []string
	expiresIn string
	forever   bool
	asAdmin   bool
}

func (f *createFlags) check() error {
	t := &f.token
	switch {
	case f.into == "":
		return usageError{fmt.Errorf("--into is missing, expected the directory of the manifest")}
	case filepath.Base(t.Name) != t.Name:
		return usageError{fmt.Errorf("%q is no name, expected lower-case letters, digits, `-` and `.`", t.Name)}
	case (t.User == "") == !t.AnyUser:
		return usageError{fmt.Errorf("expected one of --user USER and --any-user")}
	case strings.Contains(t.User, ":") && !slices.Equal(t.Schemes, []string{"bearer"}):
		return usageError{fmt.Errorf("--user %s: with Basic a colon ends the user's name, expected another user, or --scheme bearer", t.User)}
	case f.expiresIn != "" && f.forever:
		return usageError{fmt.Errorf("expected one of --expires-in and --forever")}
	case len(t.LimitTo)+len(t.Policies) == 0 && !t.Unrestricted:
		return usageError{fmt.Errorf("nothing says what the token may do, expected --limit-to, --policy or --unrestricted")}
	}
	return manifestDirectories(f.manifests)
}

// manifestDirectories refuses directories that do not exist: the groups may be in them.
func manifestDirectories(dirs []string) error {
	for _, path := range dir.Paths(dirs) {
		if info, err := os.Stat(path); err != nil || !info.IsDir() {
			return tokens.Refuse(tokens.BadDocument, "manifests", "--manifests %s: no such directory, expected one with the groups and policies", path)
		}
	}
	return nil
}

// lifetime is what the user asks for; 0: they say nothing.
func (f *createFlags) lifetime() (time.Duration, error) {
	if f.forever {
		return policy.Forever, nil
	}
	if f.expiresIn == "" {
		return 0, nil
	}
	d, ok := manifest.ParseLifetime(f.expiresIn)
	if !ok {
		return 0, usageError{fmt.Errorf("--expires-in %s: expected a lifetime such as 90d, 12w or 36h", f.expiresIn)}
	}
	return d, nil
}

// create prints the value after its manifest is written; a value that can't be
// printed leaves no manifest behind.
func (f *createFlags) create(s streams) error {
	lifetime, err := f.lifetime()
	if err != nil {
		return err
	}
	ctx := context.Background()
	made, err := tokenService(f.manifests, f.into).Create(ctx, tokens.CreateRequest{
		Request: tokens.Request{Actor: tokens.Actor{Admin: f.asAdmin}, Via: tokens.ViaCommand}, Token: f.token, Lifetime: lifetime,
	})
	if err != nil {
		return withFlag(err)
	}
	if err := printValue(s, made.Secret); err != nil {
		return fmt.Errorf("the value could not be printed, and its manifest is removed: %w", firstOf(made.Undo(ctx), err))
	}
	return f.describe(s, made)
}

// describe says what was created, and what to do next.
func (f *createFlags) describe(s streams, t *tokens.NewToken) error {
	end := "never"
	if !t.Expires.IsZero() {
		end = t.Expires.Format(time.RFC3339)
	}
	user, how := t.User, "-u "+t.User+":VALUE"
	switch {
	case t.AnyUser:
		user, how = "any user", "-u USER:VALUE"
	case t.Bearer:
		how = `-H "Authorization: Bearer VALUE"`
	}
	for _, w := range t.Warnings {
		_, _ = fmt.Fprintf(s.err, "Warning: %s.\n", w)
	}
	_, err := fmt.Fprintf(s.err, "Wrote %s: token %s of %s, expires %s.\n"+
		"The value above is shown this once: keep it where its client finds it.\n"+
		"Next: commit the file; a running `patgate serve` sees it within a second. Try: curl %s URL\n"+
		"To end it at once: patgate token revoke %s --manifests %s (this counts even while another file is broken);\n"+
		"deleting the file ends it too, with the next good load.\n",
		t.File, t.Name, user, end, how, t.Name, f.into)
	return err
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
