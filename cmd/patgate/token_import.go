package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/migrate"
	"github.com/patgate/patgate/ruleset"
	"github.com/patgate/patgate/tokens"
)

// importFlags describe an import.
type importFlags struct {
	from, into, output  string
	manifests, gates    []string
	schemes             []string
	dryRun, skipRefused bool

	after *ruleset.Set // the documents with what was imported among them
}

// importedToken is a token in the JSON output of import.
type importedToken struct {
	Name     string        `json:"name"`
	From     string        `json:"from"`
	Line     int           `json:"line,omitempty"`
	Column   int           `json:"column,omitempty"`
	User     string        `json:"user,omitempty"`
	File     string        `json:"file,omitempty"`
	Notes    []string      `json:"notes"`
	Refused  string        `json:"refused,omitempty"`
	Warnings []diag.Report `json:"warnings,omitempty"` // of check, about its manifest
	LeftOut  bool          `json:"leftOut,omitempty"`
}

func newTokenImport(s streams) *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "import --from SOURCE FILE --into DIR",
		Short: "Turn the tokens of another product into manifests",
		Long: "Import reads the token list of Extender, or the Secrets with API keys of Envoy Gateway or Authorino, from a\n" +
			"file or stdin (-). It stores digests and never writes a value. It reports what changes for each token, and\n" +
			"writes all tokens or none. If a token can't be imported, it prints every reason and exits with 2;\n" +
			"--skip-refused leaves that token out. It refuses ciphertext, templates and placeholders, and ignores\n" +
			"Secrets that are not of type Opaque.",
		Example: "  patgate token import --from extender tokens.json --into manifests --dry-run\n" +
			"  kubectl get secret -l app=api-keys -o yaml | patgate token import --from authorino - --into manifests",
		Args: args(cobra.ExactArgs(1), "expected one FILE, or - for stdin"),
		RunE: func(_ *cobra.Command, given []string) error { return f.run(s, given[0]) },
	}
	l := cmd.Flags()
	l.StringVar(&f.from, "from", "", "`source`: extender, envoy-gateway or authorino (required)")
	l.StringVar(&f.into, "into", "", "`directory` that gets the manifests (required)")
	l.StringArrayVar(&f.manifests, "manifests", nil, "`directory` with the gates, groups and other tokens (default: --into); may repeat")
	l.StringArrayVar(&f.gates, "gate", nil, "`name` of a gate that the tokens are for (default: every gate); may repeat")
	l.StringArrayVar(&f.schemes, "scheme", nil, "`scheme` in which they may be presented (default: basic for extender, else the gate's); may repeat")
	l.BoolVar(&f.dryRun, "dry-run", false, "report what would be written, and write nothing")
	l.BoolVar(&f.skipRefused, "skip-refused", false, "leave out what can't be carried over")
	outputFlag(cmd, &f.output)
	return cmd
}

func (f *importFlags) run(s streams, file string) error {
	if err := checkOutput(f.output); err != nil {
		return err
	}
	source, ok := migrate.Sources[f.from]
	switch {
	case !ok:
		return usageError{fmt.Errorf("--from %q: %s", f.from, diag.Suggest(f.from, slices.Sorted(maps.Keys(migrate.Sources))))}
	case !isInto(f.into):
		return notInto(f.into)
	}
	data, err := readInput(s, file)
	if err != nil {
		return err
	}
	list, err := source(data, time.Now().UTC())
	if err != nil {
		return usageError{fmt.Errorf("%s: %w", file, err)}
	}
	f.manifests = manifestsIfAny(f.manifests, nil)
	told, err := f.write(file, list)
	if printed := f.print(s, told); err == nil {
		err = printed
	}
	return err
}

// write writes what can be carried over, and returns what became of each token.
func (f *importFlags) write(file string, list []migrate.Imported) (told []importedToken, err error) {
	var accepted []edit.NewToken
	var places []int
	var reasons []string
	for n, i := range list {
		i.Token.Gates = f.gates
		if len(f.schemes) > 0 && !i.Token.AnyUser {
			i.Token.Schemes = f.schemes
		}
		told = append(told, preview(&i))
		switch {
		case i.Refused == "":
			accepted, places = append(accepted, i.Token), append(places, n)
		case !i.LeftOut:
			reasons = append(reasons, diag.Problem{File: file, Pos: i.Pos, Field: fmt.Sprintf("%q", i.From), Message: i.Refused}.String())
		}
	}
	all := len(reasons) > 0 && !f.skipRefused // reasons are known already: find those of the manifests too
	done, err := tokenService(f.manifests, f.into).Import(context.Background(), tokens.ImportRequest{
		Request: tokens.Request{Via: tokens.ViaCommand}, Tokens: accepted, DryRun: f.dryRun || all, SkipRefused: f.skipRefused,
	})
	if all {
		return told, refusedAll(reasons, err)
	}
	left := len(done)
	for n, d := range done {
		told[places[n]].Refused = d.Refused
		if err == nil { // else nothing was written
			told[places[n]].File, f.after = d.File, d.After
		}
		if d.Refused != "" {
			left--
		}
	}
	if err == nil && left == 0 {
		err = &tokens.RefusedError{Code: tokens.Invalid, Reasons: []string{"Nothing was written: every token was refused or left out"}}
	}
	return told, err
}

// preview returns what import prints of a token before it is written.
func preview(i *migrate.Imported) importedToken {
	t := importedToken{Name: i.Token.Name, From: i.From, Line: i.Pos.Line, Column: i.Pos.Column, User: i.Token.User, Notes: i.Notes, Refused: i.Refused, LeftOut: i.LeftOut}
	if t.Notes == nil {
		t.Notes = []string{}
	}
	return t
}

// refusedAll adds what the manifests have against tokens to the reasons of the source.
func refusedAll(reasons []string, err error) error {
	var refused *tokens.RefusedError
	switch {
	case errors.As(err, &refused):
		reasons = append(reasons, refused.Reasons...)
	case err != nil:
		reasons = append(reasons, err.Error())
	}
	reasons = append(reasons, "Nothing was written, expected all tokens to be carried over, or --skip-refused to leave these out")
	return &tokens.RefusedError{Code: tokens.Invalid, Reasons: reasons}
}

// warnings returns what check warns of in the new manifests, and notes the warnings of each token.
func (f *importFlags) warnings(told []importedToken) []diag.Problem {
	if f.after == nil {
		return nil
	}
	var files []string
	for _, t := range told {
		if t.File != "" {
			files = append(files, t.File)
		}
	}
	found := warningsAbout(f.after, files)
	byFile := map[string][]diag.Report{}
	for _, w := range found {
		byFile[w.File] = append(byFile[w.File], w.Report())
	}
	for i := range told {
		told[i].Warnings = byFile[told[i].File]
	}
	return found
}

func (f *importFlags) print(s streams, told []importedToken) error {
	warnings := f.warnings(told)
	if f.output == outputJSON {
		return json.NewEncoder(s.out).Encode(told)
	}
	if err := printWarnings(s.err, warnings); err != nil {
		return err
	}
	wrote := "wrote"
	if f.dryRun {
		wrote = "would write"
	}
	var b strings.Builder
	for _, t := range told {
		user := t.User
		if user == "" {
			user = "any user"
		}
		user = diag.Escape(user)
		switch {
		case t.File != "":
			fmt.Fprintf(&b, "%s %s: %s of %s\n", wrote, diag.Escape(t.File), t.Name, user)
		case t.LeftOut:
			fmt.Fprintf(&b, "left out %q: %s\n", t.From, diag.Escape(t.Refused))
		case t.Refused != "" && !f.skipRefused:
			continue // the error has every reason, with its place
		case t.Refused != "":
			fmt.Fprintf(&b, "refused %q: %s\n", t.From, diag.Escape(t.Refused))
		default:
			fmt.Fprintf(&b, "not written: %s of %s\n", t.Name, user)
		}
		for _, n := range t.Notes {
			fmt.Fprintf(&b, "  %s\n", diag.Escape(n))
		}
	}
	_, err := fmt.Fprint(s.out, b.String())
	return err
}
