package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/explain"
	"github.com/patgate/patgate/policy"
)

// event explains a decision of the logs by the present manifests, and says where the two
// differ.
func (f *explainFlags) event(s streams, rows policy.Rows, at time.Time) error {
	supplied := explain.Supplied{Now: at}
	var err error
	if supplied.Header, err = f.header(); err != nil {
		return err
	}
	if f.body != "" {
		if supplied.Body, err = readInput(s, f.body); err != nil {
			return err
		}
	}
	logged, stats, cut := findEvent(s, f.eventFiles, f.eventID)
	if logged == nil {
		return cut
	}
	e, err := explain.Event(rows, &logged.Logged, supplied)
	if err != nil {
		return usageError{err}
	}
	if stats.Skipped > 0 {
		e.Notes = append(e.Notes, fmt.Sprintf("%d of %s held no event of patgate, and %s skipped",
			stats.Skipped, count(int(stats.Skipped+stats.Events), "line"), wasOrWere(stats.Skipped)))
	}
	return firstOf(f.print(s, e), cut)
}

// findEvent finds a decision in log files; `-` is stdin. An error together with an event says that a log is cut.
func findEvent(s streams, names []string, id string) (*audit.Entry, audit.ReadStats, error) {
	inputs, closeAll, err := openLogs(s, names)
	if err != nil {
		return nil, audit.ReadStats{}, err
	}
	defer closeAll()
	found, stats, err := audit.FindDecision(inputs, id)
	var cut *audit.CutError
	switch {
	case err == nil:
	case found == nil && !errors.As(err, &cut):
		err = usageError{fmt.Errorf("--event %s: %w", names[len(names)-1], err)}
	}
	return found, stats, err
}

// openLogs opens log files; `-` is stdin.
func openLogs(s streams, names []string) (inputs []audit.Input, closeAll func(), err error) {
	var files []io.Closer
	closeAll = func() {
		for _, f := range files {
			_ = f.Close() // it was only read
		}
	}
	for _, name := range names {
		if name == "-" {
			inputs = append(inputs, audit.Input{Name: "stdin", Reader: s.in})
			continue
		}
		file, err := os.Open(name)
		if err != nil {
			closeAll()
			return nil, nil, usageError{err}
		}
		files = append(files, file)
		if info, err := file.Stat(); err == nil && info.IsDir() {
			closeAll()
			return nil, nil, usageError{fmt.Errorf("%s: a directory, expected a file", name)}
		}
		inputs = append(inputs, audit.Input{Name: name, Reader: file})
	}
	return inputs, closeAll, nil
}

func wasOrWere(n int64) string {
	if n == 1 {
		return "was"
	}
	return "were"
}
