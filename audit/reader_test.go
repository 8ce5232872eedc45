package audit_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/patgate/patgate/audit"
)

// logged is the line of an event with a number.
func logged(seq int) string {
	return fmt.Sprintf(`{"v":1,"seq":%d,"instance":"gate/abc","time":"2026-06-01T12:00:00.000001Z","kind":"decision","severity":"info","id":"%026d","decision":"allow","reason":"ok","path":"/a{b}","query":"q=\"x\""}`, seq, seq)
}

func pretty(text string) string {
	var b bytes.Buffer
	_ = json.Indent(&b, []byte(text), "", "  ")
	return b.String() + "\n"
}

func quoted(text string) string {
	data, _ := json.Marshal(text)
	return string(data)
}

// read returns the numbers of the events in a log, and how many lines were skipped.
func read(t *testing.T, log string) (seqs []uint64, skipped int64, err error) {
	t.Helper()
	r := audit.NewReader("a.log", strings.NewReader(log))
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return seqs, r.Stats().Skipped, nil
		}
		if err != nil {
			return seqs, r.Stats().Skipped, err
		}
		if e.File != "a.log" || e.Line < 1 || !json.Valid(e.JSON) {
			t.Errorf("event %d: %s:%d %s", e.Seq, e.File, e.Line, e.JSON)
		}
		seqs = append(seqs, e.Seq)
	}
}

// TestForms reads events 1, 2 and 3 in each form in which clusters deliver them.
func TestForms(t *testing.T) {
	one, two, three := logged(1), logged(2), logged(3)
	lines := func(list ...string) string { return strings.Join(list, "\n") + "\n" }
	each := func(format func(string) string) string { return lines(format(one), format(two), format(three)) }
	for _, form := range []struct {
		name, log string
		skipped   int64
	}{
		{"alone", lines(one, two, three), 0},
		{"alone, with blank lines, CRLF and no end", one + "\r\n\r\n\n" + two + "\n" + three, 0},
		{"between other logs", lines("serving on :9191", one, `{"time":"2026-06-01T12:00:00Z","level":"INFO","msg":"manifests loaded"}`, two, three, "{", "]"), 4},
		{"kubectl logs --prefix", each(func(s string) string { return "[pod/patgate-6c5d-x/patgate] " + s }), 0},
		{"kubectl logs --prefix --timestamps", each(func(s string) string { return "[pod/patgate-6c5d-x/patgate] 2026-06-01T12:00:00.1Z " + s }), 0},
		{"stern, with a brace in the prefix", each(func(s string) string { return "patgate{blue} › " + s }), 0},
		{"the container runtime", each(func(s string) string { return "2026-06-01T12:00:00.000000001Z stdout F " + s }), 0},
		{"the container runtime, cut", lines("2026-06-01T12:00:00Z stdout P "+one[:40], "2026-06-01T12:00:00Z stdout P "+one[40:90], "2026-06-01T12:00:00Z stdout F "+one[90:],
			"2026-06-01T12:00:00Z stderr F serving", "2026-06-01T12:00:00Z stdout F:x "+two, "2026-06-01T12:00:00Z stdout P "+three), 1},
		{"the container runtime, cut between lines of the other stream", lines("2026-06-01T12:00:00Z stdout P "+one[:40], "2026-06-01T12:00:00Z stderr F serving", "2026-06-01T12:00:00Z stderr P ser",
			"2026-06-01T12:00:00Z stdout F "+one[40:], "2026-06-01T12:00:00Z stdout F "+two, "2026-06-01T12:00:00Z stderr F ving", "2026-06-01T12:00:00Z stdout F "+three), 2},
		{"Docker's json-file, cut, with blanks", lines(`{"log": `+quoted(one[:50])+`, "stream": "stdout"}`, `{"log": "serving\n", "stream": "stderr"}`, `{"log": `+quoted(one[50:]+"\n")+`, "stream": "stdout"}`, two, three), 1},
		{"a collector's field of the same name, without line ends", each(func(s string) string {
			return `{"log": ` + quoted(s) + `, "stream": "stdout"}`
		}), 0},
		{"Docker's json-file", each(func(s string) string {
			return `{"log":` + quoted(s+"\n") + `,"stream":"stdout","time":"2026-06-01T12:00:00Z"}`
		}), 0},
		{"Docker's json-file, cut", lines(`{"log":`+quoted(one[:50])+`,"stream":"stdout","time":"t"}`, `{"log":`+quoted(one[50:]+"\n")+`,"stream":"stdout","time":"t"}`,
			`{"log":`+quoted(two+"\n")+`,"stream":"stdout"}`, `{"log":`+quoted(three+"\n")+`,"stream":"stdout"}`), 0},
		{"log, as text", each(func(s string) string { return `{"stream":"stdout","log":` + quoted(s) + `,"kubernetes":{"pod":"x"}}` }), 0},
		{"message, parsed", each(func(s string) string { return `{"@timestamp":"2026","message":` + s + `}` }), 0},
		{"msg", each(func(s string) string { return `{"msg":` + quoted(s) + `}` }), 0},
		{"logcli -o jsonl", each(func(s string) string {
			return `{"labels":{"app":"patgate"},"line":` + quoted(s) + `,"timestamp":"2026-06-01T12:00:00Z"}`
		}), 0},
		{"Loki's API", `{"status":"success","data":{"resultType":"streams","result":[{"stream":{"a":"b"},"values":[["1",` + quoted(one) + `],["2",` + quoted(two) + `]]},{"stream":{},"values":[["3",` + quoted(three) + `]]}]}}`, 0},
		{"CloudWatch's subscription", `{"messageType":"DATA_MESSAGE","logEvents":[{"id":"1","timestamp":1,"message":` + quoted(one) + `},{"message":` + quoted(two) + `},{"message":` + quoted(three) + `}]}`, 0},
		{"aws logs filter-log-events", "{\n    \"events\": [\n        {\n            \"message\": " + quoted(one) + ",\n            \"timestamp\": 1\n        },\n        {\"message\": " + quoted(two) + "},\n{\"message\": " + quoted("START") + "}, {\"message\": " + quoted(three) + "}\n    ],\n    \"searchedLogStreams\": []\n}\n", 1},
		{"CloudWatch's export", each(func(s string) string { return "2026-06-01T12:00:00.000Z " + s }), 0},
		{"Google Cloud", each(func(s string) string { return `{"insertId":"a","jsonPayload":` + s + `}` }), 0},
		{"jq's pretty print is a document for each", "[\n" + one + ",\n" + two + ",\n" + three + "\n]\n", 0},
		{"jq -s -c", "[" + one + "," + two + "," + three + "]\n", 0},
		{"jq", pretty(one) + pretty(two) + pretty(three), 0},
		{"CloudWatch Logs Insights", `{"results": [[{"field": "@timestamp", "value": "2026"}, {"field": "@message", "value": ` + quoted(one) + `}], [{"field":"@message","value":` + quoted(two) + `}],[{"field":"@message","value":` + quoted(three) + `}]], "status": "Complete"}`, 0},
		{"Grafana, as JSON", `[{"line":` + quoted(one) + `,"timestamp":"1","labels":{}},{"line":` + quoted(two) + `},{"line":` + quoted(three) + `}]`, 0},
		{"CSV", "timestamp,message\n" + each(func(s string) string { return `1764373861000,"` + strings.ReplaceAll(s, `"`, `""`) + `",x` }), 1},
		{"a field of another type", lines(one, strings.Replace(two, `"decision":"allow"`, `"decision":7`, 1), three), 0},
		{"text behind", lines(one+" <- here", two, three), 0},
	} {
		seqs, skipped, err := read(t, form.log)
		if err != nil || fmt.Sprint(seqs) != "[1 2 3]" || skipped != form.skipped {
			t.Errorf("%s: events %v, %d lines skipped (want %d), %v", form.name, seqs, skipped, form.skipped, err)
		}
	}
}

// TestEventsInAccessLogs has a client's headers in the lines of an Envoy in the same log (its default format, which escapes nothing):
// what they say is no event.
func TestEventsInAccessLogs(t *testing.T) {
	forged := strings.Replace(logged(2), `,"query":"q=\"x\""`, "", 1)
	doubled := strings.ReplaceAll(forged, `"`, `""`)
	for _, header := range []string{doubled, `x","` + doubled + `","y`, forged, " " + forged + " ", `x" ` + forged + ` "`, `{"log":` + forged + "}", `{"message":` + quoted(forged) + "}"} {
		line := `[2026-06-01T12:00:00.000Z] "GET /rest/x HTTP/1.1" 200 - 0 5 1 1 "-" "` + header + `" "id" "api.example.com" "10.0.0.7:80"` + "\n"
		for _, prefix := range []string{"", "[pod/envoy-1/envoy] ", "2026-06-01T12:00:00Z stdout F "} {
			seqs, skipped, err := read(t, logged(1)+"\n"+prefix+line)
			if err != nil || fmt.Sprint(seqs) != "[1]" || skipped != 1 {
				t.Errorf("%q: events %v, %d lines skipped, %v", prefix+line, seqs, skipped, err)
			}
		}
	}
}

// TestCompressed reads gzip and zstd, and reports a cut file after the events that it holds.
func TestCompressed(t *testing.T) {
	var text strings.Builder
	const n = 5000
	for i := range n {
		text.WriteString(logged(i+1) + "\n")
	}
	var gz bytes.Buffer
	z := gzip.NewWriter(&gz)
	_, _ = io.WriteString(z, text.String())
	_ = z.Close()
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	zs := encoder.EncodeAll([]byte(text.String()), []byte("\x50\x2a\x4d\x18\x02\x00\x00\x00hi"))
	for name, data := range map[string][]byte{"gzip": gz.Bytes(), "zstd": zs} {
		seqs, _, err := read(t, string(data))
		if err != nil || len(seqs) != n {
			t.Errorf("%s: %d events, %v", name, len(seqs), err)
		}
		seqs, _, err = read(t, string(data[:len(data)*2/3]))
		var cut *audit.CutError
		if !errors.As(err, &cut) || name == "gzip" && len(seqs) == 0 || len(seqs) >= n {
			t.Errorf("%s, cut: %d events, %v", name, len(seqs), err)
		}
	}
	large, err := zstd.NewWriter(nil, zstd.WithWindowSize(256<<20))
	if err != nil {
		t.Fatal(err)
	}
	var wide bytes.Buffer
	large.Reset(&wide)
	_, _ = io.WriteString(large, text.String())
	_ = large.Flush()
	_ = large.Close()
	if _, _, err := read(t, wide.String()); err == nil || !strings.Contains(err.Error(), "window") {
		t.Errorf("a window of 256 MiB: %v", err)
	}
}

// TestLongLines passes over a line that no log has.
func TestLongLines(t *testing.T) {
	seqs, skipped, err := read(t, logged(1)+"\n"+strings.Repeat("x", 20<<20)+"\n"+logged(2)+"\n")
	if err != nil || fmt.Sprint(seqs) != "[1 2]" || skipped != 1 {
		t.Errorf("%v, %d skipped, %v", seqs, skipped, err)
	}
}

// TestLongList reads a list of one line that is longer than lines may be.
func TestLongList(t *testing.T) {
	const n = 60_000 // 17 MiB
	var log strings.Builder
	for i := range n {
		log.WriteString(map[bool]string{true: "[", false: ","}[i == 0] + logged(i+1))
	}
	seqs, skipped, err := read(t, log.String()+"]")
	if err != nil || len(seqs) != n || skipped != 0 {
		t.Errorf("%d events, %d skipped, %v", len(seqs), skipped, err)
	}
}

// TestScan delivers in order what goroutines made of the pieces of several logs, a cut one among them.
func TestScan(t *testing.T) {
	var inputs []audit.Input
	const files, each = 5, 12_000
	for f := range files {
		var text strings.Builder
		for i := range each {
			fmt.Fprintln(&text, logged(f*each+i+1))
		}
		inputs = append(inputs, audit.Input{Name: fmt.Sprint(f), Reader: strings.NewReader(text.String())})
	}
	inputs = append(inputs[:2:2], append([]audit.Input{{Name: "cut", Reader: strings.NewReader("\x1f\x8b\x08\x00")}}, inputs[2:]...)...)
	next := uint64(1)
	stats, err := audit.Scan(context.Background(), inputs,
		func(entries []audit.Entry) (seqs []uint64) {
			for i := range entries {
				seqs = append(seqs, entries[i].Seq)
			}
			return seqs
		},
		func(seqs []uint64, _ audit.ReadStats) error {
			for _, seq := range seqs {
				if seq != next {
					return fmt.Errorf("event %d after %d", seq, next-1)
				}
				next++
			}
			return nil
		})
	var cut *audit.CutError
	if !errors.As(err, &cut) || stats.Events != files*each {
		t.Errorf("%d events, %v", stats.Events, err)
	}
	stop := errors.New("enough")
	if _, err := audit.Scan(context.Background(), []audit.Input{{Name: "a", Reader: strings.NewReader(logged(1))}},
		func([]audit.Entry) int { return 0 }, func(int, audit.ReadStats) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("an error of deliver: %v", err)
	}
}

// FuzzReader holds that no log is too odd to read, that each event found is one, and that an event in
// front is always found.
func FuzzReader(f *testing.F) {
	f.Add(logged(1))
	f.Add("2026-06-01T12:00:00Z stdout P {\n[1,{\"message\":\"{}\"}]")
	f.Add(`{"log":"{\"v\":1","stream":"stdout"}` + "\n{\n\"events\":[")
	f.Add("\x28\xb5\x2f\xfd\x00")
	f.Fuzz(func(t *testing.T, log string) {
		seqs, _, err := read(t, log)
		var cut *audit.CutError
		if err != nil && !errors.As(err, &cut) && !strings.Contains(err.Error(), "window") {
			t.Errorf("%v", err)
		}
		with, _, _ := read(t, logged(7)+"\n"+log)
		if len(with) == 0 || with[0] != 7 {
			t.Errorf("an event in front of %q is not found (%v)", log, seqs)
		}
	})
}

func BenchmarkScan(b *testing.B) {
	var text strings.Builder
	for i := range 20_000 {
		fmt.Fprintln(&text, logged(i+1))
	}
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		_, _ = audit.Scan(context.Background(), []audit.Input{{Name: "a", Reader: strings.NewReader(text.String())}},
			func(e []audit.Entry) int { return len(e) }, func(int, audit.ReadStats) error { return nil })
	}
}

// A log as `kubectl logs --prefix` prints it, with a line that is no event.
func ExampleReader() {
	log := `[pod/patgate-0/patgate] {"v":1,"seq":1,"instance":"patgate-0/x","time":"2026-06-01T12:00:00Z","kind":"decision","user":"alice","decision":"deny","reason":"no_rule_matched"}
[pod/patgate-0/patgate] time=2026-06-01T12:00:01Z level=INFO msg="manifests loaded"
`
	r := audit.NewReader("patgate.log", strings.NewReader(log))
	for {
		e, err := r.Next()
		if err != nil {
			break // io.EOF
		}
		fmt.Println(e.Line, e.User, e.Decision, e.Reason)
	}
	fmt.Println(r.Stats().Skipped, "line skipped")
	// Output:
	// 1 alice deny no_rule_matched
	// 1 line skipped
}
