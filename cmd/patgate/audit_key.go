package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/loader/dir"
)

func newAuditKey(s streams) *cobra.Command {
	name := "patgate"
	cmd := &cobra.Command{
		Use:   "key FILE",
		Short: "Make the key of a sealed audit log",
		Long: "Key writes a new private key to a file that only its owner can read, and prints the public key. The\n" +
			"private key is for serve --audit-chain and audit verify --key; keep a copy away from the logs. The\n" +
			"public key is for audit verify --key only: it checks the signed checkpoints and cannot seal lines.",
		Example: "  patgate audit key audit.key --name audit.example.com > audit.pub\n" +
			"  patgate serve --manifests manifests --audit-chain audit.key > audit.jsonl",
		Args: args(cobra.ExactArgs(1), "expected the file to write the private key to"),
		RunE: func(_ *cobra.Command, given []string) error { return writeChainKey(s, given[0], name) },
	}
	cmd.Flags().StringVar(&name, "name", name, "`name` of the log, which its checkpoints have")
	return cmd
}

// writeChainKey makes a key. It does not replace one: lines that it sealed could not be checked any more.
func writeChainKey(s streams, file, name string) error {
	private, public, err := audit.NewChainKey(name)
	if err != nil {
		return usageError{fmt.Errorf("--name %s: %w", name, err)}
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return usageError{fmt.Errorf("%s: the file exists, expected a new one: what another key sealed needs that key", file)}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", file, dir.Reason(err))
	}
	_, err = f.WriteString(private + "\n")
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%s: %w", file, dir.Reason(err))
	}
	_, err = fmt.Fprintln(s.out, public)
	return err
}

// readChainKey reads the key of a sealed log; nil: no file is named.
func readChainKey(flag, file string) (*audit.ChainKey, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, usageError{fmt.Errorf("%s %s: %w", flag, file, dir.Reason(err))}
	}
	key, err := audit.ParseChainKey(string(text))
	if err != nil {
		return nil, usageError{fmt.Errorf("%s %s: %w", flag, file, err)}
	}
	return key, nil
}

// readPrivateChainKey reads the key with which lines are sealed; nil: they are not.
func readPrivateChainKey(file string) (*audit.ChainKey, error) {
	key, err := readChainKey("--audit-chain", file)
	if err == nil && key != nil && !key.Private() {
		return nil, usageError{fmt.Errorf("--audit-chain %s: it is a public key, expected the private one", file)}
	}
	return key, err
}
