// Command bench measures what a check costs, against a no-op ext_authz server of plain
// grpc-go: on the same machine, in one run, round by round in turn, so that what is
// compared is the ratio of the two. Every decision is checked. `make bench`,
// `make bench-scale` and `make bench-evidence` run it.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	command, args := "", os.Args[1:]
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	var err error
	switch command {
	case "checks":
		err = runChecks(args)
	case "scale":
		err = runScale(args)
	case "evidence":
		err = runEvidence(args)
	case "generate":
		err = runGenerate(args)
	case "compute": // what `bench scale` lets run beside checks
		compute()
	case "noop": // a server that is measured
		err = serveNoop(args)
	default:
		fmt.Fprintln(os.Stderr, "usage: bench checks | scale | evidence | generate; each says more with -help")
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// runGenerate writes an estate.
func runGenerate(args []string) error {
	f := flag.NewFlagSet("generate", flag.ExitOnError)
	var e estate
	f.IntVar(&e.tokens, "tokens", 1_000_000, "how many tokens")
	f.IntVar(&e.policies, "policies", 1_000, "how many policies")
	f.Uint64Var(&e.seed, "seed", 1, "the same seed makes the same files")
	into := f.String("into", "", "the `directory` to write to")
	_ = f.Parse(args)
	if *into == "" || e.tokens < 1 || e.policies < 1 {
		return fmt.Errorf("generate: expected -into DIR, and at least one token and one policy")
	}
	start := time.Now()
	sample, err := e.write(*into, 1)
	if err == nil {
		fmt.Fprintf(os.Stderr, "wrote %d tokens and %d policies in %v; %s of them works\n",
			e.tokens, e.policies, time.Since(start).Round(time.Millisecond), sample[0].name)
	}
	return err
}
