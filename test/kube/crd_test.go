//go:build kube

package kube

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/patgate/patgate/test/golden"
)

// crds is the one file to apply.
const crds = "../../charts/patgate/crds/patgate.dev.yaml"

// installKinds installs patgate's definitions into the cluster of the run, once.
func installKinds(t testing.TB, ns *namespace) {
	t.Helper()
	if ns.c.own {
		return
	}
	ns.kubectl("apply", "--server-side", "-f", crds)
	ns.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd/gates.patgate.dev", "crd/apitokens.patgate.dev", "crd/usergroups.patgate.dev", "crd/tokenpolicies.patgate.dev")
	ns.c.own = true
}

// plurals are the resources by kind.
var plurals = map[string]string{"Gate": "gates", "APIToken": "apitokens", "UserGroup": "usergroups", "TokenPolicy": "tokenpolicies"}

// post creates an object of YAML as a dry run, and returns the API server's refusal; empty: it is admitted.
func (c *cluster) post(t testing.TB, ns string, document []byte) string {
	t.Helper()
	plural := plurals[field(document, "kind")]
	if plural == "" || field(document, "apiVersion") != "patgate.dev/v1alpha1" {
		return "no resource of this kind and version"
	}
	url := fmt.Sprintf("%s/apis/patgate.dev/v1alpha1/namespaces/%s/%s?dryRun=All&fieldValidation=Strict", c.url, ns, plural)
	status, body := c.do(t, http.MethodPost, url, "application/yaml", document)
	if status == http.StatusCreated {
		return ""
	}
	var answer struct{ Message string }
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatalf("%d: %s", status, body)
	}
	return answer.Message
}

// do sends a request to the API server as its administrator.
func (c *cluster) do(t testing.TB, method, url, contentType string, body []byte) (int, []byte) {
	t.Helper()
	ask, err := http.NewRequestWithContext(context.Background(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	ask.Header.Set("Authorization", "Bearer "+c.token)
	ask.Header.Set("Content-Type", contentType)
	answer, err := c.client(t).Do(ask)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, text
}

// client is an HTTP client that trusts the API server.
func (c *cluster) client(t testing.TB) *http.Client {
	t.Helper()
	if c.http == nil {
		pem, err := os.ReadFile(filepath.Join(c.dir, "certs", "apiserver.crt"))
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		c.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}}
	}
	return c.http
}

// field returns the value of a key at the top of a YAML document.
func field(document []byte, key string) string {
	m := regexp.MustCompile(`(?m)^` + key + `: *"?([\w./]+)"?`).FindSubmatch(document)
	if m == nil {
		return ""
	}
	return string(m[1])
}

var separator = regexp.MustCompile(`(?m)^---.*$\n?`)

// split cuts YAML into its documents.
func split(text []byte) (documents [][]byte) {
	for _, part := range separator.Split(string(text), -1) {
		if strings.TrimSpace(part) != "" {
			documents = append(documents, []byte(part))
		}
	}
	return documents
}

// TestBrokenManifestsAreRefusedOrShown holds where each broken manifest of the project is caught once it is
// an object: the API server refuses it at admission, or it is admitted and patgate does not accept
// it, because what is wrong shows only beside other objects or to patgate's own decoder. The
// objects that are admitted are what TestFaultsOfAdmittedObjectsAreReported of ruleset reads.
func TestBrokenManifestsAreRefusedOrShown(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	archives, err := filepath.Glob("../../ruleset/testdata/bad/*.txtar")
	if err != nil || len(archives) < 60 {
		t.Fatalf("%d archives, %v", len(archives), err)
	}
	var lines []string
	for _, path := range archives {
		name := strings.TrimSuffix(filepath.Base(path), ".txtar")
		if strings.HasPrefix(name, "test-") || strings.HasPrefix(name, "dir-") {
			continue // PolicyTests and directories are no objects
		}
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		refusal := ""
		for _, f := range archive.Files {
			if f.Name == "want" {
				continue
			}
			for _, doc := range split(f.Data) {
				if refusal = ns.c.post(t, ns.name, doc); refusal != "" {
					break
				}
			}
			if refusal != "" {
				break
			}
		}
		switch refusal {
		case "":
			lines = append(lines, name+": status")
		default:
			lines = append(lines, name+": admission")
			t.Logf("%s: %s", name, refusal)
		}
	}
	slices.Sort(lines)
	golden.File(t, "testdata/crd/refused.txt", strings.Join(lines, "\n")+"\n")
}

// TestFormsOfAFileAreFormsOfAnObject has values that CEL and patgate might read differently: what a file may hold, an object may.
func TestFormsOfAFileAreFormsOfAnObject(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	const head = "apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: ci}\nspec:\n  digest: sha256:a225fab98955e121e6b28bd2fcfe197dffc8706e731a58295f31369fbd6a41d8\n  issued: 2026-05-01T00:00:00Z\n  unrestricted: true\n"
	for name, c := range map[string]struct{ spec, refused string }{
		"IPv4 in IPv6":        {`user: a` + "\n  " + `clients: {allow: ["::ffff:10.0.0.0/104", "::FFFF:192.0.2.7"]}`, ""},
		"other letters":       {`user: "dörte müller"`, ""},
		"a control character": {`user: "a\tb"`, "spec.user"},
		"a digest twice":      {"user: a\n  previous: [{digest: sha256:a225fab98955e121e6b28bd2fcfe197dffc8706e731a58295f31369fbd6a41d8, issued: 2026-04-01T00:00:00Z, until: 2026-05-02T00:00:00Z}]", "spec.previous"},
		"an earlier value":    {"user: a\n  previous: [{digest: sha256:b225fab98955e121e6b28bd2fcfe197dffc8706e731a58295f31369fbd6a41d8, issued: 2026-04-01T00:00:00Z, until: 2026-05-02T00:00:00Z}]", ""},
	} {
		if got := ns.c.post(t, ns.name, []byte(head+"  "+c.spec+"\n")); (got == "") != (c.refused == "") || !strings.Contains(got, c.refused) {
			t.Errorf("%s: %q, want one of %q", name, got, c.refused)
		}
	}
}
