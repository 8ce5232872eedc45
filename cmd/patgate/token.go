package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
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
	var t loader.NewToken
	var expiresIn string
	var forever bool
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
			t.Name, t.Now = given[0], time.Now()
			if err := checkCreate(&t, expiresIn, forever); err != nil {
				return err
			}
			return createToken(s, &t)
		},
	}
	f := cmd.Flags()
	f.StringVar(&t.Into, "into", "", "`directory` that gets the manifest (required)")
	f.StringArrayVar(&t.Manifests, "manifests", nil, "`directory` with the groups and policies (default: --into); may repeat")
	f.StringVar(&t.User, "user", "", "the `user` whose token it is")
	f.BoolVar(&t.AnyUser, "any-user", false, "a token that any user may present, with Basic alone")
	f.StringVar(&expiresIn, "expires-in", "", "`lifetime` such as 90d, 12w or 36h (default: 90d, or the user's cap if that is shorter)")
	f.BoolVar(&forever, "forever", false, "no end")
	f.StringArrayVar(&t.LimitTo, "limit-to", nil, "a `rule` such as [get].*/issue/JRA.*[QueryParam::fields==[a-z]+]; may repeat")
	f.StringArrayVar(&t.Policies, "policy", nil, "`name` of a TokenPolicy that says what the token may do; may repeat")
	f.BoolVar(&t.Unrestricted, "unrestricted", false, "the token may do whatever its user may")
	f.StringArrayVar(&t.Schemes, "scheme", nil, "`scheme` in which it may be presented, basic or bearer (default: those of the gate); may repeat")
	f.StringArrayVar(&t.Gates, "gate", nil, "`name` of a gate that it is for (default: every gate); may repeat")
	f.StringArrayVar(&t.AllowFrom, "allow-from", nil, "`range` of client addresses, such as 10.20.0.0/16; may repeat")
	f.StringArrayVar(&t.DenyFrom, "deny-from", nil, "`range` of client addresses that may not use it; may repeat")
	return cmd
}

func checkCreate(t *loader.NewToken, expiresIn string, forever bool) error {
	switch {
	case t.Into == "":
		return usageError{fmt.Errorf("--into is missing, expected the directory of the manifest")}
	case filepath.Base(t.Name) != t.Name:
		return usageError{fmt.Errorf("%q is no name, expected lower-case letters, digits, `-` and `.`", t.Name)}
	case (t.User == "") == !t.AnyUser:
		return usageError{fmt.Errorf("expected one of --user USER and --any-user")}
	case strings.Contains(t.User, ":") && !slices.Equal(t.Schemes, []string{"bearer"}):
		return usageError{fmt.Errorf("--user %s: with Basic a colon ends the user's name, expected another user, or --scheme bearer", t.User)}
	case expiresIn != "" && forever:
		return usageError{fmt.Errorf("expected one of --expires-in and --forever")}
	case len(t.LimitTo)+len(t.Policies) == 0 && !t.Unrestricted:
		return usageError{fmt.Errorf("nothing says what the token may do, expected --limit-to, --policy or --unrestricted")}
	}
	if forever {
		t.Lifetime = policy.Forever
	}
	if expiresIn != "" {
		d, ok := manifest.ParseLifetime(expiresIn)
		if !ok {
			return usageError{fmt.Errorf("--expires-in %s: expected a lifetime such as 90d, 12w or 36h", expiresIn)}
		}
		t.Lifetime = d
	}
	return nil
}

// createToken prints the value after its manifest is written; a value that can't be
// printed leaves no manifest behind.
func createToken(s streams, t *loader.NewToken) error {
	secret, path, err := t.Create()
	if err != nil {
		return err
	}
	if err := printValue(s, secret); err != nil {
		return fmt.Errorf("the value could not be printed, and its manifest is removed: %w", firstOf(os.Remove(path), err))
	}
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
	_, err = fmt.Fprintf(s.err, "Wrote %s: token %s of %s, expires %s.\n"+
		"The value above is shown this once: keep it where its client finds it.\n"+
		"Next: commit the file; a running `patgate serve` sees it within a second. Try: curl %s URL\n"+
		"To end it at once: patgate token revoke %s --manifests %s (this counts even while another file is broken);\n"+
		"deleting the file ends it too, with the next good load.\n",
		path, t.Name, user, end, how, t.Name, t.Into)
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
