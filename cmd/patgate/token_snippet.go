package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token/snippet"
)

func newTokenSnippet(s streams) *cobra.Command {
	var c snippet.Call
	var scheme, language, output string
	cmd := &cobra.Command{
		Use:   "snippet --url URL --user USER",
		Short: "Print a client's code that calls a URL with a token",
		Long: "Snippet prints code that reads the token's value from the environment variable " + snippet.Variable + ", or asks\n" +
			"for it. The value is never in the code, nor on this command line.",
		Example: "  patgate token snippet --url https://jira.example.com/rest/api/2/myself --user alice\n" +
			"  patgate token snippet --url https://jira.example.com/rest/api/2/myself --scheme bearer --lang python\n" +
			"  patgate token snippet --url https://jira.example.com/rest/api/2/issue/JRA-1/comment --user alice --data '{\"body\": \"Done\"}'",
		Args: args(cobra.NoArgs, "takes no arguments"),
		RunE: func(*cobra.Command, []string) error {
			as, err := parseScheme(scheme)
			if err := firstOf(checkOutput(output), err); err != nil {
				return err
			}
			c.Bearer = as == policy.Bearer
			c.Method = strings.ToUpper(c.Method)
			code, err := c.Code(language)
			if errors.Is(err, snippet.ErrLanguage) {
				return usageError{fmt.Errorf("--lang %s: %s", language, diag.Suggest(language, snippet.Languages()))}
			}
			var field *snippet.FieldError
			if errors.As(err, &field) {
				return usageError{fmt.Errorf("--%s: %w", field.Field, err)}
			}
			if err != nil {
				return err
			}
			if output == outputJSON {
				return json.NewEncoder(s.out).Encode(writtenSnippet{language, c.URL, scheme, code})
			}
			_, err = io.WriteString(s.out, code)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.URL, "url", "", "the `URL` to call (required)")
	f.StringVar(&c.User, "user", "", "the `user` that is presented with the token; not needed for bearer")
	f.StringVar(&scheme, "scheme", "basic", "`scheme` in which the token is presented, basic or bearer")
	f.StringVar(&language, "lang", "curl", "`language`: curl, javascript, jquery, python, java, go, csharp, powershell or php")
	f.StringVar(&c.Method, "method", "", "`method` of the request: GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS (default GET, with --data POST)")
	f.StringVar(&c.Data, "data", "", "`json` that is sent as the request's body")
	_ = cmd.RegisterFlagCompletionFunc("lang", fixed(snippet.Languages()...))
	_ = cmd.RegisterFlagCompletionFunc("method", fixed(snippet.Methods...))
	outputFlag(cmd, &output)
	return cmd
}

// writtenSnippet is the JSON output of snippet.
type writtenSnippet struct {
	Language string `json:"language"`
	URL      string `json:"url"`
	Scheme   string `json:"scheme"`
	Code     string `json:"code"`
}
