package audit_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"strings"
	"testing"

	"github.com/patgate/patgate/audit"
)

const findLog = `{"v":1,"seq":1,"instance":"i","time":"2026-06-01T12:00:00Z","kind":"policy.loaded"}
{"v":1,"seq":2,"instance":"i","time":"2026-06-01T12:00:01Z","kind":"decision","id":"UKGHRAAAAAAAAAAAAAAAAAAAAA","decision":"deny"}
time=2026-06-01T12:00:00Z level=INFO msg=loaded
[pod/patgate-0/patgate] {"v":1,"seq":3,"instance":"i","time":"2026-06-01T12:00:02Z","kind":"decision","id":"UKGHRAAABBBBBBBBBBBBBBBBBB","decision":"allow"}
2026-06-01T12:00:03.1Z stdout F {"v":1,"seq":4,"instance":"i","time":"2026-06-01T12:00:03Z","kind":"decision","id":"4DLDQ7JHXLW7PQNMC7KG54Q7YV","decision":"deny"}
{"log":"{\"v\":1,\"seq\":5,\"instance\":\"i\",\"time\":\"2026-06-01T12:00:04Z\",\"kind\":\"decision\",\"id\":\"wrapped\",\"decision\":\"deny\"}"}
`

func find(id string, logs ...string) (*audit.Entry, audit.ReadStats, error) {
	var inputs []audit.Input
	for _, l := range logs {
		inputs = append(inputs, audit.Input{Name: "log", Reader: strings.NewReader(l)})
	}
	return audit.FindDecision(inputs, id)
}

func TestFindDecision(t *testing.T) {
	for id, want := range map[string]uint64{
		"": 5, "UKGHRAAAAAAAAAAAAAAAAAAAAA": 2, "ukghraaab": 3, "UKGHRAAABBBB": 3, "4dldq7jh": 4, "wrapped": 5, "WRAPPED": 5,
	} {
		e, stats, err := find(id, findLog)
		if err != nil || e.Seq != want {
			t.Errorf("%q: %v, %v, want seq %d", id, e, err, want)
		}
		if stats.Events != 5 || stats.Skipped != 1 {
			t.Errorf("%q: %+v", id, stats)
		}
	}
	for id, want := range map[string]string{
		"UKGHRAAA":    "several decisions begin with UKGHRAAA, expected more of its characters",
		"UKGHRAA":     "no decision UKGHRAA in it, expected a whole id, or its first 8 characters or more (5 events and 1 other lines were read)",
		"UKGHRAAAZZZ": "no decision UKGHRAAAZZZ in it, expected a log that has it (5 events and 1 other lines were read)",
	} {
		if _, _, err := find(id, findLog); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", id, err, want)
		}
	}
	if _, _, err := find("", "nothing\nhere\n"); err == nil || !strings.Contains(err.Error(), "no event of patgate in it") || !strings.Contains(err.Error(), "2 other lines") {
		t.Errorf("no events: %v", err)
	}
	if e, stats, err := find("wrapped", "x\n", findLog, findLog); err != nil || e.Line != 6 || stats.Events != 10 {
		t.Errorf("several logs: %v, %+v, %v", e, stats, err)
	}
}

func TestFindDecisionInCutLog(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(findLog))
	_ = z.Flush()
	e, _, err := find("4dldq7jh", b.String())
	var cut *audit.CutError
	if e == nil || e.Seq != 4 || !errors.As(err, &cut) {
		t.Errorf("%v, %v", e, err)
	}
}
