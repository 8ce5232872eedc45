package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/explain"
	"github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/server"
)

func newAuditShow(s streams) *cobra.Command {
	var logs, manifests []string
	var f explainFlags
	cmd := &cobra.Command{
		Use:   "show ID --log FILE... [FILE...]",
		Short: "Show one event, and explain its decision rule by rule",
		Long: "Show prints the event of one decision. With --manifests it also explains the decision, as explain --event\n" +
			"does: give the manifests of the revision that made it. --body and --header add what the log does not\n" +
			"record. If the manifests now decide differently, the first line says so and the exit code is 1.",
		Example: "  patgate audit show 4DLDQ7JH --log audit.jsonl\n" +
			"  kubectl logs deploy/patgate | patgate audit show 4DLDQ7JH --log - --manifests manifests",
		Args: args(cobra.MinimumNArgs(1), "expected the ID of a decision, or its first 8 characters or more"),
		RunE: func(_ *cobra.Command, given []string) error {
			id, more := named(given)
			names, err := logsOf(logs, more)
			if err := firstOf(checkOutput(f.output), err); err != nil {
				return err
			}
			if id == "" {
				return usageError{fmt.Errorf("the ID is empty, expected that of a decision")}
			}
			s.colored()
			return auditShow(s, &f, id, names, manifestsIfAny(manifests, nil))
		},
	}
	logFlag(cmd, &logs)
	manifestsFlag(cmd, &manifests)
	l := cmd.Flags()
	l.StringArrayVar(&f.headers, "header", nil, "a `header` of the request such as x-on-behalf-of:bob; may repeat")
	l.StringVar(&f.body, "body", "", "`file` with the body of the request, - for stdin")
	outputFlag(cmd, &f.output)
	return cmd
}

// shown is the JSON output of audit show.
type shown struct {
	Event   json.RawMessage      `json:"event"`
	Explain *explain.Explanation `json:"explain,omitempty"`
}

func auditShow(s streams, f *explainFlags, id string, logs, manifests []string) error {
	found, _, cut := findEvent(s, logs, id)
	if found == nil {
		return cut
	}
	answer := shown{Event: found.JSON}
	if len(manifests) > 0 {
		var err error
		if answer.Explain, err = explainLogged(s, f, found, manifests); err != nil {
			return err
		}
	} else if f.body != "" || len(f.headers) > 0 {
		return usageError{fmt.Errorf("--body and --header supply what a decision needs, expected --manifests DIR with them")}
	}
	if err := firstOf(printShown(s.out, &answer, f.output), cut); err != nil {
		return err
	}
	if answer.Explain != nil && !answer.Explain.Event.Same {
		return errSaid
	}
	return nil
}

// explainLogged evaluates the request of an event again.
func explainLogged(s streams, f *explainFlags, found *audit.Entry, manifests []string) (*explain.Explanation, error) {
	set := dir.Load(manifests)
	if len(set.Problems) > 0 {
		return nil, &server.ManifestsError{Problems: set.Problems}
	}
	header, err := f.header()
	if err != nil {
		return nil, err
	}
	supplied := explain.Supplied{Header: header}
	if f.body != "" {
		if supplied.Body, err = readInput(s, f.body); err != nil {
			return nil, err
		}
	}
	e, err := explain.Event(set.Rows, &found.Logged, supplied)
	if err != nil {
		return nil, usageError{err}
	}
	return e, nil
}

func printShown(out io.Writer, answer *shown, output string) error {
	if output == outputJSON {
		return json.NewEncoder(out).Encode(answer)
	}
	text := eventText(answer.Event)
	if e := answer.Explain; e != nil {
		if e.Event.Same {
			text = "the manifests decide the same\n\n" + text + "\n" + e.Text()
		} else { // the first line says so
			first, rest, _ := strings.Cut(e.Text(), "\n")
			text = first + "\n\n" + text + "\n" + rest
		}
	}
	_, err := io.WriteString(out, text)
	return err
}

// eventText writes the fields of an event in their order, one a line.
func eventText(event json.RawMessage) string {
	var b strings.Builder
	dec := json.NewDecoder(bytes.NewReader(event))
	_, _ = dec.Token() // the brace: it was read as an object before
	for dec.More() {
		name, err := dec.Token()
		var value json.RawMessage
		if err != nil || dec.Decode(&value) != nil {
			break
		}
		text := string(value)
		var plain string
		if json.Unmarshal(value, &plain) == nil {
			text = plain
		}
		fmt.Fprintf(&b, "  %-15s %s\n", diag.Escape(fmt.Sprint(name)), diag.Escape(text))
	}
	return b.String()
}
