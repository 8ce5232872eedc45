package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/tokens"
)

func newTokenRevoke(s streams) *cobra.Command {
	var dirs []string
	var f revokeFlags
	cmd := &cobra.Command{
		Use:   "revoke NAME [DIR...]",
		Short: "End a token, by one line in its manifest",
		Long: "Revoke adds `revoked: TIME` to the spec of the token. The rest of the file stays as it is,\n" +
			"byte for byte. It works while other manifests are broken, and a running server that sees\n" +
			"the file refuses the token within a second, whatever is wrong elsewhere.\n\n" +
			"With --delete the manifest goes instead, and tombstones.yaml remembers the token until it would\n" +
			"have ended, so that `patgate check --against` refuses to add it again.",
		Example: "  patgate token revoke ci-bot manifests\n" +
			"  patgate token revoke ci-bot manifests --yes && git commit -am 'revoke ci-bot'",
		Args:              args(cobra.MinimumNArgs(1), "expected the NAME of a token"),
		ValidArgsFunction: tokenThenDirectories,
		RunE: func(_ *cobra.Command, given []string) error {
			name, more := named(given)
			from, err := manifestsOf(dirs, more)
			if err := firstOf(checkOutput(f.output), err); err != nil {
				return err
			}
			f.manifests = from
			return f.revoke(s, name)
		},
	}
	manifestsFlag(cmd, &dirs)
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "don't ask")
	cmd.Flags().BoolVar(&f.remove, "delete", false, "delete the manifest instead, and remember its values in tombstones.yaml until they would have ended")
	outputFlag(cmd, &f.output)
	return cmd
}

// revokeFlags are the flags of revoke.
type revokeFlags struct {
	manifests   []string
	yes, remove bool
	output      string
}

// revokedToken is the JSON output of revoke.
type revokedToken struct {
	Name     string        `json:"name"`
	User     string        `json:"user,omitempty"`
	File     string        `json:"file"`
	Revoked  time.Time     `json:"revoked"`
	Changed  bool          `json:"changed"`           // false: it was revoked before, and nothing is written
	Deleted  bool          `json:"deleted,omitempty"` // its manifest, with a tombstone in its place
	Problems []diag.Report `json:"problems"`          // of all manifests, in spite of which the revocation counts
}

func (f *revokeFlags) revoke(s streams, name string) error {
	ctx, service := context.Background(), tokenService(f.manifests, "")
	r := tokens.RevokeRequest{Request: tokens.Request{Via: tokens.ViaCommand}, Name: name, Delete: f.remove, DryRun: true}
	found, err := service.Revoke(ctx, r)
	if err != nil {
		return err
	}
	doc := found.Document
	who := "token " + name + " " + ownerText(doc.APIToken)
	if found.Before && f.output == outputJSON {
		return f.printJSON(ctx, s, service, found)
	}
	if found.Before {
		_, err := fmt.Fprintf(s.out, "The %s is revoked since %s (%s).\n", who, stamp(found.Since), doc.Place(doc.Pos))
		return err
	}
	if !f.yes {
		verb := "Revoke the "
		if f.remove {
			verb = "Revoke and delete the "
		}
		if err := confirm(s, verb+who+", in "+found.File+"? It can't be undone. [y/N] "); err != nil {
			return err
		}
	}
	r.DryRun = false
	done, err := service.Revoke(ctx, r)
	if err != nil {
		return fmt.Errorf("the token is not revoked: %w", err)
	}
	if f.output == outputJSON {
		return f.printJSON(ctx, s, service, done)
	}
	if f.remove {
		_, err := fmt.Fprintf(s.out, "The %s is deleted from %s, and its tombstone is in tombstones.yaml.\n", who, done.File)
		return firstOf(err, afterRevoke(s, nil))
	}
	if _, err := fmt.Fprintf(s.out, "The %s is revoked since %s, in %s.\n", who, stamp(done.Since), done.File); err != nil {
		return err
	}
	set, err := service.Documents.Documents(ctx)
	return firstOf(err, afterRevoke(s, set.Problems))
}

// printJSON prints what was revoked as JSON.
func (f *revokeFlags) printJSON(ctx context.Context, s streams, service *tokens.Service, r *tokens.RevokedToken) error {
	set, err := service.Documents.Documents(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(s.out).Encode(revokedToken{
		Name: r.Document.Key(), User: string(r.Document.APIToken.User), File: r.File, Revoked: r.Since.UTC(),
		Changed: !r.Before, Deleted: f.remove && !r.Before, Problems: diag.Reports(set.Problems),
	})
}

// afterRevoke says what to do next.
func afterRevoke(s streams, problems []diag.Problem) error {
	if len(problems) > 0 {
		_, _ = fmt.Fprintf(s.err, "Warning: the manifests have %s, the first is %s.\n"+
			"The revocation counts all the same; everything else stays as it was until `patgate check` is content.\n",
			count(len(problems), "problem"), problems[0])
	}
	_, err := fmt.Fprintln(s.err, "Next: commit the file; a running `patgate serve` that sees it refuses the token within a second.")
	return err
}

// ownerText says whose token a manifest is.
func ownerText(spec *manifest.APIToken) string {
	switch {
	case spec.AnyUser:
		return "of any user"
	case spec.User == "":
		return "of nobody"
	}
	return "of " + string(spec.User)
}

// confirm asks the user, and returns an error unless the answer is yes.
func confirm(s streams, question string) error {
	if f, ok := s.in.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return usageError{fmt.Errorf("stdin is not a terminal, expected --yes to revoke without asking")}
	}
	if _, err := io.WriteString(s.err, question); err != nil {
		return err
	}
	return answered(s.in)
}

// answered returns an error unless a line says yes.
func answered(in io.Reader) error {
	line, _ := bufio.NewReader(in).ReadString('\n') // what can't be read is no yes
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	return fmt.Errorf("nothing is changed: the answer was not yes")
}
