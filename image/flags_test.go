package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"gopkg.in/yaml.v3"
)

// stages reads the Dockerfile as BuildKit does, which must have no warning.
func stages(t *testing.T) []instructions.Stage {
	t.Helper()
	f, err := os.Open("../Dockerfile")
	mustDo(t, err)
	defer f.Close()
	parsed, err := parser.Parse(f)
	mustDo(t, err)
	list, _, err := instructions.Parse(parsed.AST, linter.New(&linter.Config{
		Warn: func(rule, _, _, message string, where []parser.Range) {
			t.Errorf("Dockerfile:%d: %s: %s", where[0].Start.Line, rule, message)
		},
	}))
	mustDo(t, err)
	if len(list) != 2 {
		t.Fatalf("the Dockerfile has %d stages, want 2", len(list))
	}
	return list
}

// text is a stage's instructions, one a line.
func text(s instructions.Stage) string {
	var b strings.Builder
	for _, c := range s.Commands {
		fmt.Fprintf(&b, "\n%s", c)
	}
	return b.String() + "\n"
}

// releaseBuild is what goreleaser builds.
type releaseBuild struct {
	Main, Binary                                        string
	Env, Flags, Ldflags, Goos, Goarch, Goamd64, Goarm64 []string
}

func theRelease(t *testing.T) releaseBuild {
	t.Helper()
	text, err := os.ReadFile("../.goreleaser.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var release struct{ Builds []releaseBuild }
	if err := yaml.Unmarshal(text, &release); err != nil {
		t.Fatal(err)
	}
	if len(release.Builds) != 1 {
		t.Fatalf("goreleaser has %d builds, want 1", len(release.Builds))
	}
	return release.Builds[0]
}

// TestReleaseCompiles builds for each system of a release that the image is not for, on one
// architecture: what differs between systems is which files are compiled.
func TestReleaseCompiles(t *testing.T) {
	b := theRelease(t)
	for _, system := range b.Goos {
		if system == "linux" {
			continue
		}
		if err := compile(source, filepath.Join(t.TempDir(), "patgate"), system, "arm64"); err != nil {
			t.Error(err)
		}
	}
	if !slices.Contains(b.Goos, "linux") || !slices.Equal(b.Goarch, []string{"amd64", "arm64"}) {
		t.Errorf("a release for %v on %v", b.Goos, b.Goarch)
	}
}

// TestEveryBuildIsTheSame checks that the Dockerfile and goreleaser build with the flags
// of the image.
func TestEveryBuildIsTheSame(t *testing.T) {
	dockerfile := text(stages(t)[0])
	quoted := strings.Replace(strings.Join(buildFlags, " "), "-ldflags=-s -w", `-ldflags="-s -w"`, 1)
	if !strings.Contains(dockerfile, "go build "+quoted+" -o /out/patgate ./cmd/patgate\n") {
		t.Errorf("Dockerfile does not build with %s", quoted)
	}
	if want := "\nENV " + strings.Join(buildEnvironment, " ") + "\n"; !strings.Contains(dockerfile, want) {
		t.Errorf("Dockerfile does not say%s", want)
	}

	b := theRelease(t)
	for _, level := range []struct {
		name string
		list []string
	}{{"GOAMD64", b.Goamd64}, {"GOARM64", b.Goarm64}} {
		b.Env = append(b.Env, level.name+"="+strings.Join(level.list, ","))
	}
	flags := append(b.Flags, "-ldflags="+strings.Join(b.Ldflags, " "))
	if !slices.Equal(flags, buildFlags) || !slices.Equal(b.Env, buildEnvironment) || b.Main != "./cmd/patgate" {
		t.Errorf("goreleaser builds %s with %q and %q, want %q and %q", b.Main, flags, b.Env, buildFlags, buildEnvironment)
	}
}

// TestDockerfileIsTheSameImage compares its last stage with the image that is built here.
func TestDockerfileIsTheSameImage(t *testing.T) {
	all := stages(t)
	for _, s := range all {
		if !regexp.MustCompile(`:[\w.-]*[a-z][\w.-]*$`).MatchString(s.BaseName) || strings.HasSuffix(s.BaseName, ":latest") {
			t.Errorf("%s: not pinned by an exact tag", s.BaseName)
		}
	}
	if base := all[1].BaseName; base != "gcr.io/distroless/static-debian13:nonroot" {
		t.Errorf("the base image is %s", base)
	}
	stage := text(all[1])
	if strings.Contains(stage, "\nRUN ") || strings.Contains(stage, "\nCMD ") {
		t.Errorf("the last stage has no shell to run anything with:%s", stage)
	}
	want := []string{
		"USER " + user, "WORKDIR /",
		"EXPOSE " + strings.Join(ports, " "), fmt.Sprintf("ENTRYPOINT [%q]", entrypoint),
		"COPY --from=build /out/patgate " + entrypoint, "COPY --from=build /out/licenses /licenses",
	}
	for _, line := range want {
		if !strings.Contains(stage, "\n"+line+"\n") {
			t.Errorf("the last stage lacks: %s", line)
		}
	}
	for key, value := range labels {
		if !strings.Contains(stage, fmt.Sprintf("%s=%q", key, value)) {
			t.Errorf("the last stage lacks the label %s=%q", key, value)
		}
	}
}

// TestDockerIgnoresNothingTracked checks that Docker builds from a clean checkout: a file of
// Git that the context lacks would make it dirty.
func TestDockerIgnoresNothingTracked(t *testing.T) {
	text, err := os.ReadFile("../.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("git", "-C", "..", "ls-files").Output()
	if err != nil {
		t.Fatal(err)
	}
	patterns := 0
	for pattern := range strings.Lines(string(text)) {
		pattern = strings.Trim(strings.TrimSpace(pattern), "/")
		if pattern == "" || strings.HasPrefix(pattern, "#") {
			continue
		}
		patterns++
		for file := range strings.Lines(string(out)) {
			file = strings.TrimSpace(file)
			if file == pattern || strings.HasPrefix(file, pattern+"/") {
				t.Errorf(".dockerignore keeps %s out", file)
			}
		}
	}
	if patterns == 0 {
		t.Error(".dockerignore lets everything through, such as bin/")
	}
}

// TestGoIsTheOneTestedWith checks that the Dockerfile builds with the release of Go that runs
// the tests.
func TestGoIsTheOneTestedWith(t *testing.T) {
	out, err := exec.Command("go", "env", "GOVERSION").Output()
	if err != nil {
		t.Fatal(err)
	}
	minor := regexp.MustCompile(`^go(1\.\d+)`).FindStringSubmatch(string(out))
	if minor == nil || !strings.HasPrefix(stages(t)[0].BaseName, "golang:"+minor[1]+".") {
		t.Errorf("Dockerfile builds with another Go than %s", out)
	}
}

// releaseCommands are those of docs/releasing.md, by their beginnings, and who runs them.
var releaseCommands = map[string]string{
	"make ":                   "", // its target must be there
	"go -C image tool crane ": "TestRegistryTakesIt",
	"goreleaser ":             "no test: it takes many minutes to build. The flags are compared here",
	"git tag ":                "buildClone, without a signature and a remote",
	"helm package ":           "the tests of the chart",
	"helm push ":              "no test: it needs a registry with TLS",
	"cosign ":                 "no test: no version is published yet",
}

// TestReleasingCommands checks that every command of docs/releasing.md is accounted for.
func TestReleasingCommands(t *testing.T) {
	page, err := os.ReadFile("../docs/releasing.md")
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, b := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(string(page), -1) {
		for command := range strings.Lines(b[1]) {
			n++
			known := false
			for beginning := range releaseCommands {
				known = known || strings.HasPrefix(command, beginning)
			}
			if !known {
				t.Errorf("no test runs the command: %s", command)
			}
			if target, ok := strings.CutPrefix(strings.TrimSpace(command), "make "); ok && !strings.Contains(string(makefile), "\n"+target+":") {
				t.Errorf("there is no `make %s`", target)
			}
		}
	}
	if n < 8 {
		t.Errorf("%d commands", n)
	}
}

// TestReleaseWorkflow checks that the workflow runs what docs/releasing.md says, and publishes
// nothing before CI has passed or without a signature.
func TestReleaseWorkflow(t *testing.T) {
	text, err := os.ReadFile("../.github/workflows/release.yaml")
	mustDo(t, err)
	var workflow struct {
		Permissions map[string]string
		Jobs        map[string]struct {
			Uses, Needs string
			Permissions map[string]string
			Steps       []struct{ Uses, Run string }
		}
	}
	mustDo(t, yaml.Unmarshal(text, &workflow))
	publish := workflow.Jobs["publish"]
	if workflow.Jobs["ci"].Uses != "./.github/workflows/ci.yaml" || publish.Needs != "ci" {
		t.Error("it publishes what CI has not passed")
	}
	if len(workflow.Permissions) != 1 || workflow.Permissions["contents"] != "read" || publish.Permissions["id-token"] != "write" {
		t.Errorf("permissions %v and %v", workflow.Permissions, publish.Permissions)
	}
	var script strings.Builder
	for _, s := range publish.Steps {
		script.WriteString(s.Run + "\n")
	}
	at := 0
	for _, want := range []string{"goreleaser/v2@v2.15.1", "cosign/v3/cmd/cosign@", "sh .ci/release-notes", "goreleaser release --clean --release-notes", "make image",
		"crane push ../bin/image/oci", "cosign sign --yes", "cosign attest --yes --type cyclonedx", "helm package charts/patgate", "helm push", "cosign sign --yes"} {
		next := strings.Index(script.String()[at:], want)
		if next < 0 {
			t.Fatalf("after %d bytes there is no %q", at, want)
		}
		at += next + len(want)
	}
	ci, err := os.ReadFile("../.github/workflows/ci.yaml")
	mustDo(t, err)
	if !strings.Contains(string(ci), " .ci/run\n") || !strings.Contains(string(ci), "workflow_call") {
		t.Error("ci.yaml does not run .ci/run, or can't be called")
	}
}

// TestReleaseNotes checks that the script prints the version's part of the changelog, and refuses a tag
// that the changelog or the chart does not have.
func TestReleaseNotes(t *testing.T) {
	for tag, want := range map[string]string{"v9.9.9": "expected 9.9.9", "0.1.0": "no tag of a version", "latest": "no tag of a version"} {
		out, err := exec.Command("sh", "../.ci/release-notes", tag).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v\n%s", tag, err, out)
		}
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		".ci/release-notes":         "",
		"charts/patgate/Chart.yaml": "version: 0.2.0\nappVersion: \"0.2.0\"\n",
		"CHANGELOG.md":              "# Changelog\n\n## [Unreleased]\n\n- later\n\n## [0.2.0] - 2026-12-01\n\n- new\n\n## [0.1.0]\n\n- old\n",
	} {
		if text == "" {
			script, err := os.ReadFile("../.ci/release-notes")
			mustDo(t, err)
			text = string(script)
		}
		mustDo(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		mustDo(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755))
	}
	out, err := exec.Command("sh", filepath.Join(dir, ".ci/release-notes"), "v0.2.0").CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "- new" {
		t.Errorf("%v\n%s", err, out)
	}
}
