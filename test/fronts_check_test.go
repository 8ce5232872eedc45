//go:build fronts

package test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// TestFrontsMistakes plants each mistake that front-check finds in what front-config prints: the front itself accepts
// it, and front-check refuses it.
func TestFrontsMistakes(t *testing.T) {
	text, err := os.ReadFile("../fronts/check/testdata/mistakes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var list []struct{ Kind, Name, Code, Old, New, Extra, Old2, New2 string }
	if err := yaml.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	manifests := t.TempDir()
	write(t, filepath.Join(manifests, "m.yaml"), gateManifest)
	accepted, expected := 0, 45
	if runsTraefik() {
		expected = 8
	}
	for _, m := range list {
		if (m.Kind == "traefik") != runsTraefik() {
			continue
		}
		config := frontConfig(t, "--for", m.Kind, "--manifests", manifests)
		if strings.Count(config, m.Old) == 0 || strings.Count(config, m.Old2) == 0 {
			t.Errorf("%s: %s: the printed configuration has another form", m.Kind, m.Name)
		}
		config = strings.Replace(config, m.Old, m.New, 1)
		if m.Old2 != "" {
			config = strings.Replace(config, m.Old2, m.New2, 1)
		}
		config += m.Extra
		dir := t.TempDir()
		if m.Kind == "traefik" {
			accepted++
			acceptedByTraefik(t, m.Name, config)
		} else if cmd := validator(t, m.Kind, dir, config, manifests); cmd != nil {
			accepted++
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %s: the front refuses it: %v\n%s", m.Kind, m.Name, err, out)
			}
		}
		file := filepath.Join(dir, map[string]string{"nginx": "checked.conf", "caddy": "Caddyfile", "haproxy": "haproxy.cfg", "haproxy-lua": "patgate.lua", "traefik": "traefik.yaml", "gateway-api": "route.yaml"}[m.Kind])
		write(t, file, config)
		cmd := exec.Command(binary, "front-check", "--strict", file)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(errs.String(), m.Code+"]") {
			t.Errorf("%s: %s: front-check: %v, want %s\n%s", m.Kind, m.Name, err, m.Code, errs.String())
		}
	}
	if accepted < expected {
		t.Errorf("%d mistakes were given to their fronts, want %d at least", accepted, expected)
	}
}

// TestNginxWhole checks a configuration in two files, and what nginx -T prints of it: a mistake is found at its
// place in the file that has it.
func TestNginxWhole(t *testing.T) {
	manifests := t.TempDir()
	write(t, filepath.Join(manifests, "m.yaml"), gateManifest)
	config := frontConfig(t, "--for", "nginx", "--manifests", manifests)
	for text, want := range map[string]string{config: "", strings.Replace(config, "http://patgate_api;", "http://patgate_api/;", 1): "path-changed"} {
		b := &behind{dir: t.TempDir()}
		write(t, filepath.Join(b.dir, "patgate.conf"), text)
		show := nginx(t, b, "include patgate.conf;")
		show.Args = append(show.Args, "-T", "-q")
		whole, err := show.Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, cmd := range []*exec.Cmd{exec.Command(binary, "front-check", "--strict", filepath.Join(b.dir, "nginx.conf")), exec.Command(binary, "front-check", "--strict", "-")} {
			cmd.Stdin = bytes.NewReader(whole)
			out, err := cmd.CombinedOutput()
			if (err == nil) != (want == "") || want != "" && !strings.Contains(string(out), filepath.Join(b.dir, "patgate.conf")+":") || !strings.Contains(string(out), want) {
				t.Errorf("%s: %v\n%s", cmd.Args[3], err, out)
			}
		}
	}
}

// acceptedByTraefik runs Traefik, which can't check a configuration otherwise, until it has its routes.
func acceptedByTraefik(t *testing.T, name, config string) {
	t.Run(name, func(t *testing.T) {
		b := &behind{dir: t.TempDir(), clients: freeAddr(t)}
		config = replacing(t, "127.0.0.1:8080", b.clients)(config)
		f := front{name: name, kind: "traefik", boot: func(t *testing.T, b *behind) *exec.Cmd { return traefik(t, b, config) }}
		f.run(t, b)
	})
}

// validator returns a command by which the front itself checks a configuration; nil: it has none.
func validator(t *testing.T, kind, dir, config, manifests string) *exec.Cmd {
	t.Helper()
	b := &behind{dir: dir}
	switch kind {
	case "nginx":
		write(t, filepath.Join(dir, "patgate.conf"), config)
		cmd := nginx(t, b, "include patgate.conf;")
		cmd.Args = append(cmd.Args, "-t")
		return cmd
	case "caddy":
		write(t, filepath.Join(dir, "Caddyfile"), config)
		cmd := exec.Command(installed(t, "caddy", "caddy"), "validate", "--config", filepath.Join(dir, "Caddyfile"), "--adapter", "caddyfile")
		cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
		return cmd
	case "haproxy", "haproxy-lua":
		script, main := filepath.Join(dir, "patgate.lua"), config
		write(t, script, frontConfig(t, "--for", "haproxy-lua", "--manifests", manifests))
		if kind == "haproxy-lua" {
			write(t, script, config)
			main = frontConfig(t, "--for", "haproxy", "--manifests", manifests)
		}
		file := filepath.Join(dir, "validated.cfg")
		write(t, file, strings.Replace(main, "/etc/haproxy/patgate.lua", script, 1))
		return haproxy(t, "-c", "-f", file)
	}
	return nil
}
