package test

import (
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// ask is a request of an ordinary client through Envoy.
type ask struct {
	method, path  string // GET by default
	authorization string
	header        map[string]string
	body          string // JSON
	host          string
}

// answered is the client's answer, and its audit event.
type answered struct {
	status int
	header http.Header
	body   string
	event  event
}

func basicAuth(user, value string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+value))
}

// do sends a request with Go's client and finds its event.
func (s *system) do(t *testing.T, client *http.Client, url string, a ask) answered {
	t.Helper()
	got := send(t, client, url, a)
	if id := got.header.Get("x-patgate-id"); id != "" {
		got.event = s.byID(id)
	}
	return got
}

// send sends a request with Go's client.
func send(t *testing.T, client *http.Client, url string, a ask) answered {
	t.Helper()
	method := a.method
	if method == "" {
		method = http.MethodGet
	}
	r, err := http.NewRequest(method, url+a.path, strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	if a.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if a.authorization != "" {
		r.Header.Set("Authorization", a.authorization)
	}
	for name, value := range a.header {
		r.Header.Set(name, value)
	}
	if a.host != "" {
		r.Host = a.host
	}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answered{status: answer.StatusCode, header: answer.Header, body: string(body)}
}

// http sends a request over HTTP/1.1.
func (s *system) http(t *testing.T, a ask) answered {
	t.Helper()
	return s.do(t, plainClient, "http://"+s.clients, a)
}

var plainClient = &http.Client{Timeout: 20 * time.Second}

func readAll(t *testing.T, answer *http.Response) string {
	t.Helper()
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
