package main

import (
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// buildFlags make the same binary of the same commit, in whatever folder: no paths of
// the machine, no symbols, and the commit and its tag as `patgate version` prints them.
// Dockerfile and .goreleaser.yaml build with the same (TestEveryBuildIsTheSame).
var buildFlags = []string{"-trimpath", "-buildvcs=true", "-ldflags=-s -w"}

// buildEnvironment overrides a developer's own settings.
var buildEnvironment = []string{"CGO_ENABLED=0", "GOFLAGS=", "GOEXPERIMENT=", "GOWORK=off", "GOAMD64=v1", "GOARM64=v8.0"}

// compile builds cmd/patgate of a checkout.
func compile(source, binary, goos, goarch string) error {
	target, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	args := append(append([]string{"build"}, buildFlags...), "-o", target, "./cmd/patgate")
	cmd := exec.Command("go", args...)
	cmd.Dir = source
	cmd.Env = append(append(os.Environ(), buildEnvironment...), "GOOS="+goos, "GOARCH="+goarch)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build for %s/%s: %w", goos, goarch, err)
	}
	return nil
}

// commit is the source that a binary records.
type commit struct {
	version  string // of the tag, such as v1.2.3, or a pseudo-version; ends in +dirty where files were changed
	revision string
	time     time.Time
}

// commitOf reads it from a binary. A binary without it was built outside of Git: an
// error, as the image could not say what it holds.
func commitOf(info *debug.BuildInfo) (commit, error) {
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	when, err := time.Parse(time.RFC3339, settings["vcs.time"])
	if err != nil || settings["vcs.revision"] == "" {
		return commit{}, errors.New("the binary names no commit, expected a build within a Git checkout")
	}
	return commit{version: info.Main.Version, revision: settings["vcs.revision"], time: when.UTC()}, nil
}

// licenseFile is a module's text that must go with its binary.
var licenseFile = regexp.MustCompile(`^(?i)(LICENSE|LICENCE|COPYING|NOTICE|PATENTS)(\.(md|txt))?$`)

// licensesOf returns the license texts of all that is compiled into a binary, by their
// paths: the program's own, Go's, and those of each module. A module without any is an error.
func licensesOf(source string, info *debug.BuildInfo) (map[string][]byte, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOROOT: %w", err)
	}
	folders := map[string]string{info.Main.Path: source, "go": strings.TrimSpace(string(root))}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		out, err := exec.Command("go", "mod", "download", "-json", m.Path+"@"+m.Version).Output()
		var found struct{ Dir string }
		if err := errors.Join(err, json.Unmarshal(out, &found)); err != nil {
			return nil, fmt.Errorf("go mod download %s@%s: %w", m.Path, m.Version, err)
		}
		folders[m.Path] = found.Dir
	}
	texts := map[string][]byte{}
	for module, folder := range folders {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return nil, err
		}
		before := len(texts)
		for _, e := range entries {
			if !e.Type().IsRegular() || !licenseFile.MatchString(e.Name()) {
				continue
			}
			if texts[path.Join("licenses", module, e.Name())], err = os.ReadFile(filepath.Join(folder, e.Name())); err != nil {
				return nil, err
			}
		}
		if len(texts) == before {
			return nil, fmt.Errorf("%s: no license in %s, and without one it may not be handed on", module, folder)
		}
	}
	return texts, nil
}

// writeLicenses rewrites FOLDER/licenses, from a binary that it builds for this machine.
func writeLicenses(source, folder string) error {
	binary := filepath.Join(folder, "patgate")
	if err := errors.Join(os.RemoveAll(filepath.Join(folder, "licenses")), os.MkdirAll(folder, 0o755)); err != nil {
		return err
	}
	if err := compile(source, binary, runtime.GOOS, runtime.GOARCH); err != nil {
		return err
	}
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return err
	}
	texts, err := licensesOf(source, info)
	if err != nil {
		return err
	}
	for name, text := range texts {
		target := filepath.Join(folder, filepath.FromSlash(name))
		err := errors.Join(os.MkdirAll(filepath.Dir(target), 0o755), os.WriteFile(target, text, fs.FileMode(0o644)))
		if err != nil {
			return err
		}
	}
	return nil
}
