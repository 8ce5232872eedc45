package check_test

import (
	"strings"
	"testing"

	"github.com/patgate/patgate/envoy/check"
)

// TestUnreadable checks that an unreadable text is an error with its place, never a
// configuration without findings.
func TestUnreadable(t *testing.T) {
	bomb := "a: &a [x, x, x, x, x, x, x, x, x]\n"
	for _, pair := range []string{"ba", "cb", "dc", "ed", "fe", "gf", "hg", "ih", "ji"} {
		bomb += string(pair[0]) + ": &" + string(pair[0]) + " [" + strings.TrimSuffix(strings.Repeat("*"+string(pair[1])+", ", 9), ", ") + "]\n"
	}
	for _, test := range []struct{ name, text, want string }{
		{"empty", "", "f: is empty: expected a configuration of Envoy"},
		{"nothing but a comment", "# nothing\n---\n", "f: is empty"},
		{"no mapping", "- a\n- b\n", "f:1:3: is no configuration of Envoy: expected a bootstrap, "},
		{"a text", "hello", "f:1:1: is no configuration of Envoy"},
		{"something else", "a: 1\nb: 2\n", "f:1:1: is no configuration of Envoy"},
		{"the second document", "admin: {}\n---\nhello: 1\n", "f:3:1: is no configuration of Envoy"},
		{"broken YAML", "static_resources: {listeners: [", "f: line 1: did not find expected node content"},
		{"broken JSON", "{\"static_resources\": {\n\"listeners\": [}", "f: line 2: invalid character '}' looking for beginning of value"},
		{"an anchor within itself", "static_resources: &a {listeners: [*a]}", "f: has more than 200 levels, or aliases that make it many times as large: an anchor within itself?"},
		{"an anchor of anchors of anchors", bomb, "f: has more than 200 levels, or aliases"},
		{"an alias of nothing", "admin: *nobody", "f: unknown anchor 'nobody' referenced"},
		{"an object that says nothing of Envoy", "apiVersion: v1\nkind: Service\n", "nothing to check: no listener, no ext_authz filter"},
		{"clusters alone", "static_resources: {clusters: [{name: a}]}", "nothing to check"},
		{"xds of something else", "{\"xds\": {\"a\": {\"b\": {\"c\": 1}}}}", "f:1:2: is no configuration of Envoy"},
		{"a list of something else", "- {name: a}\n- {name: b}\n", "f:1:3: is no configuration of Envoy"},
		{"maps of something else", "a: {b: {c: 1}}\n", "f:1:1: is no configuration of Envoy"},
		{"an empty list", "[]", "nothing to check"},
		{"endpoints alone", "- {clusterName: a, endpoints: []}\n", "nothing to check"},
		{"a dump of nothing", "{\"configs\": []}", "nothing to check"},
	} {
		list, err := check.Check([]check.File{{Name: "f", Data: []byte(test.text)}}, check.Options{})
		if err == nil || !strings.HasPrefix(err.Error(), test.want) || len(list) > 0 {
			t.Errorf("%s: %v, %v, want %s", test.name, list, err, test.want)
		}
	}
}

// TestAccept checks that comments accept what they name, with a reason, and are reported
// where they accept nothing.
func TestAccept(t *testing.T) {
	const before = "admin:\n  address:\n    socket_address:\n"
	for _, test := range []struct{ name, text, want string }{
		{"none", "      address: 0.0.0.0", "admin-open"},
		{"on the line", "      address: 0.0.0.0  # patgate:accept admin-open behind a firewall", "accepted admin-open"},
		{"above it", "      # patgate:accept admin-open behind a firewall\n      address: 0.0.0.0", "accepted admin-open"},
		{"without a reason", "      address: 0.0.0.0  # patgate:accept admin-open", "admin-open unused-accept"},
		{"another code", "      address: 0.0.0.0  # patgate:accept no-tls a reason", "admin-open unused-accept"},
		{"no code", "      address: 0.0.0.0  # patgate:accept admin a reason", "admin-open unused-accept"},
	} {
		var got []string
		for _, f := range found(t, "f", before+test.text, nil) {
			if f.Suppressed != "" {
				got = append(got, "accepted")
			}
			got = append(got, string(f.Code))
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: %v, want %s", test.name, got, test.want)
		}
	}
}
