package server

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/token"
	"github.com/patgate/patgate/tokens"
)

// recorded keeps audit events.
type recorded struct {
	mu     sync.Mutex
	events []string
}

func (r *recorded) Record(_ context.Context, e *audit.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, fmt.Sprint(e.Kind, " ", e.Token, " ", e.Detail))
	return nil
}

// receiver is a webhook that fails at first, and checks what it takes.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	failures int
	ids      map[string]int // attempts
	taken    []string
}

func newReceiver(t *testing.T, key []byte, failures int) *receiver {
	r := &receiver{failures: failures, ids: map[string]int{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		id := q.Header.Get("webhook-id")
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + q.Header.Get("webhook-timestamp") + "." + string(body)))
		if q.Header.Get("webhook-signature") != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
			t.Errorf("the signature is wrong: %v", q.Header)
		}
		var m struct {
			Type string
			Data struct {
				Token      string
				WithinDays int
			}
		}
		if err := json.Unmarshal(body, &m); err != nil || m.Type != "token.expires-soon" {
			t.Errorf("%s: %v", body, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.ids[id]++; r.ids[id] <= r.failures {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		r.taken = append(r.taken, fmt.Sprint(m.Data.Token, " ", m.Data.WithinDays))
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(slices.Values(r.taken))
}

// TestNotices lets time pass over a token's end, with three processes on one directory that look at the
// same time and start anew: each of the three notices is given once, also by the webhook, which
// fails at first. Another end has notices of its own.
func TestNotices(t *testing.T) {
	at := t.TempDir()
	value := office(t, at)
	_ = value
	file := filepath.Join(at, "tokens", "short.yaml")
	text := "apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata:\n  name: short # a comment\nspec: {user: alice, unrestricted: true, issued: 2026-01-01T00:00:00Z, expires: 2026-03-01T00:00:00Z, digest: " +
		token.Sum(token.Mint()).String() + "}\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(t.TempDir(), "key")
	key := []byte("0123456789abcdef0123456789abcdef")
	if err := os.WriteFile(secret, []byte("whsec_"+base64.StdEncoding.EncodeToString(key)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hook := newReceiver(t, key, 2)
	var now time.Time
	log := new(recorded)
	give := func() {
		ctx, stop := context.WithCancel(t.Context())
		var all, hooks sync.WaitGroup
		want := 0
		for range 3 { // processes
			w, err := newWebhook(hook.URL, secret, time.Now, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			w.pauses = []time.Duration{time.Millisecond, time.Millisecond, time.Millisecond}
			store := &dir.Store{Roots: []string{at}, Into: filepath.Join(at, "tokens")}
			n := &notices{service: &tokens.Service{Store: store, Documents: store, Now: func() time.Time { return now }}, audit: log, hook: w,
				now: func() time.Time { return now }, logger: slog.New(slog.DiscardHandler)}
			hooks.Go(func() { w.run(ctx) })
			all.Go(func() { n.give(ctx) })
		}
		all.Wait()
		log.mu.Lock()
		want = len(log.events)
		log.mu.Unlock()
		for deadline := time.Now().Add(10 * time.Second); len(hook.got()) < want && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		}
		stop()
		hooks.Wait()
	}
	for _, step := range []struct {
		at   string
		want string
	}{
		{"2026-01-10T00:00:00Z", ""}, {"2026-01-31T00:00:00Z", "short 30"}, {"2026-02-10T00:00:00Z", "short 30"}, {"2026-02-22T00:00:00Z", "short 30,short 7"},
		{"2026-02-28T01:00:00Z", "short 1,short 30,short 7"}, {"2026-03-02T00:00:00Z", "short 1,short 30,short 7"},
	} {
		var err error
		if now, err = time.Parse(time.RFC3339, step.at); err != nil {
			t.Fatal(err)
		}
		give()
		if got := strings.Join(hook.got(), ","); got != step.want {
			t.Errorf("%s: the webhook has %q, want %q", step.at, got, step.want)
		}
	}
	if len(log.events) != 3 || !strings.HasPrefix(log.events[0], "token.expires-soon short ends within 30 days, at 2026-03-01T00:00:00Z") {
		t.Errorf("%v", log.events)
	}
	after, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(after), "patgate.dev/expiry-noticed: 2026-03-01T00:00:00Z 30 7 1") || !strings.Contains(string(after), "# a comment") {
		t.Errorf("%v:\n%s", err, after)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(after), "expires: 2026-03-01", "expires: 2026-03-05", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if give(); strings.Join(hook.got(), ",") != "short 1,short 30,short 30,short 7,short 7" {
		t.Errorf("another end: %v", hook.got())
	}
}

// TestMessagesThatAreNotTaken wait for hours, and hold up no other message; no more of them wait than there is room for.
func TestMessagesThatAreNotTaken(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(secret, []byte("whsec_"+base64.StdEncoding.EncodeToString(make([]byte, 32))), 0o600); err != nil {
		t.Fatal(err)
	}
	taken, asked := make(chan string, 1), make(chan struct{}, 10*webhookAtOnce)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), "refused") {
			w.WriteHeader(http.StatusInternalServerError)
			asked <- struct{}{}
			return
		}
		taken <- string(body)
	}))
	defer hook.Close()
	w, err := newWebhook(hook.URL, secret, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go w.run(ctx)
	for range 2 * webhookAtOnce {
		w.send("refused", time.Now(), nil)
	}
	for range 2 * webhookAtOnce {
		<-asked
	}
	w.send("good", time.Now(), nil)
	select {
	case got := <-taken:
		if !strings.Contains(got, "good") {
			t.Error(got)
		}
	case <-time.After(10 * time.Second):
		t.Error("a message waits for others that are not taken")
	}
	w.waiting.Store(webhookQueue)
	if w.send("good", time.Now(), nil); w.waiting.Load() != webhookQueue || len(w.queue) > 0 {
		t.Errorf("%d messages wait", w.waiting.Load())
	}
}

// TestWebhooksThatAreRefused can't be followed, or would show messages on the way.
func TestWebhooksThatAreRefused(t *testing.T) {
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte("whsec_AAAA"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][3]string{
		{"hooks.example.com", short, `notify-url: "hooks.example.com" is no URL`}, {"http://hooks.example.com", short, "notify-url: everyone on the network path could read the messages"},
		{"https://hooks.example.com", "", "notify-secret-file: missing"}, {"https://hooks.example.com", short, "holds no key"}, {"https://hooks.example.com", "/nothing", "no such file"},
	} {
		if _, err := newWebhook(c[0], c[1], time.Now, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("%s: %v, want %s", c[0], err, c[2])
		}
	}
}
