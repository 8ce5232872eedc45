// Command log writes the manifests and the audit log of a company that is made up: see package company.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/patgate/patgate/test/company"
)

func main() {
	var o company.Options
	flag.Uint64Var(&o.Seed, "seed", 1, "an equal seed makes an equal company")
	flag.IntVar(&o.People, "people", 0, "how many people (default 2000)")
	flag.IntVar(&o.Tokens, "tokens", 0, "how many tokens (default 10000)")
	flag.IntVar(&o.Days, "days", 0, "of how many days the log is (default 90)")
	flag.IntVar(&o.Events, "events", 0, "about how many events it has (default 1000000)")
	out := flag.String("o", "company", "`directory` to write manifests/ and audit.jsonl to")
	flag.Parse()
	if err := write(company.New(o), *out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(c *company.Company, dir string) error {
	manifests := filepath.Join(dir, "manifests")
	if err := os.MkdirAll(manifests, 0o755); err != nil {
		return err
	}
	for name, text := range c.Manifests() {
		if err := os.WriteFile(filepath.Join(manifests, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	f, err := os.Create(filepath.Join(dir, "audit.jsonl"))
	if err != nil {
		return err
	}
	b := bufio.NewWriterSize(f, 1<<20)
	return errors.Join(c.Log(b), b.Flush(), f.Close())
}
