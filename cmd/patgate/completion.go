package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The values that a shell completes for flags, by their names: a flag means the same
// wherever it is. One that is not here gets none, rather than the names of files.
var flagValues = map[string]cobra.CompletionFunc{
	"against":        directories,
	"into":           directories,
	"manifests":      directories,
	"patgate-tls":    directories,
	"tls":            directories,
	"body":           files,
	"tls-cert":       files,
	"tls-client-ca":  files,
	"tls-key":        files,
	"token-file":     files,
	"audit-overflow": fixed("deny\trefuse an allow whose event can't be written", "drop\tlet it pass"),
	"audit-format":   fixed("auto", "text", "json"),
	"log-format":     fixed("auto", "text", "json"),
	"log-level":      fixed("debug", "info", "warn", "error"),
	"output":         fixed("text\tfor people", "json\tfor programs"),
	"scheme":         fixed("basic", "bearer"),
}

func directories(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

func files(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

func fixed(words ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}

// complete says what a shell completes for a command and all below it, where they do
// not say so themselves.
func complete(cmd *cobra.Command) {
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		values, ok := flagValues[f.Name]
		if !ok {
			values = cobra.NoFileCompletions
		}
		if f.Value.Type() != "bool" {
			_ = cmd.RegisterFlagCompletionFunc(f.Name, values) // refused where the command has one
		}
	})
	if cmd.ValidArgsFunction == nil && len(cmd.ValidArgs) == 0 && cmd.Runnable() {
		cmd.ValidArgsFunction = argumentsOf(cmd.Use)
	}
	for _, c := range cmd.Commands() {
		complete(c)
	}
}

// argumentsOf reads from a usage line what its arguments are: `check DIR...` takes
// directories.
func argumentsOf(use string) cobra.CompletionFunc {
	for _, word := range strings.Fields(use)[1:] {
		switch {
		case strings.HasPrefix(word, "-"), strings.HasPrefix(word, "[-"):
			return cobra.NoFileCompletions
		case strings.Contains(word, "DIR"):
			return directories
		case strings.Contains(word, "FILE"):
			return files
		}
	}
	return cobra.NoFileCompletions
}
