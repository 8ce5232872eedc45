package main

import (
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/replay"
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
	"usage":          files,
	"audit-chain":    files,
	"key":            files,
	"audit-overflow": fixed("deny\trefuse an allow whose event can't be written", "drop\tlet it pass"),
	"audit-format":   fixed("auto", "text", "json"),
	"log-format":     fixed("auto", "text", "json"),
	"log-level":      fixed("debug", "info", "warn", "error"),
	"output":         fixed("text\tfor people", "json\tfor programs"),
	"scheme":         fixed("basic", "bearer"),
	"gate":           documentNames(manifest.KindGate),
	"policy":         documentNames(manifest.KindTokenPolicy),
	"token":          documentNames(manifest.KindAPIToken),
	"event":          files,
	"log":            files,
	"fail-on":        fixed(replay.NewlyAllowed, replay.NewlyDenied, "any"),
	"decision":       fixed(audit.Allow, audit.Deny),
	"reason":         fixed(append(policy.ReasonNames(policy.Allow), policy.ReasonNames(policy.Deny)...)...),
	"check-request":  files,
	"value-file":     files,
	"junit":          files,
}

func directories(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

func files(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

// documentNames completes the names of a kind, from whatever manifests the command line names so far.
func documentNames(kind string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
		return namesIn(cmd, given, kind), cobra.ShellCompDirectiveNoFileComp
	}
}

// namesIn lists the names of a kind in the manifests that a command line names.
func namesIn(cmd *cobra.Command, given []string, kind string) []string {
	var dirs []string
	for _, flag := range []string{"manifests", "into"} {
		switch value := flagValue(cmd, flag).(type) {
		case pflag.SliceValue:
			dirs = append(dirs, value.GetSlice()...)
		case pflag.Value:
			dirs = append(dirs, value.String())
		}
	}
	for _, arg := range given {
		if info, err := os.Stat(arg); err == nil && info.IsDir() {
			dirs = append(dirs, arg)
		}
	}
	dirs = slices.DeleteFunc(dirs, func(dir string) bool { return dir == "" })
	if dirs = manifestsIfAny(dirs, nil); len(dirs) == 0 {
		return nil
	}
	set := dir.Load(dirs)
	var names []string
	for _, doc := range slices.Concat(set.Gates, set.Groups, set.Policies, set.Tokens, set.Unread()) {
		if doc.Kind == kind && doc.Key() != "" {
			names = append(names, doc.Key())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func flagValue(cmd *cobra.Command, name string) pflag.Value {
	if f := cmd.Flags().Lookup(name); f != nil {
		return f.Value
	}
	return nil
}

// tokenThenDirectories completes NAME [DIR...].
func tokenThenDirectories(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(given) > 0 {
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
	return namesIn(cmd, given, manifest.KindAPIToken), cobra.ShellCompDirectiveNoFileComp
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
	words := strings.Fields(use)[1:]
	for i := 0; i < len(words); i++ {
		switch word := words[i]; {
		case strings.HasPrefix(word, "-"), strings.HasPrefix(word, "[-"):
			i++ // what follows is the flag's value
		case strings.Contains(word, "DIR|FILE"):
			return files
		case strings.Contains(word, "DIR"):
			return directories
		case strings.Contains(word, "FILE"):
			return files
		}
	}
	return cobra.NoFileCompletions
}
