package suggest_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/replay"
	"github.com/patgate/patgate/replay/suggest"
	"github.com/patgate/patgate/ruleset"
	"github.com/patgate/patgate/test/company"
)

// written writes manifests and loads them, which must be good.
func written(t *testing.T, files map[string]string) *ruleset.Set {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	set := dir.Load([]string{root})
	if len(set.Problems) > 0 {
		t.Fatalf("%v", set.Problems[:min(5, len(set.Problems))])
	}
	return set
}

func side(t *testing.T, set *ruleset.Set) *replay.Side {
	t.Helper()
	s, err := replay.NewSide(set.Rows, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func input(log string) []audit.Input {
	return []audit.Input{{Name: "log", Reader: strings.NewReader(log)}}
}

// suggested returns the manifests with the proposals for some tokens.
func suggested(t *testing.T, set *ruleset.Set, r *suggest.Report) *ruleset.Set {
	t.Helper()
	files := map[string]string{}
	for i := range r.Tokens {
		one := &r.Tokens[i]
		doc := set.Find(manifest.KindAPIToken, one.Token)
		if len(one.LimitTo) == 0 || len(one.Allow) > 0 || one.Covered != one.AllowedCalls {
			t.Fatalf("%+v", one)
		}
		for _, other := range set.Tokens {
			if name := filepath.Base(other.File); files[name] == "" {
				text, err := os.ReadFile(other.File)
				if err != nil {
					t.Fatal(err)
				}
				files[name] = string(text)
			}
		}
		name := filepath.Base(doc.File)
		change := edit.Change{Fields: []edit.Field{{Key: "limitTo", Value: strings.Join(one.LimitTo, "\n") + "\n"}}}
		text, err := change.Apply(name, []byte(files[name]), one.Token)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(text)
	}
	for _, name := range []string{"gates.yaml", "groups.yaml"} {
		text, err := os.ReadFile(filepath.Join(filepath.Dir(set.Tokens[0].File), name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(text)
	}
	return written(t, files)
}

// callsOf is a log of calls of some needs, all allowed.
func callsOf(token, user string, needs []company.Need, n int) string {
	random := rand.New(rand.NewPCG(7, 7))
	var log []byte
	for i := range n {
		call := needs[i%len(needs)].Call(random)
		log = audit.AppendLine(log, &audit.Event{
			Time: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC), Kind: audit.Decision, ID: fmt.Sprintf("C%d", i), Decision: audit.Allow, Reason: "ok",
			Gate: call.Gate, Scheme: "bearer", User: user, Token: token, Client: netip.MustParseAddr("10.0.0.1"), ClientSource: "xff",
			Method: call.Method, Host: call.Gate + ".example.com", Path: call.Path, Query: call.Query, TLS: true, BodyState: "absent",
		}, "later", uint64(i+1))
	}
	return string(log)
}

// TestSuggestOnACompany narrows ten tokens with known needs: nothing that they need is refused, later calls included,
// and at least 95 % of the calls that nobody makes and their rules allow.
func TestSuggestOnACompany(t *testing.T) {
	c := company.New(company.Options{Seed: 3, People: 60, Tokens: 60, Events: 60_000})
	var log bytes.Buffer
	if err := c.Log(&log); err != nil {
		t.Fatal(err)
	}
	before := written(t, c.Manifests())
	var chosen []*company.Token
	var names []string
	for _, token := range c.Tokens {
		if len(chosen) < 10 && c.Believable(token) && len(token.Excess) > 0 {
			chosen, names = append(chosen, token), append(names, token.Name)
		}
	}
	r, err := suggest.Logs(context.Background(), input(log.String()), before.Rows, suggest.Options{Tokens: names, MinDays: 30}, nil)
	if err != nil || len(r.Tokens) != 10 {
		t.Fatalf("%v: %d tokens", err, len(r.Tokens))
	}
	after := suggested(t, before, r)
	old, now := side(t, before), side(t, after)
	whole, err := replay.Logs(context.Background(), input(log.String()), now, old, nil)
	if err != nil || whole.NewlyDenied+whole.NewlyAllowed > 0 || whole.Same < 40_000 {
		t.Errorf("%v: %d newly denied, %d newly allowed, %d same; %+v", err, whole.NewlyDenied, whole.NewlyAllowed, whole.Same, whole.Differences)
	}
	excess, removed := int64(0), int64(0)
	for i, token := range chosen {
		user := userOf(r, token.Name)
		needed, err := replay.Logs(context.Background(), input(callsOf(token.Name, user, token.Needs, 200)), now, old, nil)
		if err != nil || needed.NewlyDenied > 0 || needed.Same != 200 {
			t.Errorf("%d: %s: %d of 200 needed calls are refused: %+v\n%v", i, token.Name, needed.NewlyDenied, needed.Differences, r.Tokens)
		}
		unneeded, err := replay.Logs(context.Background(), input(callsOf(token.Name, user, token.Excess, 200)), now, old, nil)
		if err != nil {
			t.Fatal(err)
		}
		excess, removed = excess+unneeded.NewlyDenied+unneeded.Same, removed+unneeded.NewlyDenied
	}
	if excess != 2000 || removed*100 < excess*95 {
		t.Errorf("%d of %d unneeded calls are refused", removed, excess)
	}
	for _, token := range chosen { // what others do shows whether anything is allowed that was not
		for _, other := range c.Tokens {
			strange, err := replay.Logs(context.Background(), input(callsOf(token.Name, userOf(r, token.Name), append(other.Excess, other.Needs...), 20)), now, old, nil)
			if err != nil || strange.NewlyAllowed > 0 {
				t.Fatalf("%v: %s: %+v", err, token.Name, strange.Differences)
			}
		}
	}
	t.Logf("%d of %d unneeded calls are refused", removed, excess)
}

func userOf(r *suggest.Report, token string) string {
	for i := range r.Tokens {
		if r.Tokens[i].Token == token {
			return r.Tokens[i].User
		}
	}
	return ""
}
