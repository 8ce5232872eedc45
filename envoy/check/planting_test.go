package check_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/envoy"
	"github.com/patgate/patgate/envoy/check"
	"github.com/patgate/patgate/test/golden"
)

// plant returns the configuration with a mistake.
func (m *mistake) plant(t *testing.T) string {
	t.Helper()
	if n := strings.Count(envoy.Standalone, m.old); n != 1 {
		t.Fatalf("%s: the text is there %d times: %q", m.name, n, m.old)
	}
	return strings.Replace(envoy.Standalone, m.old, m.new, 1)
}

// found checks one file, and returns what is found without its fixes.
func found(t *testing.T, name, text string, gates *check.Gates) (list []diag.Problem) {
	t.Helper()
	list, err := check.Check([]check.File{{Name: name, Data: []byte(text)}}, check.Options{Gates: gates})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, f := range list {
		if f.Fix == "" || f.Message == "" || f.Field == "" || f.Pos.Line == 0 || f.Pos.Column == 0 {
			t.Errorf("a finding lacks something: %s", f)
		}
	}
	return list
}

func codesOf(list []diag.Problem) []check.Code {
	var codes []check.Code
	for _, f := range list {
		if !slices.Contains(codes, f.Code) {
			codes = append(codes, f.Code)
		}
	}
	slices.Sort(codes)
	return codes
}

// fieldName is a name of a field with an underscore, before its colon.
var fieldName = regexp.MustCompile(`(^|[\s{,])([a-z0-9]+(?:_[a-z0-9]+)+):`)

// camelCase writes a configuration's fields in lowerCamelCase.
func camelCase(text string) string {
	return fieldName.ReplaceAllStringFunc(text, func(m string) string {
		for i := strings.IndexByte(m, '_'); i >= 0; i = strings.IndexByte(m, '_') {
			m = m[:i] + strings.ToUpper(m[i+1:i+2]) + m[i+2:]
		}
		return m
	})
}

// TestMistakes plants each mistake, in both styles of names, and checks that it is found
// where it is, and nothing else. The golden file shows each code, with the text
// that its place points to, as lines move with every change of standalone.yaml;
// mistakes.messages holds the messages, each of them once.
func TestMistakes(t *testing.T) {
	var got strings.Builder
	said := messages{}
	for _, m := range mistakes {
		text := m.plant(t)
		list := found(t, "envoy.yaml", text, nil)
		slices.Sort(m.want)
		if !slices.Equal(codesOf(list), m.want) {
			t.Errorf("%s: found %v, want %v", m.name, codesOf(list), m.want)
		}
		fmt.Fprintf(&got, "# %s\n", m.name)
		for _, f := range list {
			fmt.Fprintf(&got, "%s %s: %s\n  at %q\n", f.Severity, f.Code, shortened(f.Field), pointed(text, f))
			said.add(f, "")
		}
		camel := found(t, "envoy.yaml", camelCase(text), nil)
		if len(camel) != len(list) {
			t.Errorf("%s: %d findings, in lowerCamelCase %d", m.name, len(list), len(camel))
			continue
		}
		for i := range list {
			if camel[i].Code != list[i].Code || camel[i].Pos.Line != list[i].Pos.Line {
				t.Errorf("%s: %s\nin lowerCamelCase: %s", m.name, list[i], camel[i])
			}
		}
	}
	golden.File(t, "testdata/mistakes.golden", got.String())
	golden.File(t, "testdata/mistakes.messages", said.String())
}

// messages are the distinct messages of findings, with their codes.
type messages map[string]bool

// add adds a finding's message; dir is where its manifests are, if it has any.
func (m messages) add(f diag.Problem, dir string) {
	text := f.Message
	if dir != "" {
		text = strings.ReplaceAll(text, dir, "manifests")
	}
	m[fmt.Sprintf("%s: %s\n", f.Code, text)] = true
}

func (m messages) String() string { return strings.Join(slices.Sorted(maps.Keys(m)), "") }

// shortened is a path that starts at the connection manager.
func shortened(field string) string {
	return strings.Replace(field, "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.", "… ", 1)
}

// pointed is the text of a configuration that a finding points to.
func pointed(text string, f diag.Problem) string {
	line := []rune(strings.Split(text, "\n")[f.Pos.Line-1])[f.Pos.Column-1:]
	return string(line[:min(len(line), 40)])
}

// TestMistakesAreConfigurations checks that a real Envoy accepts each of them: a mistake that
// Envoy refuses by itself needs no check.
func TestMistakesAreConfigurations(t *testing.T) {
	binary, err := envoy.Binary()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	free := make(chan struct{}, 2)
	var running sync.WaitGroup
	for i, m := range mistakes {
		text := m.plant(t)
		if i%2 == 1 {
			text = camelCase(text)
		}
		file := filepath.Join(dir, fmt.Sprintf("%d.yaml", i))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		free <- struct{}{}
		running.Go(func() {
			defer func() { <-free }()
			out, err := exec.CommandContext(context.Background(), binary, "--mode", "validate", "-c", file, "--service-node", "n", "--service-cluster", "c", "--log-level", "error").CombinedOutput()
			if err != nil {
				t.Errorf("%s: Envoy refuses it: %v\n%s", m.name, err, out)
			}
		})
	}
	running.Wait()
}

// plainExamples are examples whose page says that tokens go to patgate unencrypted, and how to change that.
var plainExamples = []string{"first-token"}

// TestProjectConfigurations checks that the configurations people copy have no findings.
func TestProjectConfigurations(t *testing.T) {
	files, err := filepath.Glob("../*.yaml")
	examples, errExamples := filepath.Glob("../../docs/examples/*/envoy.yaml")
	if err != nil || errExamples != nil || len(files) < 6 || len(examples) < 1 {
		t.Fatal(err, errExamples, files, examples)
	}
	files = append(files, examples...)
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{string(text), camelCase(string(text))} {
			for _, f := range found(t, name, text, nil) {
				if f.Suppressed != "" || f.Code == check.NoTLS && slices.Contains(plainExamples, filepath.Base(filepath.Dir(name))) {
					continue
				}
				t.Error(f)
			}
		}
	}
}
