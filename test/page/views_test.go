package page

import (
	"net/url"
	"os"
	"path/filepath"
	"testing"
)

// TestViews looks at every view, light and dark, narrow and wide.
func TestViews(t *testing.T) {
	g := newRig(t)
	value := g.create("alice", "Dashboard")
	for range 3 {
		if got := g.call("GET", "/rest/api/2/issue/JRA-1", value); got != 200 {
			t.Fatal(got)
		}
	}
	for _, path := range []string{"/rest/api/2/project", "/rest/api/2/user/alice"} {
		if got := g.call("GET", path, value); got != 403 {
			t.Fatal(got)
		}
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("of a provider that is away"), 0o600); err != nil {
		t.Fatal(err)
	}
	safe := newRig(t, "--manage-secure-mode", "--manage-oidc-issuer", "http://"+freeAddr(t), "--manage-oidc-client-id", "patgate", "--manage-oidc-client-secret-file", secret)
	for _, l := range looks {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			views(t, g, safe, l)
		})
	}
}

func views(t *testing.T, g, safe *rig, l look) {
	shoot := func(w *window, name string, status, want int64) {
		t.Helper()
		if status != want {
			t.Errorf("%s: %d, want %d\n%s", name, status, want, w.text())
		}
		w.still(name)
		w.fits(name)
		w.shoot(name + "-" + l.name)
		if l.axe {
			w.accessible(name)
		}
	}
	none := g.open(t, "", l)
	shoot(none, "signin-link", none.visit("/"), 401)
	shoot(none, "nothing", none.visit("/nothing"), 404)
	away := safe.open(t, "", l)
	shoot(away, "signin", away.visit("/new?name=x"), 401)
	shoot(away, "signin-failed", away.follow(away.click(`//main//a`)), 503)
	empty := g.open(t, "bob", l)
	shoot(empty, "list-none", empty.visit("/?q=nothing+like+it"), 200)
	first := g.open(t, "keyboard", l)
	shoot(first, "list-empty", first.visit("/"), 200)
	reader := g.open(t, "reader", l)
	shoot(reader, "list-reader", reader.visit("/"), 200)
	shoot(reader, "new-refused", reader.visit("/new"), 200)

	w := g.open(t, "alice", l)
	shoot(w, "list", w.visit("/"), 200)
	shoot(w, "new", w.visit("/new"), 200)
	shoot(w, "new-link", w.visit("/new?name=Build+status&policy=read-issues&expires=60d&description=Shows+builds"), 200)
	w.write("try-path", "/rest/api/2/project")
	shoot(w, "new-try", w.press("Try it"), 200)
	w.visit("/new")
	w.write("name", "Everything wrong")
	w.lines("[gte]/rest/[")
	shoot(w, "new-error", w.press("Create token"), 400)
	shoot(w, "token", w.visit("/tokens/dashboard"), 200)
	w.write("try-path", "/rest/api/2/user/alice")
	shoot(w, "token-try", w.press("Try it"), 200)
	shoot(w, "token-soon", w.visit("/tokens/release-notes"), 200)
	shoot(w, "token-suspended", w.visit("/tokens/paused"), 200)
	shoot(w, "token-revoked", w.visit("/tokens/leaked"), 200)
	shoot(w, "edit", w.visit("/tokens/paused/edit"), 200)
	shoot(w, "rotate", w.visit("/tokens/dashboard/rotate"), 200)
	shoot(w, "revoke", w.visit("/tokens/dashboard/revoke"), 200)
	shoot(w, "unknown", w.visit("/tokens/everything"), 404)
	made := g.open(t, "bob", l)
	made.visit("/new?name=" + url.QueryEscape("Shown in "+l.name) + "&policy=read-issues&gate=jira")
	shoot(made, "value", made.press("Create token"), 201)
	made.allowClipboard()
	made.pick(`//button[@data-copy="value"]`)

	root := g.open(t, "root", l)
	shoot(root, "all", root.visit("/all"), 200)
	shoot(root, "people", root.visit("/people"), 200)
	shoot(root, "groups", root.visit("/groups"), 200)
	root.visit("/people")
	shoot(root, "many", root.press("Revoke all… of dana"), 200)
	shoot(root, "new-admin", root.visit("/new"), 200)

	secure := safe.open(t, "alice", l)
	shoot(secure, "secure-list", secure.visit("/"), 200)
	shoot(secure, "secure-token", secure.visit("/tokens/nightly-report"), 200)
	shoot(secure, "secure-edit", secure.visit("/tokens/nightly-report/edit"), 200)
}
