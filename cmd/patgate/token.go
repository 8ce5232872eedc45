package main

import "github.com/spf13/cobra"

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
