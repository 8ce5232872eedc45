package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/patgate/patgate/usage"
)

// headless is a name with several addresses, each a server of its own.
type headless struct {
	at    []string // addresses, which the lookup returns
	asked atomic.Int64
}

// servers finds the addresses of the name, and a port that is free at all of them.
func (h *headless) servers(t *testing.T) (s *servers, port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ = net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	s = newServers([]string{"http://patgate.example:" + port})
	s.lookup = func(context.Context, string) ([]string, error) {
		h.asked.Add(1)
		if len(h.at) == 0 {
			return nil, errors.New("no such host")
		}
		return h.at, nil
	}
	return s, port
}

// replica answers at an address of loopback, at the port of the others.
func replica(t *testing.T, address string, handler http.HandlerFunc) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler}}
	s.Start()
	t.Cleanup(s.Close)
}

// TestEveryAddressMustRunAChange has a name of two addresses: one that runs the change, and one that runs it later or never, is not
// there, or comes while the change is awaited.
func TestEveryAddressMustRunAChange(t *testing.T) {
	const now = "the change"
	revision := func(of func() string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/revision" || !strings.HasPrefix(r.Host, "patgate.example:") {
				http.NotFound(w, r)
				return
			}
			_ = json.NewEncoder(w).Encode(revisionStatus{SHA256: of()})
		}
	}
	for name, c := range map[string]struct {
		second func(asked int64) string // what the second runs; nil: it is not there
		names  []string
		want   bool
	}{
		"both run it":            {func(int64) string { return now }, []string{"127.0.0.1", "127.0.0.2"}, true},
		"the second is late":     {func(asked int64) string { return map[bool]string{true: now}[asked > 3] }, []string{"127.0.0.1", "127.0.0.2"}, true},
		"the second never does":  {func(int64) string { return "" }, []string{"127.0.0.1", "127.0.0.2"}, false},
		"the second is gone":     {nil, []string{"127.0.0.1", "127.0.0.2"}, false},
		"one address":            {nil, []string{"127.0.0.1"}, true},
		"the same address twice": {nil, []string{"127.0.0.1", "127.0.0.1"}, true},
		"a name like localhost":  {nil, []string{"::1", "127.0.0.1"}, true},
		"no address":             {nil, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := &headless{at: c.names}
			s, port := h.servers(t)
			replica(t, "127.0.0.1:"+port, revision(func() string { return now }))
			if c.second != nil {
				replica(t, "127.0.0.2:"+port, revision(func() string { return c.second(h.asked.Load()) }))
			}
			within := 10 * time.Second
			if !c.want {
				within = 300 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(context.Background(), within)
			defer cancel()
			if got := s.follow(ctx, func(got *revisionStatus) bool { return got.SHA256 == now }); got != c.want {
				t.Errorf("in force: %v, want %v", got, c.want)
			}
		})
	}
}

// TestUsageOfEveryAddress sums the uses of a token at two addresses of one name, and asks each for what changed since.
func TestUsageOfEveryAddress(t *testing.T) {
	h := &headless{at: []string{"127.0.0.1", "127.0.0.2"}}
	s, port := h.servers(t)
	queries := make(chan string, 16)
	for i, address := range h.at {
		replica(t, address+":"+port, func(w http.ResponseWriter, r *http.Request) {
			queries <- fmt.Sprint(i, r.URL.RawQuery)
			line := usage.Line{Instance: fmt.Sprint("pod", i), Entry: usage.Entry{Cursor: uint64(i + 5)}}
			_ = json.Unmarshal(fmt.Appendf(nil, `{"token":"ci","count":%d,"uses":[{"scheme":"bearer","count":%[1]d,"first":"2026-06-01T00:00:00Z","last":"2026-06-02T00:00:00Z"}],"rules":[{"rule":"r","text":"GET  /","count":%[1]d,"last":"2026-06-02T00:00:00Z"}]}`, i+1), &line.Token)
			_ = json.NewEncoder(w).Encode(line)
		})
	}
	view, err := newUsageView(nil, s)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		view.fetch(context.Background())
	}
	if used := view.used("ci"); used == nil || used.Count != 3 {
		t.Errorf("%+v, want 3 uses", used)
	}
	if rules := view.rules("ci").Rules; len(rules) != 1 || rules[0].Count != 3 {
		t.Errorf("%+v, want 3 calls by one rule", rules)
	}
	close(queries)
	var got []string
	for q := range queries {
		got = append(got, q)
	}
	slices.Sort(got)
	if strings.Join(got, " ") != "0 0after=5&instance=pod0 1 1after=6&instance=pod1" {
		t.Errorf("asked: %q", got)
	}
}
