package main

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/patgate/patgate/token"
)

// TestNoValueIsEchoed types a token's value wherever one can be typed, and checks that
// no output shows it.
func TestNoValueIsEchoed(t *testing.T) {
	t.Chdir(t.TempDir()) // some commands write the file that is named
	value := token.Mint().Reveal()
	random := strings.TrimPrefix(value, token.Prefix)
	forms := []string{value, value[:20], "alice:" + value, "Authorization: Bearer " + value, "https://x.example/?t=" + value,
		"x" + value[:30], hexOf(value), "nowhere/" + value, "(" + value}
	var places [][]string
	root := newRoot(streams{})
	for _, command := range append(commands(root), "patgate help", "patgate completion", "patgate nothing") {
		name := strings.Fields(command)[1:]
		places = append(places, append(name, "VALUE"), append(name, "--no-such=VALUE"), append(name, "--VALUE"), append(name, "-xVALUE"),
			append(name, "-o", "VALUE"), append(name, "--output=VALUE"))
		if cmd, _, err := root.Find(name); err == nil {
			for flag := range flagValues {
				if cmd.Flags().Lookup(flag) != nil && cmd.Name() != "serve" { // it would try, and write its audit
					places = append(places, append(name, "--"+flag, "VALUE"), append(name, "--"+flag+"=VALUE"))
				}
			}
		}
	}
	places = append(places, []string{"VALUE"}, []string{"--", "VALUE"}, []string{"VALUE", "--help"},
		[]string{"serve", "--listen", "VALUE"}, []string{"serve", "--tls-cert=VALUE"}, []string{"serve", "--log-level", "VALUE"},
		[]string{"serve", "--audit-wait", "VALUE"},
		[]string{"token", "create", "VALUE", "--into", t.TempDir(), "--user", "VALUE", "--unrestricted"},
		[]string{"token", "create", "x", "--into", t.TempDir(), "--user", "a", "--limit-to", "VALUE"},
		[]string{"token", "create", "x", "--into", t.TempDir(), "--user", "a", "--unrestricted", "--expires-in", "VALUE"})
	for _, place := range places {
		for _, form := range forms {
			var typed []string
			for _, word := range place {
				typed = append(typed, strings.ReplaceAll(word, "VALUE", form))
			}
			var out, errs bytes.Buffer
			run(typed, strings.NewReader(""), &out, &errs)
			seen := out.String() + errs.String()
			if strings.Contains(seen, random[:12]) || strings.Contains(strings.ToLower(seen), hexOf(random[:6])) {
				t.Errorf("patgate %s: %s", strings.Join(place, " "), strings.ReplaceAll(seen, random, "VALUE"))
			}
		}
	}
	if len(places) < 60 {
		t.Errorf("%d places", len(places))
	}
}

// hexOf spells a text percent-encoded.
func hexOf(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		b.WriteString("%" + hex.EncodeToString([]byte{c}))
	}
	return b.String()
}

func TestATokenIsNoArgument(t *testing.T) {
	value := token.Mint().Reveal()
	for _, typed := range [][]string{{"check", value}, {"check", token.Prefix}, {"check", "--output=" + value[:9]},
		{"token", "create", "x", "--user", "alice:" + value}, {value}} {
		var out, errs bytes.Buffer
		if code := run(typed, nil, &out, &errs); code != exitUsage || out.Len() > 0 || !strings.Contains(errs.String(), "expected it in a file or on stdin") {
			t.Errorf("%d arguments: exit code %d: %s%s", len(typed), code, out.String(), errs.String())
		}
	}
	// What only looks similar is no token.
	for _, typed := range [][]string{{"check", "../../ruleset/testdata/good"}, {"check", "./patg_manifests"}, {"check", "x_patg_y"}} {
		var out, errs bytes.Buffer
		run(typed, nil, &out, &errs)
		if strings.Contains(errs.String(), "looks like a value") {
			t.Errorf("%v: %s", typed, errs.String())
		}
	}
}
