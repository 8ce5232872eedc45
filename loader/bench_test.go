package loader_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// tokensFile is a file of manifests such as most of a large directory are.
func tokensFile(from, n int) string {
	var b strings.Builder
	for i := from; i < from+n; i++ {
		fmt.Fprintf(&b, "---\napiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata:\n  name: token-%d\nspec:\n  user: user-%d\n  digest: %s\n"+
			"  issued: 2026-01-01T00:00:00Z\n  policies: [policy-%d]\n", i, i%250, token.Sum(token.NewSecret(fmt.Sprint("value", i))), i%10)
	}
	return b.String()
}

const perFile = 1_000

// tokensDir is a directory with that many tokens.
func tokensDir(tb testing.TB, tokens int) string {
	tb.Helper()
	dir := tb.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	head := "apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: jira}\nspec:\n  schemes: [basic, bearer]\n"
	for p := range 10 {
		head += fmt.Sprintf("---\napiVersion: patgate.dev/v1alpha1\nkind: TokenPolicy\nmetadata: {name: policy-%d}\nspec:\n  allow:\n  - path: /rest/%d/.*\n", p, p)
	}
	write("head.yaml", head)
	for at := 0; at < tokens; at += perFile {
		write(fmt.Sprintf("tokens-%05d.yaml", at/perFile), tokensFile(at, min(perFile, tokens-at)))
	}
	return dir
}

// BenchmarkDecode measures reading manifests, by the token.
func BenchmarkDecode(b *testing.B) {
	data := []byte(tokensFile(0, perFile))
	b.SetBytes(int64(len(data) / perFile))
	b.ReportAllocs()
	var dec manifest.Decoder
	for i := 0; b.Loop(); i++ {
		if i%perFile != 0 {
			continue // each round of the loop is a token
		}
		if docs, problems := dec.Decode("tokens.yaml", data); len(docs) != perFile || len(problems) > 0 {
			b.Fatal(len(docs), problems)
		}
	}
}

// BenchmarkLoad measures a whole load: at the start, and again with one token changed.
func BenchmarkLoad(b *testing.B) {
	const tokens = 20_000
	dir := tokensDir(b, tokens)
	for _, start := range []bool{true, false} {
		name := "reload"
		if start {
			name = "start"
		}
		b.Run(fmt.Sprintf("%s/tokens=%d", name, tokens), func(b *testing.B) {
			b.ReportAllocs()
			var last loader.Report
			l := loader.New(policy.NewIndex(), directories(time.Microsecond, 0, dir), func(r loader.Report) { last = r }, loader.Options{})
			load := func() {
				if err := l.Load(b.Context()); err != nil || last.Rejected() {
					b.Fatal(err, last.Problems)
				}
			}
			load()
			for i := 0; b.Loop(); i++ {
				if start {
					l = loader.New(policy.NewIndex(), directories(time.Microsecond, 0, dir), func(r loader.Report) { last = r }, loader.Options{})
				} else {
					b.StopTimer()
					text := strings.Replace(tokensFile(0, perFile), "user: user-7\n", fmt.Sprintf("user: user-7-%d\n", i), 1)
					if err := os.WriteFile(filepath.Join(dir, "tokens-00000.yaml"), []byte(text), 0o600); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
				load()
			}
		})
	}
}
