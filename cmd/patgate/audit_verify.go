package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/audit/report"
	"github.com/patgate/patgate/diag"
)

func newAuditVerify(s streams) *cobra.Command {
	var logs []string
	var output, keyFile string
	cmd := &cobra.Command{
		Use:   "verify --log FILE... [FILE...]",
		Short: "Find what is missing from logs: gaps, cut lines, clock steps",
		Long: "Verify checks that a log is complete. Each process numbers its events without a gap, so verify finds\n" +
			"events that are missing or out of order, cut lines, events that patgate could not write (audit.gap),\n" +
			"and changes of the clock. A log may begin and end anywhere. With the key of serve --audit-chain, verify\n" +
			"also finds each line that was changed or replaced, and checks the signed checkpoints. With the public\n" +
			"key it checks the checkpoints only. It exits with 1 if it finds something.",
		Example: "  patgate audit verify --log audit-1.jsonl.gz --log audit-2.jsonl.gz\n" +
			"  patgate audit verify --log audit.jsonl --key audit.key\n" +
			"  kubectl logs deploy/patgate --prefix | patgate audit verify --log - -o json",
		RunE: func(_ *cobra.Command, given []string) error {
			names, err := logsOf(logs, given)
			key, keyErr := readChainKey("--key", keyFile)
			if err := firstOf(checkOutput(output), err, keyErr); err != nil {
				return err
			}
			s.colored()
			return auditVerify(s, names, key, output)
		},
	}
	logFlag(cmd, &logs)
	cmd.Flags().StringVar(&keyFile, "key", "", "`file` with the private or the public key of serve --audit-chain")
	outputFlag(cmd, &output)
	return cmd
}

func auditVerify(s streams, names []string, key *audit.ChainKey, output string) error {
	v, cut, err := readLogs(s, names, func(ctx context.Context, logs []audit.Input, progress func(audit.ReadStats)) (*report.Verification, error) {
		return report.Verify(ctx, logs, key, progress)
	})
	if err != nil {
		return err
	}
	v.OK = v.OK && cut == nil
	if output == outputJSON {
		err = json.NewEncoder(s.out).Encode(v)
	} else {
		saySkipped(s, v.SkippedLines)
		err = printVerification(s.out, v)
	}
	if err := firstOf(err, cut); err != nil || v.OK {
		return err
	}
	return errSaid
}

func printVerification(out io.Writer, v *report.Verification) error {
	var b strings.Builder
	for _, d := range v.Broken {
		fmt.Fprintf(&b, "%s:%d: %s\n", diag.Escape(d.File), d.Line, diag.Escape(d.What))
	}
	if v.More > 0 {
		fmt.Fprintf(&b, "… and %d more\n", v.More)
	}
	missing := uint64(0)
	for _, i := range v.Instances {
		for n, g := range i.Gaps {
			missing += g.Missing
			if n < report.MaxDamages {
				fmt.Fprintf(&b, "instance %s: %s missing after event %d (%s:%d)\n", diag.Escape(i.Instance), plural(int(g.Missing), "event is", "events are"), g.After, diag.Escape(g.File), g.Line)
			}
		}
		fmt.Fprintf(&b, "instance %s: events %d to %d%s%s\n", diag.Escape(i.Instance), i.From, i.To, repeatedText(i.Repeated), openText(&i))
	}
	if v.OK {
		fmt.Fprintf(&b, "ok: %s, none missing\n", count(int(v.Events), "event"))
	} else {
		fmt.Fprintf(&b, "FAIL  %s: %d missing, %s\n", count(int(v.Events), "event"), missing, plural(len(v.Broken)+int(v.More), "damage", "damages"))
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// openText says what can't be known of the end of a sealed log.
func openText(i *report.Instance) string {
	switch {
	case !i.Open:
		return ""
	case i.Checkpoint == 0:
		return ", no checkpoint: what came after the last event may be missing"
	}
	return fmt.Sprintf(", last checkpoint %d, not closed: what came after the last event may be missing", i.Checkpoint)
}

func repeatedText(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %d of them more than once", n)
}
