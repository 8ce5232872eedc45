package check_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
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

// TestMistakesLetRequestsPass runs a real Envoy with each mistake that should let requests pass, and without
// patgate: they do pass. Without a mistake, and with the metadata that
// deny_at_disable makes harmless, they do not. Clients get the status of status_on_error.
func TestMistakesLetRequestsPass(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	t.Cleanup(api.Close)
	var tried int
	running, free := sync.WaitGroup{}, make(chan struct{}, 2)
	for i := range mistakes {
		m := &mistakes[i]
		want := http.StatusTeapot
		switch {
		case slices.Contains([]string{"by metadata, or refused", "all of the requests", "a setting under a name that no filter has"}, m.name):
			want = http.StatusServiceUnavailable
		case m.name == "status_on_error 200", m.name == "refusals as success": // Envoy's own, as the upstream says 418
			want = http.StatusOK
		case m.name == "outages as refusals":
			want = http.StatusForbidden
		case m.name == "a gateway's listener without, as Istio directs it":
		case m.name == "status_on_error 302":
			want = http.StatusFound
		case !m.opens():
			continue
		}
		tried++
		a := envoy.Addresses{Admin: freeAddress(t), Clients: freeAddress(t), Upstream: api.Listener.Addr().String(), Patgate: "127.0.0.1:1"}
		text := m.rendered(t, a)
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
	return send(ctx, t, a)
}

// send sends one request without a credential to a running Envoy.
func send(ctx context.Context, t *testing.T, a envoy.Addresses) (status int) {
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

// TestRuntimeIsChanged runs a real Envoy whose check depends on a key of its runtime: with an
// admin_layer its admin can switch the check off, and without one it can't.
func TestRuntimeIsChanged(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	t.Cleanup(api.Close)
	byKey := "              filter_enabled: {runtime_key: patgate.asked, default_value: {numerator: 100}}\n"
	for _, test := range []struct {
		mistake string
		want    int
	}{
		{"all of the requests, by a key", http.StatusServiceUnavailable},
		{"a runtime that the admin changes", http.StatusTeapot},
		{"a runtime that an admin of some paths does not change", http.StatusServiceUnavailable},
	} {
		t.Run(test.mistake, func(t *testing.T) {
			m := mistakeNamed(t, test.mistake)
			a := envoy.Addresses{Admin: freeAddress(t), Clients: freeAddress(t), Upstream: api.Listener.Addr().String(), Patgate: "127.0.0.1:1"}
			text := m.rendered(t, a)
			if !strings.Contains(text, byKey) {
				text = strings.Replace(text, inAuthz, inAuthz+byKey, 1)
			}
			process, err := envoy.Start(t.Context(), text, a.Admin)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := process.Stop(); err != nil {
					t.Error(err)
				}
			}()
			answer, err := http.Post("http://"+a.Admin+"/runtime_modify?patgate.asked=0&patgate.deny_at_disable=false", "", nil)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if got := send(t.Context(), t, a); got != test.want {
				t.Errorf("status %d, want %d", got, test.want)
			}
		})
	}
}

func mistakeNamed(t *testing.T, name string) *mistake {
	t.Helper()
	for i := range mistakes {
		if mistakes[i].name == name {
			return &mistakes[i]
		}
	}
	t.Fatalf("no mistake is called %q", name)
	return nil
}

// markedAddress is an address in a line that ends in what it is for.
var markedAddress = regexp.MustCompile(`\{socket_address: \{address: \S+, port_value: \d+\}\}(.*# (ADMIN|CLIENTS|UPSTREAM|PATGATE))\n`)

// rendered returns the configuration with a mistake, for some addresses.
func (m *mistake) rendered(t *testing.T, a envoy.Addresses) string {
	t.Helper()
	addresses := map[string]string{"ADMIN": a.Admin, "CLIENTS": a.Clients, "UPSTREAM": a.Upstream, "PATGATE": a.Patgate}
	return markedAddress.ReplaceAllStringFunc(m.plant(t), func(line string) string {
		part := markedAddress.FindStringSubmatch(line)
		host, port, err := net.SplitHostPort(addresses[part[2]])
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("{socket_address: {address: %q, port_value: %s}}%s\n", host, port, part[1])
	})
}

// TestRoutes runs a real Envoy whose routes choose by what the client sends, and checks that
// the upstream sees another host or path than patgate would have checked.
func TestRoutes(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Host, " ", r.URL.Path, " ", r.Header.Get("X-Forwarded-Host"))
	}))
	t.Cleanup(api.Close)
	running, free := sync.WaitGroup{}, make(chan struct{}, 2)
	for _, test := range []struct{ mistake, path, want string }{
		{"one host for all", "/a", "api.internal /a "},
		{"the host by a header", "/a", "evil.example.org /a "},
		{"the host by the path", "/evil/a", "evil /evil/a "},
		{"another path", "/a", "jira.example.com /api/a "},
		{"another path by a pattern", "/v1/a", "jira.example.com / "},
		{"the cluster by a header", "/a", "jira.example.com /a "},
		{"the address by a header", "/a", "jira.example.com /a "},
		{"a forwarded host kept", "/a", "jira.example.com /a evil.example.org"},
		{"a forwarded host written anew", "/a", "jira.example.com /a jira.example.com"},
	} {
		a := envoy.Addresses{Admin: freeAddress(t), Clients: freeAddress(t), Upstream: api.Listener.Addr().String(), Patgate: "127.0.0.1:1"}
		text := strings.Replace(mistakeNamed(t, test.mistake).rendered(t, a), "failure_mode_allow: false", "failure_mode_allow: true", 1)
		free <- struct{}{}
		running.Go(func() {
			defer func() { <-free }()
			if got := echo(t, text, a, test.path, api.Listener.Addr().String()); got != test.want {
				t.Errorf("%s: the upstream got %q, want %q", test.mistake, got, test.want)
			}
		})
	}
	running.Wait()
}

// echo boots an Envoy and returns what the upstream says of a request.
func echo(t *testing.T, text string, a envoy.Addresses, path, address string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	process, err := envoy.Start(ctx, text, a.Admin)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer func() {
		if err := process.Stop(); err != nil {
			t.Error(err)
		}
	}()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.Clients+path, nil)
	if err != nil {
		t.Error(err)
		return ""
	}
	request.Host = "jira.example.com"
	for name, value := range map[string]string{"X-Tenant": "evil.example.org", "X-Cluster": "upstream", "X-Forwarded-Host": "evil.example.org", "X-Envoy-Original-Dst-Host": address} {
		request.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Error(err)
	}
	return string(body)
}
