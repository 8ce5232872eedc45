package check_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/envoy"
	"github.com/patgate/patgate/envoy/check"
)

// freeAddress returns a loopback address that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// configDump runs a real Envoy with a configuration and asks its admin for it.
func configDump(t *testing.T, text string, admin string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	process, err := envoy.Start(ctx, text, admin)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := process.Stop(); err != nil {
			t.Error(err)
		}
	}()
	dump, err := process.Admin("/config_dump?include_eds")
	if err != nil {
		t.Fatal(err)
	}
	return dump
}

// TestConfigDump reads the configuration of a real Envoy, and checks that it has the same findings as
// in the file that it was given.
func TestConfigDump(t *testing.T) {
	for _, test := range []struct {
		name, old, new string
		want           []check.Code
	}{
		{"as it should be", "", "", nil},
		{"a mistake", "failure_mode_allow: false", "failure_mode_allow: true", codes(check.FailureModeAllow)},
		{"several", "merge_slashes: true", "upgrade_configs: [{upgrade_type: websocket}]", codes(check.MergeSlashes, check.Upgrade)},
	} {
		t.Run(test.name, func(t *testing.T) {
			admin := freeAddress(t)
			text, err := envoy.Render(envoy.Addresses{Admin: admin, Clients: freeAddress(t)})
			if err != nil {
				t.Fatal(err)
			}
			dump := configDump(t, strings.Replace(text, test.old, test.new, 1), admin)
			if got := codesOf(found(t, "config_dump", dump, nil)); !slices.Equal(got, test.want) {
				t.Errorf("found %v, want %v", got, test.want)
			}
		})
	}
}
