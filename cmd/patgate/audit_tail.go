package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/audit/report"
)

func newAuditTail(s streams) *cobra.Command {
	var logs []string
	var f filterFlags
	var output string
	var follow bool
	cmd := &cobra.Command{
		Use:   "tail [--log FILE] [FILE]",
		Short: "Print a readable line for each event, as events come",
		Long: "Tail prints one line per event. If the log is stdin, it waits for more events. --follow waits for\n" +
			"events that are appended to a file, and for the file that takes its place when logs are rotated.\n" +
			"-o json prints the events themselves.",
		Example: "  kubectl logs -f deploy/patgate | patgate audit tail --decision deny\n" +
			"  patgate audit tail --log audit.jsonl --follow --token ci-bot",
		RunE: func(_ *cobra.Command, given []string) error {
			filter, err := f.filter(time.Now())
			if err := firstOf(checkOutput(output), err); err != nil {
				return err
			}
			if len(logs)+len(given) == 0 {
				logs = []string{"-"}
			}
			names, err := logsOf(logs, given)
			if err != nil {
				return err
			}
			if follow && len(names) > 1 {
				return usageError{fmt.Errorf("--follow: expected one log, not %d", len(names))}
			}
			s.colored()
			return auditTail(s, names, filter, output, follow)
		},
	}
	logFlag(cmd, &logs)
	f.add(cmd)
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "wait for what is appended to the file")
	outputFlag(cmd, &output)
	return cmd
}

func auditTail(s streams, names []string, filter *report.Filter, output string, follow bool) error {
	inputs, closeAll, err := openLogs(s, names)
	if err != nil {
		return err
	}
	defer closeAll()
	ctx, stop := interrupted()
	defer stop()
	if file, ok := inputs[0].Reader.(*os.File); ok && follow {
		grows := &growing{ctx: ctx, name: inputs[0].Name, file: file}
		defer grows.close()
		inputs[0].Reader = grows
	}
	var cut error
	for _, in := range inputs {
		err := tailLog(s.out, in, filter, output)
		var c *audit.CutError
		if err != nil && !errors.As(err, &c) {
			return err
		}
		cut = errors.Join(cut, err)
	}
	return cut
}

// tailLog prints the events of one log.
func tailLog(out io.Writer, in audit.Input, filter *report.Filter, output string) error {
	r := audit.NewLiveReader(in.Name, in.Reader)
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !filter.Match(&e.Logged) {
			continue
		}
		text := audit.Readable(e.JSON)
		if output == outputJSON {
			text = string(e.JSON) + "\n"
		}
		if _, err := io.WriteString(out, text); err != nil {
			return err
		}
	}
}
