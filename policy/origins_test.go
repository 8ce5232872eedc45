package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

func rowFrom(origin, name, value string) *policy.Token {
	return &policy.Token{Name: name, User: "alice", Digest: token.Sum(token.NewSecret(value)), Source: policy.Source{Origin: origin, File: origin + "/" + name + ".yaml", Line: 1}}
}

// TestOriginsReplaceTheirOwnRows has two origins: neither takes the other's rows away, or its names.
func TestOriginsReplaceTheirOwnRows(t *testing.T) {
	x, now := policy.NewIndex(), time.Now()
	gate := &policy.Gate{Name: "g", Hosts: []string{"*"}, Prefixes: []string{""}, Source: policy.Source{Origin: "a"}}
	one, two, three := rowFrom("a", "one", "1"), rowFrom("b", "two", "2"), rowFrom("b", "three", "3")
	apply := func(want string, c policy.Changes) {
		t.Helper()
		before := x.Snapshot().Revision().Number
		_, err := x.Apply(c, now)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
		if after := x.Snapshot().Revision().Number; (after != before) != (want == "") {
			t.Errorf("revision %d after %d: %v", after, before, err)
		}
	}
	holds := func(names ...string) {
		t.Helper()
		var got []string
		for row := range x.Snapshot().Tokens {
			got = append(got, row.Name)
		}
		if strings.Join(got, " ") != strings.Join(names, " ") || len(x.Snapshot().Gates()) != 1 {
			t.Errorf("%v, want %v", got, names)
		}
	}
	tokens := func(list ...*policy.Token) policy.Rows { return policy.Rows{Tokens: list} }
	apply("", policy.Changes{Origin: "a", All: true, New: policy.Rows{Gates: []*policy.Gate{gate}, Tokens: []*policy.Token{one}}})
	apply("", policy.Changes{Origin: "b", All: true, New: tokens(two, three)})
	holds("one", "three", "two")
	apply("", policy.Changes{Origin: "b", All: true, New: tokens(two)})
	holds("one", "two")
	apply("", policy.Changes{Origin: "b", Old: tokens(two), New: tokens(rowFrom("b", "four", "2"))})
	holds("four", "one")

	apply("the APIToken two is not what runs", policy.Changes{Origin: "b", Old: tokens(two)})
	apply("the name of the APIToken one is taken at a/one.yaml:1", policy.Changes{Origin: "b", New: tokens(rowFrom("b", "one", "5"))})
	apply("the name of the APIToken one is taken at a/one.yaml:1", policy.Changes{Origin: "b", All: true, New: tokens(rowFrom("b", "one", "5"))})
	apply(`APIToken five comes from "a" and not from "b"`, policy.Changes{Origin: "b", New: tokens(rowFrom("a", "five", "5"))})
	holds("four", "one")
	apply("", policy.Changes{Origin: "b", All: true})
	holds("one")
}
