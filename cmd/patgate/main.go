// Command patgate issues and checks personal access tokens: it is an external authorization server for Envoy, and the
// tools for its manifests.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/server"
	"github.com/patgate/patgate/token"
	"github.com/patgate/patgate/tokens"
)

// The exit codes.
const (
	exitGood  = 0
	exitNo    = 1 // the answer is no, or it could not be done
	exitUsage = 2 // wrong usage or bad manifests
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// streams are the input and output of a command: results go to out and nothing else
// does, errors and progress go to err.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// fileOf returns the file that a stream reads or writes, if it is one.
func fileOf(stream any) (*os.File, bool) {
	if w, ok := stream.(*diag.Writer); ok {
		stream = w.Unwrap()
	}
	f, ok := stream.(*os.File)
	return f, ok
}

// colored lets what people read on a terminal have colors, unless NO_COLOR is set (https://no-color.org).
func (s streams) colored() {
	for _, stream := range []io.Writer{s.out, s.err} {
		w, ok := stream.(*diag.Writer)
		if f, file := fileOf(stream); ok && file && wantsColor(f, os.LookupEnv) {
			w.Highlight(diag.Color)
		}
	}
}

// wantsColor reports whether a file is a terminal whose user has not turned colors off.
func wantsColor(f *os.File, lookup func(string) (string, bool)) bool {
	if off, _ := lookup("NO_COLOR"); off != "" {
		return false
	}
	if kind, _ := lookup("TERM"); kind == "dumb" {
		return false
	}
	return term.IsTerminal(int(f.Fd()))
}

// usageError is wrong usage, or bad manifests.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// run runs one command and returns its exit code.
func run(args []string, in io.Reader, stdout, stderr io.Writer) int {
	out, errOut := diag.NewWriter(stdout), diag.NewWriter(stderr)
	defer func() { _, _ = out.Flush(), errOut.Flush() }()
	root := newRoot(streams{in, out, errOut})
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := noTokens(args)
	if err == nil {
		err = root.Execute()
	}
	if err == nil {
		return exitGood
	}
	code := exitCode(err)
	var lines []string
	for _, line := range strings.Split(strings.TrimRight(escapeTyped(err.Error(), args), "\n"), "\n") {
		if line != "" {
			lines = append(lines, token.Mask(plainText(line))) // it may repeat what was typed
		}
	}
	if wantsJSON(args) {
		printJSONError(errOut, err, code, lines)
		return code
	}
	for _, line := range lines {
		_, _ = fmt.Fprintln(errOut, line)
	}
	return code
}

// wantsJSON reports whether the command line has -o json.
func wantsJSON(args []string) bool {
	for i, arg := range args {
		switch arg {
		case "--":
			return false
		case "-ojson", "-o=json", "--output=json":
			return true
		case "-o", "--output":
			if i+1 < len(args) && args[i+1] == outputJSON {
				return true
			}
		}
	}
	return false
}

// failure is the JSON form of an error on stderr, for a command with -o json.
type failure struct {
	Error    string        `json:"error"`              // for people; its lines are divided by line ends
	Exit     int           `json:"exit"`               // the exit code
	Problems []diag.Report `json:"problems,omitempty"` // of the manifests
}

// printJSONError prints one JSON object. A command that printed its answer, which was no, prints none.
func printJSONError(out io.Writer, err error, code int, lines []string) {
	if len(lines) == 0 {
		return
	}
	f := failure{Error: strings.Join(lines, "\n"), Exit: code}
	var manifests *server.ManifestsError
	if errors.As(err, &manifests) {
		f.Problems = diag.Reports(manifests.Problems)
	}
	_ = json.NewEncoder(out).Encode(f)
}

// escapeTyped keeps what was typed on the lines of a message that repeats it.
func escapeTyped(message string, args []string) string {
	for _, arg := range args {
		_, value, _ := strings.Cut(arg, "=")
		for _, typed := range []string{arg, value} {
			if escaped := diag.Escape(typed); escaped != typed {
				message = strings.ReplaceAll(message, typed, escaped)
			}
		}
	}
	return message
}

func exitCode(err error) int {
	var usage usageError
	var options *server.UsageError
	var manifests *server.ManifestsError
	var refused *tokens.RefusedError
	var unknown *tokens.UnknownError
	var broken *tokens.ProblemsError
	if errors.As(err, &usage) || errors.As(err, &options) || errors.As(err, &manifests) || errors.As(err, &refused) || errors.As(err, &unknown) || errors.As(err, &broken) {
		return exitUsage
	}
	return exitNo
}

func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "patgate",
		Short: "The gate for API tokens in front of any HTTP API",
		Long: "patgate is an external authorization server for Envoy: it checks the Basic or\n" +
			"Bearer token of each request against YAML policies that a team keeps in Git,\n" +
			"and writes one audit event per decision to stdout.",
		Example:       "  patgate demo                                    # the whole thing on loopback\n  patgate token create ci-bot --user alice --into manifests --limit-to '[get,head]/rest/api/2/issue/JRA-[0-9]+'\n  patgate check manifests\n  patgate serve --manifests manifests",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs, // groupOnly knows a mistyped one
		RunE:          groupOnly,
	}
	root.Version = thisBuild().Version
	root.SetVersionTemplate(thisBuild().text())
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(newServe(s), newCheck(s), newExplain(s), newTest(s), newToken(s), newSchema(s), newDemo(s), newFrontConfig(s), newFrontCheck(s), newEnvoyConfig(s), newEnvoyCheck(s), newAudit(s), newReplay(s), newSuggest(s), newUsage(s), newManage(s), newController(s), newConvert(s), newVersion(s))
	for _, cmd := range root.Commands() {
		if name := cmd.Name(); name == "serve" || name == "demo" || name == "manage" || name == "controller" {
			onUnix(cmd)
		}
	}
	addedCommands(root)
	complete(root)
	fitHelp(s, root)
	return root
}

// args wraps a validator of positional arguments, so that its error is one of usage.
func args(want cobra.PositionalArgs, hint string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if err := want(cmd, given); err != nil {
			return usageError{fmt.Errorf("%s: %s\nSee '%s --help'.", cmd.CommandPath(), hint, cmd.CommandPath())}
		}
		return nil
	}
}
