package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/lint"
	"github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
	"github.com/patgate/patgate/token"
	"github.com/patgate/patgate/tokens"
)

func newTokenCreate(s streams) *cobra.Command {
	var f createFlags
	cmd := &cobra.Command{
		Use:   "create NAME --into DIR [DIR...]",
		Short: "Mint a token, write its manifest, and print its value once",
		Long: "Create writes DIR/NAME.yaml, which holds only the digest of a new value and is safe to commit. It prints the\n" +
			"value once, alone, on stdout; it cannot be shown again. Warnings of `check` about the manifest go to stderr.\n" +
			"A rule of --limit-to is [methods]REGEX[QueryParam::NAME==REGEX][JsonData::NODE==REGEX][Mcp::LIST==REGEX].\n" +
			"Methods and conditions are optional; each expression must match in full.",
		Example: "  patgate token create ci-bot --into manifests --user alice --limit-to '[get,head]/rest/api/2/issue/JRA-[0-9]+'\n" +
			"  patgate token create trap --into manifests --canary --description 'planted in the wiki page of the build'",
		Args: args(cobra.MinimumNArgs(1), "expected the NAME of the new token"),
		RunE: func(_ *cobra.Command, given []string) error {
			name, more := named(given)
			f.token.Name = name
			f.manifests = manifestsIfAny(f.manifests, more)
			if err := firstOf(checkOutput(f.output), f.check()); err != nil {
				return err
			}
			return f.create(s)
		},
	}
	f.add(cmd.Flags())
	return cmd
}

// add adds the flags.
func (f *createFlags) add(l *pflag.FlagSet) {
	t := &f.token
	l.StringVar(&f.into, "into", "", "`directory` that gets the manifest (required)")
	l.StringArrayVar(&f.manifests, "manifests", nil, "`directory` with the groups and policies, as DIR or $"+manifestsVariable+" (default: --into); may repeat")
	l.StringVar(&t.User, "user", "", "the `user` whose token it is")
	l.BoolVar(&t.AnyUser, "any-user", false, "a token that any user may present, with Basic alone")
	l.BoolVar(&t.Canary, "canary", false, "a token that is always refused and raises an alert: plant it where a thief would look")
	l.StringVar(&t.DisplayName, "display-name", "", "any `text` that names the token for people")
	l.StringVar(&t.Description, "description", "", "any `text`: its purpose, owner, ticket")
	l.StringArrayVar(&t.Logins, "login", nil, "further `name` accepted as its user with Basic; may repeat")
	l.StringArrayVar(&t.ActAs, "act-as", nil, "`pattern` of users that it may act for; may repeat")
	l.StringVar(&f.expiresIn, "expires-in", "", "`lifetime` such as 90d, 12w, 1y or 36h (default: 90d, or the user's cap if that is shorter)")
	l.StringVar(&f.expiresAt, "expires-at", "", "`time` of its end: 2027-06-30T12:00:00Z, 2027-06-30 or +90d")
	l.BoolVar(&f.forever, "forever", false, "no end")
	l.StringArrayVar(&t.LimitTo, "limit-to", nil, "a `rule` such as [get].*/issue/JRA.*[QueryParam::fields==[a-z]+]; may repeat")
	l.StringArrayVar(&t.Policies, "policy", nil, "`name` of a TokenPolicy that says what the token may do; may repeat")
	l.BoolVar(&t.Unrestricted, "unrestricted", false, "the token may do whatever its user may")
	l.StringArrayVar(&t.Schemes, "scheme", nil, "`scheme` in which it may be presented, basic or bearer (default: those of the gate); may repeat")
	l.StringArrayVar(&t.Gates, "gate", nil, "`name` of a gate that it is for (default: every gate); may repeat")
	l.StringArrayVar(&t.AllowFrom, "allow-from", nil, "`range` of client addresses, such as 10.20.0.0/16; may repeat")
	l.StringArrayVar(&t.DenyFrom, "deny-from", nil, "`range` of client addresses that may not use it; may repeat")
	l.BoolVar(&f.asAdmin, "as-admin", false, "lift what the user's groups say of creating tokens; the manifest records it")
	l.StringVar(&f.valueFile, "value-file", "", "write the value to this new `file`, mode 0600, and not to stdout")
	l.BoolVarP(&f.quiet, "quiet", "q", false, "print the value and warnings alone")
	l.StringVarP(&f.output, "output", "o", outputText, "`form` of the output: text for people, json for programs")
}

// createFlags describe a new token.
type createFlags struct {
	token     edit.NewToken
	into      string
	manifests []string
	expiresIn string
	expiresAt string
	forever   bool
	asAdmin   bool
	valueFile string
	quiet     bool
	output    string
}

func (f *createFlags) check() error {
	t := &f.token
	ends := 0
	for _, given := range []bool{f.expiresIn != "", f.expiresAt != "", f.forever} {
		if given {
			ends++
		}
	}
	switch {
	case !isInto(f.into):
		return notInto(f.into)
	case filepath.Base(t.Name) != t.Name:
		return usageError{fmt.Errorf("%q is no name, expected lower-case letters, digits, `-` and `.`", t.Name)}
	case f.valueFile != "":
		if err := checkNewFile("--value-file", f.valueFile); err != nil {
			return err
		}
	}
	switch {
	case t.Canary:
		return f.checkCanary(ends)
	case (t.User == "") == !t.AnyUser:
		return usageError{fmt.Errorf("expected one of --user USER and --any-user")}
	case strings.Contains(t.User, ":") && !slices.Equal(t.Schemes, []string{"bearer"}):
		return usageError{fmt.Errorf("--user %s: with Basic a colon ends the user's name, expected another user, or --scheme bearer", t.User)}
	case ends > 1:
		return usageError{fmt.Errorf("expected one of --expires-in, --expires-at and --forever")}
	case len(t.LimitTo)+len(t.Policies) == 0 && !t.Unrestricted:
		return usageError{fmt.Errorf("nothing says what the token may do, expected --limit-to, --policy or --unrestricted")}
	}
	return manifestDirectories(f.manifests)
}

// isInto reports whether a directory has this name, or may be made.
func isInto(name string) bool {
	info, err := os.Stat(name)
	return name != "" && (err != nil || info.IsDir())
}

// notInto is the error of an --into that is not.
func notInto(name string) error {
	if name == "" {
		return usageError{errors.New("--into is missing, expected the directory of the manifests")}
	}
	return usageError{fmt.Errorf("--into %s: not a directory, expected that of the manifests", name)}
}

// checkNewFile refuses the name of a file that exists, and one that could not be made.
func checkNewFile(flag, name string) error {
	if _, err := os.Lstat(name); err == nil {
		return usageError{fmt.Errorf("%s %s: the file exists, expected the name of a new one", flag, name)}
	}
	if info, err := os.Stat(filepath.Dir(name)); err != nil || !info.IsDir() {
		return usageError{fmt.Errorf("%s %s: its directory does not exist, expected a new file in one that does", flag, name)}
	}
	return nil
}

// checkCanary refuses what means nothing to a token that is always refused.
func (f *createFlags) checkCanary(ends int) error {
	t := &f.token
	lists := [][]string{t.Logins, t.ActAs, t.LimitTo, t.Policies, t.Schemes, t.Gates, t.AllowFrom, t.DenyFrom}
	if t.User != "" || t.AnyUser || t.Unrestricted || ends > 0 || slices.ContainsFunc(lists, func(l []string) bool { return len(l) > 0 }) {
		return usageError{fmt.Errorf("with --canary expected no flags but --display-name and --description: a canary is always refused")}
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

// lifetime returns the lifetime that the user requests; 0: none is given.
func (f *createFlags) lifetime() (time.Duration, error) {
	if f.forever {
		return policy.Forever, nil
	}
	if f.expiresIn == "" {
		return 0, nil
	}
	d, ok := manifest.ParseLifetime(f.expiresIn)
	if !ok {
		return 0, usageError{fmt.Errorf("--expires-in %s: expected a lifetime such as 90d, 12w, 1y or 36h; --expires-at takes a date", f.expiresIn)}
	}
	return d, nil
}

// ends puts --expires-at into the token.
func (f *createFlags) ends(now time.Time) (err error) {
	if f.expiresAt == "" {
		return nil
	}
	if f.token.Expires, err = parseMoment("--expires-at", f.expiresAt, now); err != nil {
		return err
	}
	if !f.token.Expires.After(now) {
		return usageError{fmt.Errorf("--expires-at %s: expected a time that is still to come", f.expiresAt)}
	}
	return nil
}

// create prints the value after its manifest is written; a value that can't be
// printed leaves no manifest behind.
func (f *createFlags) create(s streams) error {
	lifetime, err := f.lifetime()
	if err := firstOf(err, f.ends(time.Now())); err != nil {
		return err
	}
	ctx := context.Background()
	made, err := tokenService(f.manifests, f.into).Create(ctx, tokens.CreateRequest{
		Request: tokens.Request{Actor: tokens.Actor{Admin: f.asAdmin}, Via: tokens.ViaCommand}, Token: f.token, Lifetime: lifetime,
	})
	if err != nil {
		return withFlag(err)
	}
	warnings := warningsAbout(made.After, []string{made.File})
	if err := f.reveal(s, made, warnings); err != nil {
		return fmt.Errorf("the value could not be printed, and its manifest is removed: %w", firstOf(made.Undo(ctx), err))
	}
	if f.output == outputJSON {
		return nil
	}
	return f.describe(s, made, warnings)
}

// warningsAbout returns what check warns of in new manifests. They may repeat what was typed.
func warningsAbout(after *ruleset.Set, files []string) []diag.Problem {
	warnings := lint.Files(after, files, time.Now())
	for i := range warnings {
		warnings[i].Message = token.Mask(warnings[i].Message)
	}
	return slices.DeleteFunc(warnings, func(w diag.Problem) bool { return w.Suppressed != "" })
}

// createdToken is the JSON output of create.
type createdToken struct {
	Name      string        `json:"name"`
	User      string        `json:"user,omitempty"`
	File      string        `json:"file"`
	Issued    time.Time     `json:"issued"`
	Expires   *time.Time    `json:"expires,omitempty"`
	Value     string        `json:"value,omitempty"`     // shown this once
	ValueFile string        `json:"valueFile,omitempty"` // that has the value
	Warnings  []diag.Report `json:"warnings"`
}

// reveal gives the value away, to stdout or to a file that only its owner reads.
func (f *createFlags) reveal(s streams, t *tokens.NewToken, warnings []diag.Problem) error {
	if f.valueFile != "" {
		if err := writeSecret(f.valueFile, t.Secret); err != nil {
			return err
		}
	}
	if f.output != outputJSON {
		if f.valueFile != "" {
			return nil
		}
		return printValue(s, t.Secret)
	}
	c := createdToken{Name: t.Name, User: t.User, File: t.File, Issued: t.Issued.UTC(), ValueFile: f.valueFile, Warnings: diag.Reports(warnings)}
	if f.valueFile == "" {
		c.Value = t.Secret.Reveal()
	}
	if !t.Expires.IsZero() {
		c.Expires = &t.Expires
	}
	signal.Ignore(syscall.SIGPIPE)
	return json.NewEncoder(s.out).Encode(c)
}

// writeSecret writes a value into a new file that only its owner reads.
func writeSecret(name string, secret token.Secret) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(secret.Reveal() + "\n")
	if err = firstOf(err, file.Close()); err != nil {
		_ = os.Remove(name) // it is ours, and of no use
	}
	return err
}

// describe says what was created, and what to do next.
func (f *createFlags) describe(s streams, t *tokens.NewToken, warnings []diag.Problem) error {
	if len(t.After.Gates) == 0 {
		_, _ = fmt.Fprintln(s.err, "Warning: there is no Gate in the manifests yet, without which every request is refused: `patgate check --help` shows one.")
	}
	for _, w := range warnings {
		_, _ = fmt.Fprintln(s.err, w)
	}
	if f.quiet {
		return nil
	}
	where := "The value above is shown this once: keep it where its client finds it."
	if f.valueFile != "" {
		where = "The value is in " + f.valueFile + ", for its owner alone (0600): bring it where its client finds it."
	}
	next := "a running `patgate serve` sees it within a second."
	if list := kustomization(t.File); list != "" {
		next = "list it in " + list + " too, which names its files."
	}
	_, err := fmt.Fprintf(s.err, "Wrote %s: %s.\n%s\nNext: commit the file; %s%s\n", t.File, createdText(t, f.token.Canary), where, next, f.tryText(t))
	return err
}

// createdText says whose token it is and when it ends.
func createdText(t *tokens.NewToken, canary bool) string {
	user, end := t.User, "never"
	switch {
	case canary:
		return "canary " + t.Name + ", which is always refused and raises an alert"
	case t.AnyUser:
		user = "any user"
	}
	if !t.Expires.IsZero() {
		end = stamp(t.Expires)
	}
	return fmt.Sprintf("token %s of %s, expires %s", t.Name, user, end)
}

// tryText says how to use the token.
func (f *createFlags) tryText(t *tokens.NewToken) string {
	if f.token.Canary {
		return ""
	}
	user := t.User
	how := "-u " + user + ":VALUE"
	flags := " --user " + user
	switch {
	case t.AnyUser:
		how, flags = "-u USER:VALUE", " --user USER"
	case t.Bearer:
		how, flags = `-H "Authorization: Bearer VALUE"`, " --scheme bearer"
	}
	url := "URL"
	for _, g := range t.After.Rows.Gates {
		if (len(f.token.Gates) == 0 || slices.Contains(f.token.Gates, g.Name)) && g.Hosts[0] != policy.AnyHost && g.Hosts[0][0] != '*' {
			url = "https://" + g.Hosts[0] + "/"
			break
		}
	}
	return fmt.Sprintf("\nTry: curl %s %s, or see `patgate token snippet --url %s%s`.\n"+
		"To end it at once: patgate token revoke %s%s", how, url, url, flags, t.Name, f.manifestsAgain())
}

// manifestsAgain returns the flags that name the manifests of the new token, with the groups and policies.
func (f *createFlags) manifestsAgain() string {
	text, within := "", false
	for _, dir := range f.manifests {
		rest, err := filepath.Rel(dir, f.into)
		within = within || err == nil && filepath.IsLocal(rest)
		text += " --manifests " + dir
	}
	if !within {
		text += " --manifests " + f.into
	}
	return text
}

// kustomization finds the kustomization.yaml in the directory of a file or above that does not name the file.
func kustomization(file string) string {
	dir := filepath.Dir(file)
	for range 4 {
		list := filepath.Join(dir, "kustomization.yaml")
		if data, err := os.ReadFile(list); err == nil {
			if strings.Contains(string(data), filepath.Base(file)) {
				return ""
			}
			return list
		}
		dir = filepath.Join(dir, "..")
	}
	return ""
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
