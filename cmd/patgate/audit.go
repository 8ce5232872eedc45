package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/audit/report"
	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/policy"
)

func newAudit(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Read audit logs: one event, live, counted or verified",
		Long: "Audit reads logs as clusters deliver them: patgate's lines alone, from `kubectl logs --prefix`, of the\n" +
			"container runtime, wrapped in JSON by a collector, exports of Loki and CloudWatch; gzip and zstd too.",
		Example: "  kubectl logs deploy/patgate | patgate audit summary --log -\n" +
			"  patgate audit verify --log audit-*.gz",
		Args: cobra.ArbitraryArgs, // groupOnly knows a mistyped one
		RunE: groupOnly,
	}
	cmd.AddCommand(newAuditShow(s), newAuditTail(s), newAuditSummary(s), newAuditVerify(s), newAuditKey(s))
	return cmd
}

// logFlag adds --log. The arguments of a command may name more logs; see logsOf.
func logFlag(cmd *cobra.Command, logs *[]string) {
	cmd.Flags().StringArrayVar(logs, "log", nil, "audit log to read, a `file` or - for stdin; may repeat")
}

// logsOf returns the logs of --log and of the arguments.
func logsOf(flag, given []string) ([]string, error) {
	logs, stdin := append(flag[:len(flag):len(flag)], given...), 0
	for _, log := range logs {
		if log == "-" {
			stdin++
		}
	}
	switch {
	case len(logs) == 0:
		return nil, usageError{fmt.Errorf("no log is named, expected --log FILE, or --log - for stdin")}
	case stdin > 1:
		return nil, usageError{fmt.Errorf("--log: expected at most one `-`: stdin can be read once")}
	}
	return logs, nil
}

// filterFlags are the flags of report.Filter.
type filterFlags struct {
	report.Filter
	since, until string
}

func (f *filterFlags) add(cmd *cobra.Command) {
	l := cmd.Flags()
	l.StringVar(&f.User, "user", "", "only events of this `user`, or of whom they acted as")
	l.StringVar(&f.Token, "token", "", "only events of the token with this `name`")
	l.StringVar(&f.Gate, "gate", "", "only events of the gate with this `name`")
	l.StringVar(&f.Reason, "reason", "", "only events refused with this `reason`, in shadow mode too")
	l.StringVar(&f.Decision, "decision", "", "only events with this `decision`: allow or deny")
	l.StringVar(&f.Path, "path", "", "only events whose path begins with this `text`")
	l.StringVar(&f.since, "since", "", "only events from this `time` on: 2026-07-30T12:00:00Z, 2026-07-30 or -7d")
	l.StringVar(&f.until, "until", "", "only events before this `time`")
}

// filter reads the flags.
func (f *filterFlags) filter(now time.Time) (*report.Filter, error) {
	decisions := []string{audit.Allow, audit.Deny}
	if f.Decision != "" && f.Decision != audit.Allow && f.Decision != audit.Deny {
		return nil, usageError{fmt.Errorf("--decision %s: %s", f.Decision, diag.Suggest(f.Decision, decisions))}
	}
	if _, ok := policy.ParseReason(f.Reason); f.Reason != "" && !ok {
		known := append(policy.ReasonNames(policy.Allow), policy.ReasonNames(policy.Deny)...)
		return nil, usageError{fmt.Errorf("--reason %s: no such reason, %s", f.Reason, diag.Suggest(f.Reason, known))}
	}
	for _, moment := range []struct {
		flag, text string
		to         *time.Time
	}{{"--since", f.since, &f.Since}, {"--until", f.until, &f.Until}} {
		if moment.text == "" {
			continue
		}
		at, err := parseMoment(moment.flag, moment.text, now)
		if err != nil {
			return nil, err
		}
		*moment.to = at
	}
	return &f.Filter, nil
}

// interrupted returns a context that ends when the user interrupts the command.
func interrupted() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}

// readLogs calls read with the logs, until the user interrupts the command, and shows the progress. It returns what read
// returns, and the error of opening the logs.
func readLogs[T any](s streams, names []string, read func(context.Context, []audit.Input, func(audit.ReadStats)) (T, error)) (result T, cut, err error) {
	inputs, closeAll, err := openLogs(s, names)
	if err != nil {
		return result, nil, err
	}
	defer closeAll()
	ctx, stop := interrupted()
	defer stop()
	show, done := progressOf(s)
	defer done()
	result, cut = read(ctx, inputs, show)
	return result, cut, nil
}

// progressOf shows how much was read where stderr is a terminal, and returns how to remove it again.
func progressOf(s streams) (show func(audit.ReadStats), done func()) {
	f, ok := fileOf(s.err)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil, func() {}
	}
	last, shown := time.Now(), false
	show = func(stats audit.ReadStats) {
		if time.Since(last) < 200*time.Millisecond {
			return
		}
		last, shown = time.Now(), true
		_, _ = fmt.Fprintf(f, "\r%s read, %.1f MiB \x1b[K", count(int(stats.Events), "event"), float64(stats.Bytes)/(1<<20))
	}
	return show, func() {
		if shown {
			_, _ = fmt.Fprint(f, "\r\x1b[K")
		}
	}
}

// saySkipped says how many lines were no event of patgate.
func saySkipped(s streams, skipped int64) {
	if skipped > 0 {
		_, _ = fmt.Fprintf(s.err, "%s held no event of patgate.\n", count(int(skipped), "line"))
	}
}

// sayTimes writes the first and the last time of a log.
func sayTimes(first, last *time.Time) string {
	if first == nil || last == nil {
		return ""
	}
	return ", from " + stamp(*first) + " to " + stamp(*last)
}
