package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/patgate/patgate/extauthz"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/test/marks"
	"github.com/patgate/patgate/token"
)

// A stage is a place in the code of a check, and a value there that identifies which
// request it is. A build with a panic planted at each shows that any failure, anywhere, is
// a refusal. A stage panics for requests and tokens with its name.
type stage struct {
	name string // of its mark, `// panic: NAME`, at the end of the line before which it panics
	at   string // what identifies the request there
}

// The stages of a check in their order. Those of policy.Step are planted all at once.
var stages = []stage{
	{"decode", "message"},
	{"read", "a.path"},
	{"snapshot", "c.request.Target.Raw"},
	{"evaluate", "r.Target.Raw"},
	{"identify", "e.request.Target.Raw"},
	{"denies", "e.request.Target.Raw"},
	{"allows", "e.request.Target.Raw"},
	{"query", "e.request.Target.Raw"},
	{"body", "e.request.Target.Raw"},
	{"decided", "e.request.Target.Raw"},
	{"allow", "tokenName(&a.decision)"},
	{"refusal", "tokenName(&a.decision)"},
	{"metadata", "tokenName(d)"},
	{"problem", "tokenName(&a.decision)"},
	{"compose", "tokenName(&a.decision)"},
	{"event", "r.Target.Raw"},
	{"line", "e.Path"},
	{"queue", "e.Path"}, // by grpc-go, one event at a time
	{"batch", "e.Path"}, // by our own transport
	{"metrics", "textOf(d.Token)"},
}

// onlyBy names the transport whose checks reach a stage, unless both do.
var onlyBy = map[string]string{
	"queue": extauthz.TransportGRPC, "batch": extauthz.TransportH2,
	"answer": extauthz.TransportGRPC, "writer": extauthz.TransportGRPC, "response": extauthz.TransportH2,
}

// reached reports whether checks reach a stage by the transport of the test.
func reached(stage string) bool {
	by := onlyBy[stage]
	return by == "" || by == os.Getenv("PATGATE_TRANSPORT")
}

// What makes a manifest's row.
var compiling = []stage{{"compile", "d.Metadata.Name.Text"}}

// The stages outside of any check: a panic there ends the process.
var deadly = []stage{
	{"answer", "answerOf(v)"},
	{"response", "string(message)"},
	{"writer", "string(w.buffer)"},
}

// TestPanicsInEveryStage makes a check panic in each of its stages, behind an Envoy that
// would let errors pass. Each is refused with 500 and has its event, and ordinary calls
// in flight with it are answered as usual.
func TestPanicsInEveryStage(t *testing.T) { onBothTransports(t, testPanicsInEveryStage) }

func testPanicsInEveryStage(t *testing.T) {
	names := []string{"ordinary"}
	for _, s := range stages {
		names = append(names, s.name)
	}
	dir, values := t.TempDir(), map[string]string{}
	text := gateManifest + "---\n" + kind("bounds", "TokenPolicy", "deny:\n- path: /never\n")
	for _, name := range names {
		values[name] = token.Mint().Reveal()
		grant := "policies: [bounds]\nallow:\n- methods: [GET]\n  path: /rest/.*\n- methods: [POST]\n  path: /rest/.*\n  query: {q: \"1\"}\n  json: {a: \"1\"}\n"
		text += strings.Replace(tokenManifest(planted(name), values[name], ""), "  unrestricted: true\n", indent(grant), 1)
	}
	write(t, filepath.Join(dir, "m.yaml"), text)
	s := behindEnvoy(t, startBinary(t, plantedBinary(t), dir), replacing(t, "failure_mode_allow: false", "failure_mode_allow: true"))
	l := startLoad(t, 2, "http://"+s.clients+"/rest/x", "Bearer "+values["ordinary"])
	cases := map[string]ask{}
	for step := policy.StepReady; step <= policy.StepActAs; step++ {
		a := ask{path: "/rest/" + planted(stepName(step)), authorization: "Bearer " + values["ordinary"]}
		if step == policy.StepForward {
			a.authorization = "Bearer " + token.Mint().Reveal()
		}
		cases["step "+step.String()] = a
	}
	for _, st := range stages {
		if !reached(st.name) {
			continue
		}
		a := ask{path: "/rest/" + planted(st.name), authorization: "Bearer " + values[st.name]}
		switch st.name {
		case "query", "body":
			a.method, a.path, a.body = http.MethodPost, a.path+"?q=1", `{"a": 1}`
		case "refusal", "problem":
			a.method = http.MethodDelete
		}
		cases[st.name] = a
	}
	for name, a := range cases {
		t.Run(name, func(t *testing.T) {
			got := s.http(t, a)
			if got.status != http.StatusInternalServerError || !strings.Contains(got.body, `"reason":"internal"`) {
				t.Errorf("%d %s", got.status, got.body)
			}
			want := "deny internal 500"
			if name == "metrics" {
				want = "allow ok 0" // its event was written before; no client got the allow
			}
			if e := got.event; fmt.Sprintf("%s %s %d", e.Decision, e.Reason, e.Status) != want {
				t.Errorf("the event says %s %s %d, want %s", e.Decision, e.Reason, e.Status, want)
			}
		})
	}
	rejectsWhatPanics(t, s.patgate, dir)
	l.awaitMore(t)
	l.end()
	if n := l.refused.Load(); n > 0 {
		t.Errorf("%d ordinary calls were refused meanwhile", n)
	}
	if n := s.metrics()["patgate_check_faults_total"]; int(n) != len(cases) {
		t.Errorf("%v faults were counted for %d panics", n, len(cases))
	}
	if log := s.log(); strings.Count(log, "planted in") > strings.Count(log, "planted in compile") {
		t.Error("the value of a panic is in the log, and it may hold what a client sent")
	}
	s.wantInvariants(l)
	s.holdsNo(values)
}

// rejectsWhatPanics adds a manifest whose compiling panics: the load is rejected, as with any
// broken file.
func rejectsWhatPanics(t *testing.T, p *patgate, dir string) {
	t.Helper()
	write(t, filepath.Join(dir, "broken.yaml"), tokenManifest(planted("compile"), token.Mint().Reveal(), ""))
	rejected := p.find("a load that is rejected", func(e *event) bool { return e.Kind == "policy.rejected" })
	if rejected.Severity != "alert" || len(rejected.Problems) == 0 || !strings.Contains(rejected.Problems[0], "a fault of patgate") {
		t.Errorf("%+v", rejected)
	}
	if err := os.Remove(filepath.Join(dir, "broken.yaml")); err != nil {
		t.Fatal(err)
	}
	p.find("the mended load", func(e *event) bool { return e.Kind == "policy.loaded" && e.Seq > rejected.Seq })
}

// TestDeadlyPanics ends the process by a panic where no check can catch it. Envoy refuses,
// and patgate works after the next start.
func TestDeadlyPanics(t *testing.T) { onBothTransports(t, testDeadlyPanics) }

func testDeadlyPanics(t *testing.T) {
	dir, value := t.TempDir(), token.Mint().Reveal()
	text := gateManifest + "---\n" + tokenManifest("ordinary", value, "")
	values := map[string]string{}
	for _, st := range deadly {
		values[st.name] = token.Mint().Reveal()
		text += tokenManifest(tokenOf(st), values[st.name], "")
	}
	write(t, filepath.Join(dir, "m.yaml"), text)
	p := startBinary(t, plantedBinary(t), dir)
	s := behindEnvoy(t, p, nil)
	l := startLoad(t, 2, "http://"+s.clients+"/rest/x", "Bearer "+value)
	for _, st := range deadly {
		if !reached(st.name) {
			continue
		}
		l.awaitMore(t)
		passed := false
		status, err := call(plainClient, "http://"+s.clients+"/rest/"+planted(st.name), "Bearer "+values[st.name])
		if err != nil || status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d, %v", st.name, status, err)
		}
		<-p.exited
		if !strings.Contains(p.log(), "planted in "+st.name) {
			t.Errorf("%s: it ended for another reason: %s", st.name, p.log())
		}
		s.upstream.ids.Range(func(id, _ any) bool {
			for _, e := range s.decisions() {
				passed = passed || e.ID == id && e.Token == tokenOf(st)
			}
			return true
		})
		if passed {
			t.Errorf("%s: the request reached the upstream", st.name)
		}
		p.exited = make(chan struct{})
		p.start(dir)
	}
	l.awaitMore(t)
	l.end()
	s.wantLast(value)
	s.wantInvariants(l)
}

// planted is the name of requests and tokens that make a stage panic.
func planted(stage string) string { return "planted-" + stage + "-here" }

// tokenOf is the name of a stage's token. That of the writer makes no panic: it is in the event
// of the load, too.
func tokenOf(s stage) string {
	if s.name == "writer" {
		return "of-the-writer"
	}
	return planted(s.name)
}

// stepName is the name of a step's stage.
func stepName(s policy.Step) string { return fmt.Sprintf("step%d", s) }

// plantedBinary builds patgate, once, with a panic in each stage and in each step of Evaluate.
// The tree stays as it is: the build reads the changed files from elsewhere.
func plantedBinary(t *testing.T) string {
	t.Helper()
	dir, root := filepath.Dir(binary), repository(t)
	out := filepath.Join(dir, "patgate-planted")
	if _, err := os.Stat(out); err == nil {
		return out
	}
	texts := map[string]string{}
	code := map[string]string{stepMark: "plantedStep(s, e.request.Target.Raw)"}
	for _, s := range slices.Concat(stages, compiling, deadly) {
		code[s.name] = fmt.Sprintf("planted(%q, %s)", s.name, s.at)
	}
	for file, marked := range markedLines(t, root) {
		b, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(b), "\n")
		for name, i := range marked {
			lines[i] = code[name] + "\n" + lines[i]
		}
		texts[file] = strings.Join(lines, "\n")
	}
	for _, name := range []string{"policy", "extauthz", "extauthz/wire", "audit", "server", "ruleset"} {
		texts[name+"/planted.go"] = "package " + filepath.Base(name) + plantedCode
	}
	texts["policy/planted.go"] += "func plantedStep(s Step, at string) { planted(fmt.Sprintf(\"step%d\", s), at) }\n"
	texts["extauthz/planted.go"] += "func answerOf(v any) string { if r, ok := v.(*reply); ok { return string(r.wire) }; return \"\" }\n"
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for file, text := range texts {
		path := filepath.Join(dir, "planted_"+strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[filepath.Join(root, file)] = path
	}
	b, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, b, 0o644); err != nil {
		t.Fatal(err)
	}
	build(t, out, raceFlag, "-overlay", list, "./cmd/patgate")
	return out
}

// stepMark is the mark where each step of Evaluate panics.
const stepMark = "step"

// markedLines returns the marked lines, by file and name.
func markedLines(t *testing.T, root string) map[string]map[string]int {
	t.Helper()
	found, err := marks.Find(root, marks.Panic)
	if err != nil {
		t.Fatal(err)
	}
	byFile := map[string]map[string]int{}
	for name, m := range found {
		if byFile[m.File] == nil {
			byFile[m.File] = map[string]int{}
		}
		byFile[m.File][name] = m.Line
	}
	return byFile
}

// TestStagesFit checks that each stage's mark is in the code once, and that each mark of the code
// has a stage.
func TestStagesFit(t *testing.T) {
	found, err := marks.Find(repository(t), marks.Panic)
	if err != nil {
		t.Fatal(err)
	}
	used := []string{stepMark}
	for _, s := range slices.Concat(stages, compiling, deadly) {
		used = append(used, s.name)
	}
	for _, problem := range marks.Compare(found, used) {
		t.Error(problem)
	}
}

// build builds patgate with these arguments.
func build(t *testing.T, out string, args ...string) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"build", "-o", out}, args...)...)
	cmd.Dir = repository(t)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

const plantedCode = `

import (
	"fmt"
	"strings"
)

func textOf(v any) string { return fmt.Sprint(v) }

func planted(stage, at string) {
	if strings.Contains(at, "planted-"+stage+"-here") {
		panic("planted in " + stage)
	}
}
`

// repository is where the module is.
func repository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}
