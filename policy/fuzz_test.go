package policy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/patgate/patgate/policy"
)

// FuzzQuery holds an accepted query against net/url: every value of the limited
// parameter that it finds must be one that the rule let pass.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"a=1", "a=1&a=2", "%61=1", "a=1;b=2", "a=%zz", "A=1&a=1", "a[]=1&a=1", "a=1+1", "&&a", "a=\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		w := newWorld(t)
		w.token.Grant = policy.Grant{Policies: []*policy.Policy{allowing(rule(t, "r", "query", "a=[0-9]+"))}}
		r := request()
		r.Target = policy.NewTarget("/?" + query)
		d := policy.Evaluate(w.snapshot(), r, nil)
		if d.Effect != policy.Allow {
			return
		}
		values, err := url.ParseQuery(query)
		if err != nil || len(values["a"]) == 0 {
			t.Fatalf("%q was allowed, net/url reads %v, %v", query, values, err)
		}
		for name, list := range values {
			if strings.EqualFold(name, "a") && name != "a" {
				t.Fatalf("%q was allowed with %q in it", query, name)
			}
			for _, v := range list {
				if name == "a" && strings.Trim(v, "0123456789") != "" {
					t.Fatalf("%q was allowed with a=%q", query, v)
				}
			}
		}
	})
}

// FuzzJSON holds an accepted body against encoding/json and against readers that take
// the first or the last of duplicate keys: all must see the value that was matched.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{`{"a":"x"}`, `{"a":"x","a":"y"}`, `{"a":"x","A":"y"}`, `{"\u0061":"x"}`, `[1]`, `{"a":"x"}{}`,
		`{"a":"x","b":[1,2,{"c":null}],"n":-1.5e3}`, `{"a":"\ud83d\ude00"}`, `{"a":"\ud83d"}`,
		`{"a":1e999}`, strings.Repeat("4", 400)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w := newWorld(t)
		w.token.Grant = policy.Grant{Policies: []*policy.Policy{allowing(rule(t, "r", "json", "a=[xyz]+"))}}
		r := request(jsonBody(string(body)))
		refusesOthers(t, r)
		d := policy.Evaluate(w.snapshot(), r, nil)
		if d.Reason == policy.NoRuleMatched && !json.Valid(body) {
			t.Fatalf("%q was read, encoding/json refuses it", body)
		}
		if d.Effect != policy.Allow {
			return
		}
		var exact map[string]any
		if err := decodeJSON(body, &exact); err != nil {
			t.Fatalf("%q was allowed, encoding/json says %v", body, err)
		}
		var folded struct{ A any }
		if err := decodeJSON(body, &folded); err != nil || fmt.Sprint(folded.A) != fmt.Sprint(exact["a"]) {
			t.Fatalf("%q: one reader sees %v, another %v", body, folded.A, exact["a"])
		}
		if s, ok := exact["a"].(string); !ok || strings.Trim(s, "xyz") != "" {
			t.Fatalf("%q was allowed with a=%v", body, exact["a"])
		}
		first := firstMember(t, body)
		if first != exact["a"] {
			t.Fatalf("%q: the first reader sees %v, the last %v", body, first, exact["a"])
		}
	})
}

// refusesOthers checks a deny rule: where it lets a body pass, encoding/json must see no
// value that it matches, and nothing that a server may take for one.
func refusesOthers(t *testing.T, r *policy.Request) {
	w := newWorld(t)
	w.token.Grant.Policies = []*policy.Policy{denying(rule(t, "r", "method", "POST", "json", "a=[xyz]+"))}
	if policy.Evaluate(w.snapshot(), r, nil).Effect != policy.Allow {
		return
	}
	var value any
	if err := decodeJSON(r.Body.Bytes, &value); err != nil {
		t.Fatalf("%q was let pass, encoding/json says %v", r.Body.Bytes, err)
	}
	if _, list := value.([]any); list {
		t.Fatalf("%q: a list was let pass", r.Body.Bytes)
	}
	object, _ := value.(map[string]any)
	switch a := object["a"].(type) {
	case []any, map[string]any:
		t.Fatalf("%q was let pass with %v", r.Body.Bytes, a)
	case string:
		if a != "" && strings.Trim(a, "xyz") == "" {
			t.Fatalf("%q was let pass with %v", r.Body.Bytes, a)
		}
	}
}

// decodeJSON reads one whole value and keeps numbers as text: a number that no float64 holds is
// JSON, and a float64's range is no limit of the format.
func decodeJSON(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}

// firstMember reads the member `a` as a parser does that keeps the first of duplicates.
func firstMember(t *testing.T, body []byte) any {
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.UseNumber()
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		var value any
		if err := d.Decode(&value); err != nil {
			t.Fatal(err)
		}
		if key == "a" {
			return value
		}
	}
	return nil
}

// FuzzXFF checks that the address is taken from the entry at its place and no other.
func FuzzXFF(f *testing.F) {
	f.Add("10.0.0.1, 10.0.0.2", 1)
	f.Add("::ffff:1.2.3.4", 0)
	f.Add(",,", 1)
	f.Fuzz(func(t *testing.T, list string, hops int) {
		if hops < 0 || hops > 20 {
			return
		}
		w := newWorld(t)
		w.gate.ClientIP = policy.ClientIP{Source: policy.FromXFF, TrustedHops: hops}
		d := policy.Evaluate(w.snapshot(), request(header("x-forwarded-for", list)), nil)
		entries := strings.Split(list, ",")
		var want netip.Addr
		if i := len(entries) - 1 - hops; i >= 0 {
			if a, err := netip.ParseAddr(strings.Trim(entries[i], " \t")); err == nil && a.Zone() == "" {
				want = a.Unmap()
			}
		}
		if d.Client != want {
			t.Fatalf("%q with %d hops: %v, want %v", list, hops, d.Client, want)
		}
	})
}
