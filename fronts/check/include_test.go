package check_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/fronts/check"
)

// onDisk reads files as the command does.
var onDisk = &check.Disk{Read: os.ReadFile, Glob: filepath.Glob}

// pieces is a configuration that asks, in pieces: the printed one, with its locations in files of their own.
func pieces(t *testing.T) map[string]string {
	t.Helper()
	text := printed(t, "nginx", nil)
	at := strings.Index(text, "    location / {")
	end := strings.Index(text, "    location = /_patgate")
	headers := strings.Index(text, "        # What patgate answers")
	last := strings.Index(text, "        add_header x-patgate-id")
	return map[string]string{
		"nginx.conf":             "events {}\nhttp {\n  include mime.types;\n  include modules/*.conf;\n  include conf.d/*.conf;\n}\n",
		"conf.d/api.conf":        text[:at] + "    include snippets/guarded.conf;\n" + text[end:],
		"snippets/guarded.conf":  text[at:headers] + "        include snippets/headers.conf;\n" + text[last:end],
		"snippets/headers.conf":  text[headers:last],
		"snippets/open.conf":     "location /public {\n  proxy_pass http://patgate_api;\n}\n",
		"snippets/accepted.conf": "# patgate:ignore unguarded the health of the API\nlocation = /health { proxy_pass http://patgate_api; }\n",
	}
}

// laid writes files, and returns their folder.
func laid(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// checked checks a file of a folder as the command does.
func checked(t *testing.T, dir, name string) (list []diag.Problem, err error) {
	t.Helper()
	at := filepath.Join(dir, name)
	data, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	return check.Check([]check.File{{Name: at, Data: data}}, check.Options{Kind: check.Nginx, Disk: onDisk})
}

// dumped writes files as `nginx -T` prints them: each once, the main one first.
func dumped(files map[string]string) string {
	text := ""
	for _, name := range []string{"nginx.conf", "conf.d/api.conf", "snippets/guarded.conf", "snippets/headers.conf", "snippets/open.conf", "snippets/accepted.conf"} {
		text += fmt.Sprintf("# configuration file /etc/nginx/%s:\n%s\n", name, files[name])
	}
	return text + "# configuration file /etc/nginx/mime.types:\ntypes {}\n"
}

// TestIncludes finds in pieces what it finds in the whole, at the place in the piece: in files, and in what nginx -T
// prints.
func TestIncludes(t *testing.T) {
	for _, c := range []struct {
		name, file, old, new string
		want                 string // file:line:column and code; empty: nothing is found
	}{
		{name: "as printed", file: "nginx.conf"},
		{"a path", "snippets/guarded.conf", "http://patgate_api;", "http://patgate_api/;", "snippets/guarded.conf:15:9 path-changed"},
		{"a header less", "snippets/headers.conf", "        proxy_set_header x-forwarded-user $patgate_to_x_forwarded_user;\n", "", "snippets/guarded.conf:15:9 identity-header"},
		{"no headers", "snippets/guarded.conf", "        include snippets/headers.conf;\n", "", "snippets/guarded.conf:15:9 identity-header"},
		{"an open location", "conf.d/api.conf", "    include snippets/guarded.conf;\n", "    include snippets/guarded.conf;\n    include snippets/open.conf;\n", "snippets/open.conf:2:3 unguarded"},
		{"by a pattern", "conf.d/api.conf", "    include snippets/guarded.conf;\n", "    include snippets/guarded.conf;\n    include snippets/o*.conf;\n", "snippets/open.conf:2:3 unguarded"},
		{"twice", "conf.d/api.conf", "    include snippets/guarded.conf;\n", "    include snippets/guarded.conf;\n    include snippets/open.conf;\n    include snippets/open.conf;\n", "snippets/open.conf:2:3 unguarded"},
		{"accepted", "conf.d/api.conf", "    include snippets/guarded.conf;\n", "    include snippets/guarded.conf;\n    include snippets/accepted.conf;\n", ""},
	} {
		files := pieces(t)
		if c.old != "" && strings.Count(files[c.file], c.old) == 0 {
			t.Fatalf("%s: %q is not in\n%s", c.name, c.old, files[c.file])
		}
		files[c.file] = strings.Replace(files[c.file], c.old, c.new, 1)
		dir := laid(t, files)
		for _, main := range []string{"nginx.conf", "conf.d/api.conf"} {
			list, err := checked(t, dir, main)
			wantFound(t, c.name+": "+main, list, err, dir, c.want)
		}
		list, err := check.Check([]check.File{{Name: check.Stdin, Data: []byte(dumped(files))}}, check.Options{Disk: onDisk})
		wantFound(t, c.name+": nginx -T", list, err, "/etc/nginx", c.want)
	}
}

func wantFound(t *testing.T, name string, list []diag.Problem, err error, dir, want string) {
	t.Helper()
	got := ""
	for _, f := range list {
		if f.Suppressed == "" {
			file, _ := filepath.Rel(dir, f.File)
			got += fmt.Sprintf("%s:%d:%d %s\n", file, f.Pos.Line, f.Pos.Column, f.Code)
		}
	}
	if err != nil || strings.TrimSpace(got) != want {
		t.Errorf("%s: %v: got\n%swant %s", name, err, got, want)
	}
}

// TestIncludesRefused says where an include is that can't be followed.
func TestIncludesRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"missing", map[string]string{"nginx.conf": "http {\n  include conf.d/missing.conf;\n}\n"}, "nginx.conf:2:3: include conf.d/missing.conf: there is no "},
		{"nothing named", map[string]string{"nginx.conf": "include;\n"}, "nginx.conf:1:1: include : expected a file"},
		{"itself", map[string]string{"nginx.conf": "server {\n include nginx.conf;\n}\n"}, "nginx.conf:2:2: include nginx.conf: "},
		{"a loop", map[string]string{"nginx.conf": "include a.conf;\n", "a.conf": "server {\n  include b.conf;\n}\n", "b.conf": "\n\n include a.*;\n"}, "b.conf:3:2: include a.*: "},
		{"a folder", map[string]string{"nginx.conf": "include conf.d;\n", "conf.d/a.conf": ""}, "nginx.conf:1:1: include conf.d: "},
		{"a broken file", map[string]string{"nginx.conf": "include a.conf;\n", "a.conf": "server {\n  location / {\n}\n"}, "a.conf:1:1: a brace is not closed"},
		{"a broken pattern", map[string]string{"nginx.conf": "include conf.d/[a;\n"}, "nginx.conf:1:1: include conf.d/[a: syntax error in pattern, expected a pattern"},
		{"ever more", map[string]string{"nginx.conf": "include 1*;", "1.conf": strings.Repeat("include 2*;", 40), "2.conf": strings.Repeat("include 3*;", 40), "3.conf": ""}, "more than 1000 files are included"},
	} {
		dir := laid(t, c.files)
		_, err := checked(t, dir, "nginx.conf")
		if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), dir+"/", ""), c.want) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

// TestIncludesUnread warns of what is included where nothing can be read: text from a pipe.
func TestIncludesUnread(t *testing.T) {
	files := pieces(t)
	text := strings.Replace(files["conf.d/api.conf"], "include snippets/guarded.conf;", files["snippets/guarded.conf"], 1)
	for _, o := range []check.Options{{Disk: onDisk}, {}} {
		list, err := check.Check([]check.File{{Name: check.Stdin, Data: []byte(text)}}, o)
		if err != nil || !strings.Contains(strings.Join(diag.Strings(list), "\n"), "unread") {
			t.Errorf("%v %v", list, err)
		}
	}
}
