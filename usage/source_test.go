package usage

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"
)

// TestSourceFollowsInstances asks two processes behind one URL in turn, one of which is replaced. No use is
// counted twice or lost.
func TestSourceFollowsInstances(t *testing.T) {
	type process struct {
		name string
		Counters
	}
	running := []*process{{name: "one"}, {name: "two"}}
	turn, sent := 0, 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := running[turn%len(running)]
		turn++
		after := uint64(0)
		if r.URL.Query().Get("instance") == p.name {
			after, _ = strconv.ParseUint(r.URL.Query().Get("after"), 10, 64)
		}
		for _, e := range p.List(after) {
			sent++
			_ = json.NewEncoder(w).Encode(Line{p.name, e})
		}
	}))
	defer server.Close()
	source, err := NewSource(server.URL+"/proxy/", server.Client())
	if err != nil {
		t.Fatal(err)
	}
	total := int64(0)
	for round := range 12 {
		if round == 6 {
			running[1] = &process{name: "three"}
		}
		seen(&running[round%2].Counters, "a", noon.Add(time.Duration(round)*time.Minute), nil)
		total++
		for range 2 {
			if err := source.Fetch(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		all := Uses{}
		source.AddTo(all)
		if all["a"].Count != total || source.Token("a").Count != total || source.Token("b") != nil {
			t.Fatalf("round %d: %+v, want %d", round, all["a"], total)
		}
	}
	running = running[:1]
	_ = source.Fetch(context.Background())
	if sent = 0; source.Fetch(context.Background()) != nil || sent != 0 {
		t.Errorf("%d lines were sent again", sent)
	}
}

func TestSourceIsBounded(t *testing.T) {
	source, err := NewSource("http://127.0.0.1:1", http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 * maxInstances {
		i := source.instance("", fmt.Sprint(n))
		var c Counters
		seen(&c, "a", noon, nil)
		i.tokens["a"] = c.Token("a")
	}
	if got := source.Token("a"); got.Count != 3*maxInstances || len(source.instances) != maxInstances {
		t.Errorf("%+v of %d instances", got, len(source.instances))
	}
}

func TestBadSources(t *testing.T) {
	for _, url := range []string{"", "127.0.0.1:9192", "ftp://x", "http://", ":"} {
		if _, err := NewSource(url, nil); err == nil {
			t.Errorf("%q is taken", url)
		}
	}
	for _, answer := range []string{"{", `{"token":"a"}`, `{"instance":"x"}`, "[]"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) }))
		source, _ := NewSource(server.URL, server.Client())
		if source.Fetch(context.Background()) == nil {
			t.Errorf("%q is taken", answer)
		}
		server.Close()
	}
}
