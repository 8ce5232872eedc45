package audit_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/itchyny/gojq"
)

// answers are what the programs of docs/audit.md make of testdata/page.log, in their order.
var answers = []string{
	"2026-06-01T12:00:02Z\talice\tci\t192.0.2.1\tno_rule_matched\tPOST /b|2026-06-01T12:00:03Z\talice\tci\t192.0.2.1\tno_rule_matched\tPOST /b|" +
		"2026-06-01T12:00:04Z\tsvc\tmailer\t192.0.2.2\tact_as_denied\tGET /c|2026-06-01T12:00:05Z\t-\ttrap\t192.0.2.9\ttoken_canary\tGET /d",
	"2026-06-01T12:00:02Z\tdeny\tno_rule_matched\t-\tjson \"favourite\"",
	"ci\t2\t2026-06-01T12:00:06Z",
	"ci\t1\t2026-06-01T12:00:06Z\t192.0.2.1",
	"ci\t192.0.2.1\tcurl/8\t1",
	"2026-06-01T12:00:04Z\tsvc\tmailer\troot\t192.0.2.2",
	"2026-06-01T12:00:05Z\tdecision\ttoken_canary\ttrap\t192.0.2.9|2026-06-01T12:00:07Z\taudit.gap\t-\t\t-",
	"2\tci\tno_rule_matched\t192.0.2.1",
	"2026-06-01T12:00:00Z\tpolicy.loaded\t1\t0",
	"i\t8\t1\t1",
}

// TestPage runs the jq programs of docs/audit.md on a log.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	programs := regexp.MustCompile("(?s)```jq\n(.*?)```").FindAllSubmatch(page, -1)
	if len(programs) != len(answers) || strings.Count(string(page), "```logql\n") != len(answers) {
		t.Fatalf("%d programs, want %d, and as many for LogQL", len(programs), len(answers))
	}
	log, err := os.ReadFile("testdata/page.log")
	if err != nil {
		t.Fatal(err)
	}
	var events []any
	for line := range strings.Lines(string(log)) {
		var e any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	for i, program := range programs {
		query, err := gojq.Parse(string(program[1]))
		if err != nil {
			t.Errorf("%s: %v", program[1], err)
			continue
		}
		var out []string
		for run := query.Run(events); ; {
			v, more := run.Next()
			if !more {
				break
			}
			out = append(out, fmt.Sprint(v))
		}
		if got := strings.Join(out, "|"); got != answers[i] {
			t.Errorf("program %d:\n%s\ngot  %q\nwant %q", i+1, program[1], got, answers[i])
		}
	}
}
