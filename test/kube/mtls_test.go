//go:build kube

package kube

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certAuthority issues certificates, as cert-manager would.
type certAuthority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCertAuthority(t testing.TB) *certAuthority {
	t.Helper()
	a := &certAuthority{t: t}
	a.cert, a.key = a.make(&x509.Certificate{IsCA: true, KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true})
	return a
}

// make makes a certificate, which signs itself where there is no authority yet.
func (a *certAuthority) make(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, _ = rand.Int(rand.Reader, big.NewInt(1<<62))
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// issue writes tls.crt, tls.key and ca.crt, as the Secrets of cert-manager have them.
func (a *certAuthority) issue(names ...string) string {
	a.t.Helper()
	cert, key := a.make(&x509.Certificate{Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}})
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	dir := a.t.TempDir()
	for name, block := range map[string]*pem.Block{
		"tls.crt": {Type: "CERTIFICATE", Bytes: cert.Raw},
		"tls.key": {Type: "EC PRIVATE KEY", Bytes: der},
		"ca.crt":  {Type: "CERTIFICATE", Bytes: a.cert.Raw},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o644); err != nil {
			a.t.Fatal(err)
		}
	}
	return dir
}

// overTLS has the standalone Envoy call over mTLS with a certificate, and accept only the
// Service's name.
func overTLS(t testing.TB, files, name string) func(string) string {
	return func(config string) string {
		t.Helper()
		const mark = "  - name: patgate\n    type: STATIC\n"
		if strings.Count(config, mark) != 1 {
			t.Fatalf("%q does not stand once in the configuration", mark)
		}
		return strings.Replace(config, mark, mark+`    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        common_tls_context:
          tls_certificates: [{certificate_chain: {filename: `+files+`/tls.crt}, private_key: {filename: `+files+`/tls.key}}]
          validation_context:
            trusted_ca: {filename: `+files+`/ca.crt}
            match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: `+name+`}}]
`, 1)
	}
}

// TestServesProduction runs the pod of the production example: the Certificate's Secret,
// manifests from several ConfigMaps in one directory, mTLS to Envoy, and a token that is
// revoked in the ConfigMap of another team.
func TestServesProduction(t *testing.T) {
	installCRDs(t)
	ns := newNamespace(t)
	production := examples(t)["production"]
	// The example's gate requires TLS at Envoy and clients of 10.0.0.0/8, which this Envoy does not have.
	gate := manifestValues(t, map[string]string{"gate.yaml": "apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata:\n  name: jira\nspec:\n" +
		"  hosts: [jira.example.com]\n  schemes: [basic, bearer]\n  groups: [token-users]\n  policies: [no-user-admin]\n"})
	ns.run("install", release, chart, "-f", production, "-f", gate, "-f", freePorts(t), "--set", "drain.delaySeconds=1")

	certificate := ns.get("certificate", release)
	ours := newCertAuthority(t)
	server := ours.issue(texts(certificate.at("spec", "dnsNames"))...)
	ns.kubectl("create", "secret", "generic", certificate.text("spec", "secretName"), "--from-file="+server)

	tokens, teamA := t.TempDir(), t.TempDir()
	bounds := writeData(t, ns.get("configmap", release+"-manifests"))
	value := newToken(t, tokens, bounds)
	other := patgate(t, "token", "create", "team-a-bot", "--into", teamA, "--manifests", bounds, "--user", "alice", "--unrestricted")
	ns.kubectl("create", "configmap", "patgate-tokens", "--from-file="+tokens)
	ns.kubectl("create", "configmap", "patgate-tokens-team-a", "--from-file=tokens.yaml="+filepath.Join(teamA, "team-a-bot.yaml"))

	service := release + "." + ns.name + ".svc"
	s := serve(ns, overTLS(t, ours.issue("envoy"), service))
	s.decides(value)
	s.want("the other team's token", 200, "GET", "/rest/api/2/serverInfo", "Bearer "+other)
	s.want("what bounds everybody", 403, "GET", "/rest/api/2/user/bob", "Bearer "+other)

	patgate(t, "token", "revoke", "team-a-bot", "--manifests", teamA, "--yes")
	ns.pipe(ns.kubectl("create", "configmap", "patgate-tokens-team-a", "--dry-run=client", "-o", "json",
		"--from-file=tokens.yaml="+filepath.Join(teamA, "team-a-bot.yaml")), "replace", "-f", "-")
	s.pod.sync()
	s.patgate.await("the revocation", func() bool {
		status, _ := s.ask("GET", "/rest/api/2/serverInfo", "Bearer "+other)
		return status == 401
	})
	s.want("the first team's token", 200, "GET", "/rest/api/2/issue/JRA-9", "Bearer "+value)
	s.ends()
}

// TestStrangersTLS starts the same pod with an Envoy whose certificate another authority
// has issued: nothing comes through.
func TestStrangersTLS(t *testing.T) {
	ns := newNamespace(t)
	dir := t.TempDir()
	gate := "apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata:\n  name: jira\nspec:\n  schemes: [bearer]\n  anonymous: {unrestricted: true}\n"
	if err := os.WriteFile(filepath.Join(dir, "gate.yaml"), []byte(gate), 0o644); err != nil {
		t.Fatal(err)
	}
	ns.run("install", release, chart, "-f", freePorts(t), "--set", "tls.existingSecret=mine", "-f", manifestValues(t, readFiles(t, dir)))
	ours, others := newCertAuthority(t), newCertAuthority(t)
	service := release + "." + ns.name + ".svc"
	ns.kubectl("create", "secret", "generic", "mine", "--from-file="+ours.issue(service))
	stranger := others.issue("envoy")
	ca, err := os.ReadFile(filepath.Join(ours.issue("x"), "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(stranger, "ca.crt"), ca, 0o644); err != nil {
		t.Fatal(err)
	}
	s := serve(ns, overTLS(t, stranger, service))
	s.want("an Envoy with a certificate of strangers", 503, "GET", "/", "")
	if n := s.requests.Load(); n != 0 {
		t.Errorf("%d requests came to the API", n)
	}
}

// writeData writes the files of a ConfigMap into a folder.
func writeData(t testing.TB, configMap object) string {
	t.Helper()
	dir := t.TempDir()
	data, _ := configMap["data"].(map[string]any)
	for name, text := range data {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text.(string)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
