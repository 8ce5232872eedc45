package test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
)

// wantReplayed replays everything that was decided with the manifests that decided it: each event that can be
// replayed has the same verdict, and most can be.
func (p *patgate) wantReplayed(manifests string) {
	p.t.Helper()
	p.mu.Lock()
	log := strings.Join(p.lines, "\n") + "\n"
	p.mu.Unlock()
	file := filepath.Join(p.t.TempDir(), "audit.jsonl")
	write(p.t, file, log)
	for _, against := range [][]string{nil, {"--against", manifests}} {
		out, err := exec.Command(p.binary, append([]string{"replay", "--log", file, "--manifests", manifests, "-o", "json"}, against...)...).Output()
		if err != nil {
			p.t.Fatalf("replay: %v", err)
		}
		var result struct {
			Events, Same, NewlyAllowed, NewlyDenied, Unreplayable int
			Differences                                           []json.RawMessage
			ReasonsUnreplayable                                   map[string]int
		}
		if err := json.Unmarshal(out, &result); err != nil {
			p.t.Fatal(err)
		}
		p.t.Logf("replay %v: %d events, %d same, %d cannot be replayed: %v", against, result.Events, result.Same, result.Unreplayable, result.ReasonsUnreplayable)
		if result.Events == 0 || result.NewlyAllowed+result.NewlyDenied > 0 || result.Same*3 < result.Events*2 {
			p.t.Errorf("replay %v: %d newly allowed, %d newly denied, %d of %d the same", against, result.NewlyAllowed, result.NewlyDenied, result.Same, result.Events)
		}
		for _, d := range result.Differences[:min(len(result.Differences), 40)] {
			var one struct{ Example string }
			_ = json.Unmarshal(d, &one)
			p.t.Errorf("replayed otherwise: %s\n%s", d, lineOf(log, one.Example))
		}
	}
}

// lineOf returns the line of a log that has an id.
func lineOf(log, id string) string {
	for line := range strings.Lines(log) {
		if strings.Contains(line, `"id":"`+id+`"`) {
			return line
		}
	}
	return ""
}
