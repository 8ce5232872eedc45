package check_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/patgate/patgate/envoy"
	"github.com/patgate/patgate/envoy/check"
)

// opening are the codes of mistakes by which requests reach the upstream though patgate
// does not answer.
var opening = codes(check.FailureModeAllow, check.ShadowMode, check.RouteUnchecked, check.FilterDisabled, check.ConditionalCheck, check.IstioCondition)

// opens reports whether a mistake lets every request pass.
func (m *mistake) opens() bool {
	switch {
	case slices.Contains(m.want, check.DuplicateField), strings.Contains(m.new, "8082"), m.name == "one of two filters", m.name == "filter disabled, and turned on by the route of all but JSON":
		return false // it depends on which field counts; another listener; the other filter refuses
	case slices.Contains(m.want, check.FilterEnabled):
		return slices.Contains(m.want, check.DenyAtDisable)
	}
	return slices.ContainsFunc(m.want, func(c check.Code) bool { return slices.Contains(opening, c) })
}

// TestDoors runs a real Envoy with each mistake that is said to let requests pass, and no
// patgate behind it: they do pass. Without a mistake, and with the metadata that
// deny_at_disable makes harmless, they do not. What status_on_error says is what clients get.
func TestDoors(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	t.Cleanup(api.Close)
	var tried int
	running, free := sync.WaitGroup{}, make(chan struct{}, 2)
	for i := range mistakes {
		m := &mistakes[i]
		want := http.StatusTeapot
		switch {
		case m.name == "by metadata, or refused", m.name == "all of the requests":
			want = http.StatusServiceUnavailable
		case m.name == "status_on_error 200": // Envoy's own, as the upstream says 418
			want = http.StatusOK
		case m.name == "status_on_error 302":
			want = http.StatusFound
		case !m.opens():
			continue
		}
		tried++
		a := envoy.Addresses{Admin: freeAddress(t), Clients: freeAddress(t), Upstream: api.Listener.Addr().String(), Patgate: "127.0.0.1:1"}
		text, err := envoy.Render(a)
		if err != nil || !strings.Contains(text, m.old) {
			t.Fatalf("%s: %v", m.name, err)
		}
		text = strings.Replace(text, m.old, m.new, 1)
		free <- struct{}{}
		running.Go(func() {
			defer func() { <-free }()
			if got := ask(t, text, a); got != want {
				t.Errorf("%s: status %d, want %d", m.name, got, want)
			}
		})
	}
	running.Wait()
	if tried < 15 {
		t.Errorf("%d mistakes were tried", tried)
	}
}

// ask boots an Envoy and sends it one request without a credential.
func ask(t *testing.T, text string, a envoy.Addresses) (status int) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	process, err := envoy.Start(ctx, text, a.Admin)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer func() {
		if err := process.Stop(); err != nil {
			t.Error(err)
		}
	}()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.Clients+"/", nil)
	if err != nil {
		t.Error(err)
		return 0
	}
	request.Header.Set("X-Skip", "1") // for the condition around the filter
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer answer.Body.Close()
	return answer.StatusCode
}
