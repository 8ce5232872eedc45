package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/token"
)

// wholeValue is a minted value anywhere in a text.
var wholeValue = regexp.MustCompile(token.Prefix + `[0-9A-Za-z]{36}`)

// noTokens refuses a token's value among the arguments, and does not repeat it: other
// users see it in the list of processes, and the shell keeps it.
func noTokens(args []string) error {
	for i, arg := range args {
		_, value, _ := strings.Cut(arg, "=")
		if strings.HasPrefix(arg, token.Prefix) || strings.HasPrefix(value, token.Prefix) || wholeValue.MatchString(arg) {
			return usageError{fmt.Errorf("argument %d looks like a value of a token, which others can see on a command line: "+
				"expected it in a file or on stdin (-)\nTake that token as leaked: revoke it, and make another", i+1)}
		}
	}
	return nil
}

// flagError says what is wrong with a flag, and which one was likely meant.
func flagError(cmd *cobra.Command, err error) error {
	if given := cmd.Flags().Args(); cmd.HasSubCommands() && len(given) > 0 {
		return groupOnly(cmd, given) // the flags are those of a command that was mistyped
	}
	hint := ""
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		hint = flagHint(cmd, unknown)
	}
	return usageError{fmt.Errorf("%w%s\nSee '%s --help'.", err, hint, cmd.CommandPath())}
}

func flagHint(cmd *cobra.Command, unknown *pflag.NotExistError) string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && f.Deprecated == "" {
			names = append(names, f.Name)
		}
	})
	wrong := unknown.GetSpecifiedName()
	if short := unknown.GetSpecifiedShortnames(); len(short) > 1 {
		wrong, _, _ = strings.Cut(short, "=") // -manifests, with one dash
	}
	if wrong == "manifests" && cmd.Flags().Lookup(wrong) == nil && strings.Contains(cmd.Use, " DIR") {
		return ", expected the directory as an argument: " + cmd.CommandPath() + " DIR"
	}
	if near, ok := strings.CutPrefix(diag.Suggest(wrong, names), "did you mean "); ok {
		return ", did you mean --" + near
	}
	return ""
}

// otherWords are the names that other tools have for patgate's commands, by parent command.
var otherWords = map[string]map[string]string{
	"patgate": {
		"lint": "check", "validate": "check", "verify": "check", "run": "serve", "server": "serve", "start": "serve", "why": "explain", "init": "demo",
		"rm": "token revoke", "remove": "token revoke", "delete": "token revoke", "ls": "token list", "tokens": "token list", "get": "token show",
		"describe": "token show", "new": "token create", "add": "token create", "mint": "token create", "renew": "token rotate",
	},
	"patgate token": {
		"rm": "revoke", "remove": "revoke", "delete": "revoke", "del": "revoke", "disable": "revoke", "ls": "list", "get": "show", "describe": "show",
		"info": "show", "lookup": "show", "new": "create", "add": "create", "mint": "create", "issue": "create", "generate": "create",
		"renew": "rotate", "regenerate": "rotate", "roll": "rotate", "code": "snippet", "help": "--help",
	},
}

// groupOnly runs a command that only holds others: it shows its help, and knows
// a mistyped one.
func groupOnly(cmd *cobra.Command, given []string) error {
	if len(given) == 0 {
		return cmd.Help()
	}
	message := fmt.Sprintf("unknown command %q for %q", given[0], cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2
	near := cmd.SuggestionsFor(given[0])
	if other, ok := otherWords[cmd.CommandPath()][given[0]]; ok {
		near = []string{other}
	} else if len(near) == 0 {
		near = deeper(cmd, given[0])
	}
	switch {
	case cmd.Name() == "completion":
		message = fmt.Sprintf("no completion for %q, expected bash, fish, powershell or zsh", given[0])
	case len(near) > 0:
		message += ", did you mean " + strings.Join(near, " or ") + "?"
	}
	return usageError{fmt.Errorf("%s\nSee '%s --help'.", message, cmd.CommandPath())}
}

// deeper finds a command of that name below others: `patgate create` is `token create`.
func deeper(cmd *cobra.Command, name string) (found []string) {
	for _, c := range cmd.Commands() {
		for _, below := range c.Commands() {
			if below.Name() == name && c.Name() != "completion" {
				found = append(found, c.Name()+" "+name)
			}
		}
	}
	return found
}

// addedCommands makes the commands that cobra adds as strict as ours: what they do not
// know is wrong usage.
func addedCommands(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Run, c.RunE = nil, helpOn
		case "completion":
			c.Args, c.RunE = cobra.ArbitraryArgs, groupOnly
			for _, shell := range c.Commands() {
				shell.Args = args(cobra.NoArgs, "takes no arguments")
			}
		}
	}
}

// helpOn shows the help of the command that is given.
func helpOn(cmd *cobra.Command, given []string) error {
	about, rest, err := cmd.Root().Find(given)
	if err != nil {
		return usageError{err}
	}
	if about.HasSubCommands() && len(rest) > 0 {
		return groupOnly(about, rest)
	}
	about.InitDefaultHelpFlag()
	return about.Help()
}
