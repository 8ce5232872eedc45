package server

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/token"
)

// BenchmarkManage changes tokens among 10,000, one after another, over HTTP: each answer comes when
// the change is in force. Of each kind of change it reports the time that half and 99 of 100 stay below.
func BenchmarkManage(b *testing.B) {
	const count = 10_000
	dir := b.TempDir()
	value := token.Mint()
	text := managedOffice + "---\napiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: boss}\nspec: {user: root, unrestricted: true, issued: 2026-01-01T00:00:00Z, digest: " + token.Sum(value).String() + "}\n"
	if os.MkdirAll(filepath.Join(dir, "tokens"), 0o755) != nil || os.WriteFile(filepath.Join(dir, "office.yaml"), []byte(text), 0o644) != nil {
		b.Fatal()
	}
	for i := range count {
		text := fmt.Sprintf("apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: t%[1]d}\nspec:\n  user: u%[2]d\n  limitTo: |\n    [get]/rest/x\n  issued: 2026-01-01T00:00:00Z\n  digest: %[3]s\n",
			i, i%2000, token.Sum(token.NewSecret(fmt.Sprint("value ", i))))
		if err := os.WriteFile(filepath.Join(dir, "tokens", fmt.Sprintf("t%d.yaml", i)), []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	s, err := New(Options{Manifests: []string{dir}, Listen: "127.0.0.1:0", StatusListen: "127.0.0.1:0", Audit: null,
		Manage: &ManageOptions{Listen: "127.0.0.1:0", Into: filepath.Join(dir, "tokens"), Gate: "tokens", Flags: "--manage-"}})
	if err != nil {
		b.Fatal(err)
	}
	run(b, s.Run)
	<-s.up
	base := "http://" + s.ManageAddr().String() + "/api/v1/tokens"
	times := map[string][]time.Duration{}
	call := func(what, method, path, body string, want int) {
		r, err := http.NewRequest(method, base+path, strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+value.Reveal())
		r.Header.Set("Content-Type", map[bool]string{true: "application/merge-patch+json", false: "application/json"}[method == "PATCH"])
		begin := time.Now()
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		got, err := io.ReadAll(answer.Body)
		times[what] = append(times[what], time.Since(begin))
		if err != nil || answer.Body.Close() != nil || answer.StatusCode != want || !strings.Contains(string(got), `"inForce":true`) {
			b.Fatalf("%s: %d %s", what, answer.StatusCode, got)
		}
	}
	call("first", "POST", "", `{"displayName": "first", "limitTo": ["[get]/rest/y"], "expiresIn": "7d"}`, http.StatusCreated)
	delete(times, "first")
	for i := 0; b.Loop(); i++ {
		if i%25 == 24 {
			names := strings.Trim(strings.Join(strings.Fields(fmt.Sprintf("%q", bulk(i))), ","), "[]")
			call("bulk", "POST", ":revoke", fmt.Sprintf(`{"names": [%s], "expect": %d}`, names, bulkOf), http.StatusOK)
		}
		name := fmt.Sprintf("new-%d", i)
		call("create", "POST", "", fmt.Sprintf(`{"displayName": %q, "limitTo": ["[get]/rest/y"], "expiresIn": "7d"}`, name), http.StatusCreated)
		call("change", "PATCH", "/"+name, `{"description": "other"}`, http.StatusOK)
		call("rotate", "POST", "/"+name+":rotate", ``, http.StatusOK)
		call("revoke", "POST", "/"+name+":revoke", ``, http.StatusOK)
	}
	for what, list := range times {
		if what == "bulk" {
			what = fmt.Sprintf("revoke-%d", bulkOf)
		}
		slices.Sort(list)
		b.ReportMetric(float64(list[len(list)/2])/1e6, what+"-p50-ms")
		b.ReportMetric(float64(list[(len(list)*99-1)/100])/1e6, what+"-p99-ms")
	}
	b.ReportMetric(0, "ns/op")
}

// bulkOf is how many tokens one request revokes.
const bulkOf = 20

// bulk names tokens that nothing else changes.
func bulk(i int) (names []string) {
	for n := range bulkOf {
		names = append(names, fmt.Sprint("t", (i/25)*bulkOf+n))
	}
	return names
}
