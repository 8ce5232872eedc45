package test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/envoy"
	"github.com/patgate/patgate/token"
)

// startEnvoy runs a real Envoy until the test ends.
func startEnvoy(t *testing.T, config, admin string) *envoy.Process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	e, err := envoy.Start(ctx, config, admin)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// system is patgate behind an Envoy, with an upstream.
type system struct {
	*patgate
	envoy    *envoy.Process
	upstream *upstream
	clients  string // where Envoy listens
}

// startSystem starts all three. change edits Envoy's configuration, which is the one
// that people copy.
func startSystem(t *testing.T, manifests string, change func(string) string, flags ...string) *system {
	t.Helper()
	return behindEnvoy(t, startPatgate(t, manifests, flags...), change)
}

// behindEnvoy puts an Envoy and an upstream in front of a patgate.
func behindEnvoy(t *testing.T, p *patgate, change func(string) string) *system {
	t.Helper()
	s := &system{patgate: p, upstream: startUpstream(t), clients: freeAddr(t)}
	admin := freeAddr(t)
	config, err := envoy.Render(envoy.Addresses{Admin: admin, Clients: s.clients, Upstream: s.upstream.addr, Patgate: s.addr})
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		config = change(config)
	}
	s.envoy = startEnvoy(t, config, admin)
	return s
}

// replacing returns an edit of a configuration: every old must be there, once.
func replacing(t *testing.T, pairs ...string) func(string) string {
	return func(config string) string {
		t.Helper()
		for i := 0; i+1 < len(pairs); i += 2 {
			if n := strings.Count(config, pairs[i]); n != 1 {
				t.Fatalf("%q appears %d times in the configuration", pairs[i], n)
			}
			config = strings.Replace(config, pairs[i], pairs[i+1], 1)
		}
		return config
	}
}

// write puts a file into a directory by a rename, as careful tools do.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".tmp", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		t.Fatal(err)
	}
}

// kind writes a manifest.
func kind(name, kind, spec string) string {
	return "apiVersion: patgate.dev/v1alpha1\nkind: " + kind + "\nmetadata:\n  name: " + name + "\nspec:\n" + indent(spec) + "---\n"
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.Trim(text, "\n") + "\n") {
		b.WriteString("  " + line)
	}
	return b.String()
}

// digestOf returns the digest of a value as manifests have it.
func digestOf(value string) string { return token.Sum(token.NewSecret(value)).String() }
