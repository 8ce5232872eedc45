package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/token"
)

const managedOffice = `apiVersion: patgate.dev/v1alpha1
kind: Gate
metadata: {name: tokens}
spec: {hosts: [tokens.example.com], schemes: [bearer]}
---
apiVersion: patgate.dev/v1alpha1
kind: UserGroup
metadata: {name: admins}
spec: {members: [root], admin: true}
`

// office writes manifests with a token that may do everything, and returns its value.
func office(t *testing.T, dir string) token.Secret {
	t.Helper()
	value := token.Mint()
	text := managedOffice + "---\napiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: boss}\nspec: {user: root, unrestricted: true, issued: 2026-01-01T00:00:00Z, digest: " + token.Sum(value).String() + "}\n"
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "tokens"), 0o755), os.WriteFile(filepath.Join(dir, "office.yaml"), []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
	return value
}

// post sends a request of the API and returns its answer.
func post(t *testing.T, url string, value token.Secret, body string) map[string]any {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+value.Reveal())
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%d %s", answer.StatusCode, text)
	}
	return v
}

// run starts a server that runs until the test ends.
func run(t testing.TB, f func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancelCause(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		stop(ErrNow)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestAChangeIsInForceBeforeItsAnswer creates, rotates and revokes tokens, and looks at the running
// revision as soon as there is an answer. A management API without a server waits for the server.
func TestAChangeIsInForceBeforeItsAnswer(t *testing.T) {
	dir := t.TempDir()
	value := office(t, dir)
	devNull, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = devNull.Close() })
	manage := func() *ManageOptions {
		return &ManageOptions{
			Listen: "127.0.0.1:0", Into: filepath.Join(dir, "tokens"), Gate: "tokens", Flags: "--manage-",
			ForceWithin: 8 * time.Second, // for busy machines; less than a request may take
		}
	}
	s, err := New(Options{Manifests: []string{dir}, Listen: "127.0.0.1:0", StatusListen: "127.0.0.1:0", Audit: devNull, Manage: manage()})
	if err != nil {
		t.Fatal(err)
	}
	run(t, s.Run)
	<-s.up
	alone := manage()
	alone.GateStatus = []string{"http://" + s.StatusAddr().String()}
	m, err := NewManage(Options{Manifests: []string{dir}, Audit: devNull, Manage: alone})
	if err != nil {
		t.Fatal(err)
	}
	run(t, m.Run)
	for i, url := range []string{"http://" + s.ManageAddr().String(), "http://" + m.Addr().String()} {
		for n := range 3 {
			made := post(t, url+"/api/v1/tokens", value, fmt.Sprintf(`{"displayName": "t-%d-%d", "unrestricted": true}`, i, n))
			name, _ := made["name"].(string)
			digest := token.Sum(token.NewSecret(fmt.Sprint(made["value"])))
			if made["inForce"] != true || s.index.Snapshot().Token(&digest) == nil {
				t.Fatalf("created, and not in force: %v", made["inForce"])
			}
			rotated := post(t, url+"/api/v1/tokens/"+name+":rotate", value, "")
			after := token.Sum(token.NewSecret(fmt.Sprint(rotated["value"])))
			if rotated["inForce"] != true || s.index.Snapshot().Token(&after) == nil || s.index.Snapshot().Token(&digest) != nil {
				t.Fatalf("rotated, and not in force: %v", rotated["inForce"])
			}
			revoked := post(t, url+"/api/v1/tokens/"+name+":revoke", value, "")
			if revoked["inForce"] != true || !s.index.Snapshot().TokenByName(name).Revoked {
				t.Fatalf("revoked, and not in force: %v", revoked["inForce"])
			}
		}
	}
	// With a broken file in the directory a revocation takes force, and a new token does not.
	post(t, "http://"+s.ManageAddr().String()+"/api/v1/tokens", value, `{"displayName": "last", "unrestricted": true}`)
	if err := os.WriteFile(filepath.Join(dir, "broken.yaml"), []byte("kind: Gate\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		s.mu.Lock()
		rejected := s.last.Rejected()
		s.mu.Unlock()
		if rejected {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a broken file is not seen")
		}
		time.Sleep(10 * time.Millisecond)
	}
	revoked := post(t, "http://"+s.ManageAddr().String()+"/api/v1/tokens/last:revoke", value, "")
	if revoked["inForce"] != true || !s.index.Snapshot().TokenByName("last").Revoked {
		t.Errorf("revoked with a broken file in the directory: %v", revoked)
	}
	if refused := post(t, "http://"+s.ManageAddr().String()+"/api/v1/tokens", value, `{"displayName": "more", "unrestricted": true}`); refused["status"] == nil {
		t.Errorf("created with a broken file in the directory: %v", refused["name"])
	}
}

// TestManagementsThatAreRefused checks each option that is invalid or insecure.
func TestManagementsThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	office(t, dir)
	for name, c := range map[string]struct {
		change func(*ManageOptions)
		want   string
	}{
		"no way to sign in":             {func(o *ManageOptions) { o.Gate = "" }, "there is no way to sign in"},
		"no directory":                  {func(o *ManageOptions) { o.Into = "" }, "--into"},
		"a directory that is not read":  {func(o *ManageOptions) { o.Into = t.TempDir() }, "--into"},
		"beyond loopback":               {func(o *ManageOptions) { o.Listen = "0.0.0.0:0" }, "--listen"},
		"no port":                       {func(o *ManageOptions) { o.Listen = "localhost" }, "HOST:PORT"},
		"a relative socket":             {func(o *ManageOptions) { o.Listen = "unix://x" }, "absolute"},
		"a header that anybody sets":    {func(o *ManageOptions) { o.UserHeader = "x-user" }, "--user-header"},
		"a header over TLS alone":       {func(o *ManageOptions) { o.UserHeader, o.TLSCert, o.TLSKey = "x-user", "c", "k" }, "--user-header"},
		"a key without its certificate": {func(o *ManageOptions) { o.TLSKey = "k" }, "go together"},
		"clients without a certificate": {func(o *ManageOptions) { o.ClientCA = "ca" }, "--client-ca"},
		"a link over a socket":          {func(o *ManageOptions) { o.Listen, o.LoginLink = "unix:///tmp/x.sock", "root" }, "--login-link"},
		"a session key that is missing": {func(o *ManageOptions) { o.SessionKeyFile = filepath.Join(dir, "none") }, "--session-key-file"},
		"a session key that is short":   {func(o *ManageOptions) { o.SessionKeyFile = filepath.Join(dir, "short") }, "--session-key-file"},
		"a status port that is no URL":  {func(o *ManageOptions) { o.GateStatus = []string{"127.0.0.1:9192"} }, "--gate-status"},
	} {
		if err := os.WriteFile(filepath.Join(dir, "short"), []byte("short"), 0o600); err != nil {
			t.Fatal(err)
		}
		o := &ManageOptions{Listen: "127.0.0.1:0", Into: dir, Gate: "tokens", Flags: "--"}
		c.change(o)
		m, err := NewManage(Options{Manifests: []string{dir}, Manage: o})
		var usage *UsageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
			if m != nil && m.management != nil {
				_ = m.listener.Close()
			}
		}
	}
}

// TestALoginLinkIsPrinted has a management that people sign in to on loopback.
func TestALoginLinkIsPrinted(t *testing.T) {
	dir := t.TempDir()
	office(t, dir)
	links := make(chan string, 1)
	m, err := NewManage(Options{Manifests: []string{dir}, Manage: &ManageOptions{
		Listen: "127.0.0.1:0", Into: dir, LoginLink: "root", Flags: "--", Announce: func(link string) { links <- link },
	}})
	if err != nil {
		t.Fatal(err)
	}
	run(t, m.Run)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Get(<-links)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if cookies := answer.Cookies(); answer.StatusCode != http.StatusSeeOther || len(cookies) != 1 || cookies[0].Name != "patgate" || cookies[0].Secure {
		t.Errorf("%d %v", answer.StatusCode, answer.Header)
	}
	var body bytes.Buffer
	if _, err := body.ReadFrom(answer.Body); err == nil && strings.Contains(body.String(), "patg_") {
		t.Error(body.String())
	}
}
