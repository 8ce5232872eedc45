package check_test

import (
	"os"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/fronts"
	"github.com/patgate/patgate/fronts/check"
	"github.com/patgate/patgate/policy"
)

// mistake is a row of testdata/mistakes.yaml.
type mistake struct {
	Kind, Name, Code, Old, New, Extra string
	Old2, New2                        string
}

func mistakes(t *testing.T) (list []mistake) {
	t.Helper()
	text, err := os.ReadFile("testdata/mistakes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// plant makes the mistake in a configuration.
func (m *mistake) plant(t *testing.T, config string) string {
	t.Helper()
	for _, change := range [][2]string{{m.Old, m.New}, {m.Old2, m.New2}} {
		if change[0] == "" {
			continue
		}
		if strings.Count(config, change[0]) == 0 {
			t.Fatalf("%s: %s: %q is not there:\n%s", m.Kind, m.Name, change[0], config)
		}
		config = strings.Replace(config, change[0], change[1], 1)
	}
	return config + m.Extra
}

func gate() *policy.Gate {
	return &policy.Gate{Name: "app", Hosts: []string{policy.AnyHost}, Prefixes: []string{""},
		Upstream: policy.NewUpstream("x-forwarded-user", "x-forwarded-groups", "x-patgate-token", "", false)}
}

func printed(t *testing.T, kind string, change func(*fronts.Settings)) string {
	t.Helper()
	s := fronts.Settings{Kind: kind, Gates: []*policy.Gate{gate()}}
	if change != nil {
		change(&s)
	}
	text, _, err := s.Text()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// names are what files of each kind are called.
var names = map[string]string{"nginx": "patgate.conf", "caddy": "Caddyfile", "haproxy": "haproxy.cfg", "haproxy-lua": "patgate.lua", "traefik": "traefik.yaml", "gateway-api": "route.yaml"}

func found(t *testing.T, name, text string) []diag.Problem {
	t.Helper()
	list, err := check.Check([]check.File{{Name: name, Data: []byte(text)}}, check.Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return list
}

// TestPrinted finds nothing in what front-config prints.
func TestPrinted(t *testing.T) {
	for kind, name := range names {
		for _, change := range []func(*fronts.Settings){
			nil,
			func(s *fronts.Settings) { s.Upgrades = []string{"websocket"}; s.TLS = "/etc/tls" },
			func(s *fronts.Settings) { s.Gates[0].Hosts = []string{"api.example.com", "*.example.com"} },
		} {
			if list := found(t, name, printed(t, kind, change)); len(list) > 0 {
				t.Errorf("%s: %v", kind, list)
			}
		}
	}
}

// TestMistakes plants each mistake: it is found, at a place.
func TestMistakes(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range mistakes(t) {
		list := found(t, names[m.Kind], m.plant(t, printed(t, m.Kind, nil)))
		codes := map[string]bool{}
		for _, f := range list {
			codes[string(f.Code)] = true
			if f.Pos.Line == 0 || f.Pos.Column == 0 || f.Fix == "" {
				t.Errorf("%s: %s: %+v", m.Kind, m.Name, f)
			}
		}
		if !codes[m.Code] {
			t.Errorf("%s: %s: %v, want %s", m.Kind, m.Name, list, m.Code)
		}
		seen[m.Code] = true
	}
	for _, code := range check.Codes() {
		if !seen[string(code)] && code != check.Unread {
			t.Errorf("no mistake for %s", code)
		}
	}
}

// TestServersThatAskNowhere finds servers of nginx that are for a host of a gate, or take headers of an answer, and
// lost their auth_request. Other servers of the same file are not patgate's.
func TestServersThatAskNowhere(t *testing.T) {
	printed := printed(t, "nginx", nil)
	second := "server {\n  server_name NAME;\n  location / { proxy_pass http://other; }\n}\n"
	lost := strings.Replace(printed, "        auth_request /_patgate;\n", "", 1)
	for name, c := range map[string]struct {
		text, server string
		hosts        []string
		open         bool
	}{
		"a host of a gate":            {printed, "wiki.example.com", []string{"wiki.example.com"}, true},
		"in other case, among others": {printed, "a.example.com Wiki.Example.com", []string{"jira.example.com", "wiki.example.com"}, true},
		"below a gate's hosts":        {printed, "wiki.example.com", []string{"*.example.com"}, true},
		"a gate's hosts themselves":   {printed, "*.example.com", []string{"*.example.com"}, true},
		"with a dot":                  {printed, ".example.com", []string{"wiki.example.com"}, true},
		"all hosts below it":          {printed, "*.example.com", []string{"*.wiki.example.com"}, true},
		"with any end":                {printed, "wiki.*", []string{"wiki.example.com"}, true},
		"a regular expression":        {printed, `"~^(www\\.)?wiki\\.example\\.(com|org)$"`, []string{"wiki.example.com"}, true},
		"one for hosts below":         {printed, `~^[a-z]+\.example\.com$`, []string{"*.example.com"}, true},
		"another regular expression":  {printed, `~^static\.`, []string{"wiki.example.com", "*.example.com"}, false},
		"another with any end":        {printed, "static.*", []string{"wiki.example.com"}, false},
		"hosts below another":         {printed, "*.static.example.com", []string{"*.wiki.example.com"}, false},
		"all hosts of the gate's":     {printed, "*.example.com", []string{"wiki.example.com"}, true},
		"another host":                {printed, "static.example.com", []string{"wiki.example.com"}, false},
		"an end of another host":      {printed, "notwiki.example.com", []string{"*.wiki.example.com"}, false},
		"a gate for every host":       {printed, "static.example.com", []string{"*"}, false},
		"a gate that was not given":   {printed, "wiki.example.com", nil, false},
		"the one server lost it":      {lost, "static.example.com", nil, true},
		"nothing asks, a gate's host": {"", "wiki.example.com", []string{"wiki.example.com"}, true},
	} {
		text := c.text + strings.Replace(second, "NAME", c.server, 1)
		list, err := check.Check([]check.File{{Name: "nginx.conf", Data: []byte(text)}}, check.Options{Hosts: c.hosts})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if open := strings.Contains(strings.Join(diag.Strings(list), "\n"), "without auth_request"); open != c.open {
			t.Errorf("%s: %v, want an open place: %t", name, list, c.open)
		}
	}
}

// TestFrontendsThatAskNowhere does so for frontends of HAProxy.
func TestFrontendsThatAskNowhere(t *testing.T) {
	for name, c := range map[string]struct {
		lines string
		hosts []string
		open  bool
	}{
		"a host of a gate":     {"acl w hdr(host) -i wiki.example.com\n    use_backend other if w", []string{"wiki.example.com"}, true},
		"in quotes, in a test": {"use_backend other if { req.hdr(host) -i 'Wiki.example.com' }", []string{"wiki.example.com"}, true},
		"below a gate's hosts": {"use_backend other if { hdr_end(host) -i .example.com }", []string{"*.example.com"}, true},
		"an end without a dot": {"use_backend other if { hdr_end(host) -i example.com }", []string{"wiki.example.com"}, true},
		"an end by a flag":     {"use_backend other if { req.hdr(host) -i -m end .example.com }", []string{"wiki.example.com"}, true},
		"the end of another":   {"use_backend other if { hdr_end(host) -i example.org }", []string{"wiki.example.com"}, false},
		"another host":         {"use_backend other if { hdr(host) -i static.example.com }", []string{"wiki.example.com"}, false},
		"a redirect":           {"http-request redirect scheme https if { hdr(host) -i wiki.example.com }", []string{"wiki.example.com"}, false},
	} {
		text := printed(t, "haproxy", nil) + "\nfrontend other\n    bind 127.0.0.1:65003\n    " + c.lines + "\n\nbackend other\n    server a 127.0.0.1:8082\n"
		list, err := check.Check([]check.File{{Name: "haproxy.cfg", Data: []byte(text)}}, check.Options{Hosts: c.hosts})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if open := strings.Contains(strings.Join(diag.Strings(list), "\n"), "and does not ask"); open != c.open {
			t.Errorf("%s: %v, want an open frontend: %t", name, list, c.open)
		}
	}
}

// TestAccepted accepts a finding by a comment.
func TestAccepted(t *testing.T) {
	text := strings.Replace(printed(t, "nginx", nil), "    location / {", "    # patgate:ignore unguarded the health of the API\n    location = /health { proxy_pass http://patgate_api; }\n    location / {", 1)
	if list := found(t, "patgate.conf", text); len(list) != 1 || list[0].Suppressed != "the health of the API" {
		t.Errorf("%v", list)
	}
}

// TestForms reads the same mistake in other forms.
func TestForms(t *testing.T) {
	for _, c := range []struct{ name, text, code string }{
		{"dynamic.toml", "[http.middlewares.patgate.forwardAuth]\naddress = \"http://127.0.0.1:9193/check\"\ntrustForwardHeader = true\n", "trust-forward-header"},
		{"objects.yaml", "apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {name: patgate}\nspec:\n  forwardAuth:\n    address: http://x\n    trustForwardHeader: false\n" +
			"---\napiVersion: traefik.io/v1alpha1\nkind: IngressRoute\nmetadata: {name: api}\nspec:\n  routes:\n  - match: PathPrefix(`/`)\n    middlewares: [{name: other}]\n", "unguarded"},
		{"ingress.conf", "server {\n location = /_auth { internal; proxy_pass http://p/check; proxy_pass_request_body off; proxy_read_timeout 2s; proxy_set_header X-Original-URL $scheme://$http_host$request_uri; " +
			"proxy_set_header X-Original-Method $request_method; proxy_set_header X-Real-IP $remote_addr; }\n location / { auth_request /_auth; proxy_pass http://api; }\n}\n", "content-length"},
		{"caddy.json", `{"apps":{"http":{"servers":{"s":{"routes":[{"handle":[{"handler":"reverse_proxy","rewrite":{"method":"GET","uri":"/check"},"handle_response":[{}]},{"handler":"reverse_proxy"}]}]}}}}}`, "check-query"},
		{"caddy.json", `{"apps":{"http":{"servers":{"s":{"routes":[{"handle":[{"handler":"reverse_proxy"}]},{"handle":[{"handler":"reverse_proxy","rewrite":{"method":"GET","uri":"/check?"},"handle_response":[{}]},{"handler":"reverse_proxy"}]}]}}}}}`, "unguarded"},
		{"Caddyfile", "(gate) {\n\tforward_auth 127.0.0.1:9193 {\n\t\turi /check\n\t}\n}\n:80 {\n\timport gate\n\treverse_proxy 127.0.0.1:8081\n}\n", "check-query"},
		{"Caddyfile", ":80\nforward_auth 127.0.0.1:9193 {\n\turi /check\n}\nreverse_proxy 127.0.0.1:8081\n", "check-query"},
	} {
		list := found(t, c.name, c.text)
		if !strings.Contains(strings.Join(diag.Strings(list), "\n"), c.code) {
			t.Errorf("%s: %v, want %s", c.name, list, c.code)
		}
	}
}

// TestUnreadable refuses what is no configuration, with the place.
func TestUnreadable(t *testing.T) {
	for name, text := range map[string]string{
		"a.conf":       "server {\n location / {\n",
		"b.conf":       "location / { }\n}\n",
		"c.txt":        "hello",
		"d.toml":       "[http\n",
		"traefik.yaml": "http: [\n",
		"Caddyfile":    ":80 {\n\treverse_proxy x\n",
		"empty.conf":   "server { listen 1; }\n",
	} {
		if _, err := check.Check([]check.File{{Name: name, Data: []byte(text)}}, check.Options{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
