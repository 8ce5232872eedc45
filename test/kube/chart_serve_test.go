//go:build kube

package kube

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/test/configmap"
)

// rendered is an object of the chart, with the fields that these tests read.
type rendered struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
	Spec     struct {
		DNSNames []string `yaml:"dnsNames"`
		Template struct {
			Spec struct {
				TerminationGracePeriodSeconds int `yaml:"terminationGracePeriodSeconds"`
				Containers                    []struct{ Args []string }
			}
		}
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
}

func chartObjects(t testing.TB, text string) map[string]rendered {
	t.Helper()
	objects := map[string]rendered{}
	for decoder := yaml.NewDecoder(strings.NewReader(text)); ; {
		var o rendered
		if err := decoder.Decode(&o); errors.Is(err, io.EOF) {
			return objects
		} else if err != nil {
			t.Fatal(err)
		}
		objects[o.Kind+"/"+o.Metadata.Name] = o
	}
}

// TestChartFlags checks that the command has every flag that the chart may pass.
func TestChartFlags(t *testing.T) {
	help, err := exec.Command(binary, "serve", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(chart, "templates/_pod.tpl"))
	if err != nil {
		t.Fatal(err)
	}
	flags := regexp.MustCompile(`(?m)^- (--[a-z-]+)`).FindAllStringSubmatch(string(source), -1)
	if len(flags) < 14 {
		t.Fatalf("%d flags in the template", len(flags))
	}
	for _, f := range flags {
		if !strings.Contains(string(help), "      "+f[1]+" ") {
			t.Errorf("patgate serve has no flag %s", f[1])
		}
	}
}

// chartPod is the server's container of a rendered chart, run as a process.
type chartPod struct {
	cmd       *exec.Cmd
	objects   map[string]rendered
	dir       string // where its volumes are
	manifests configmap.Mount
	status    string // URL of the status port
	checks    string // address
	grace     time.Duration
	logs      bytes.Buffer
	exited    chan error
}

// startChartPod renders the chart and starts patgate with the arguments of its pod; the
// volumes are folders, and POD_IP is loopback.
func startChartPod(t *testing.T, more map[string]string, certificate func(dir string, names []string), args ...string) *chartPod {
	t.Helper()
	checks, status := freePort(), freePort()
	objects := chartObjects(t, chartRender(t, "helm", append(args, "--set", "ports.grpc="+checks+",ports.status="+status+",drain.delaySeconds=1,manage.gateStatus[0]=http://127.0.0.1:"+status)...))
	dir := t.TempDir()
	p := &chartPod{objects: objects, dir: dir, manifests: configmap.Mount{Dir: filepath.Join(dir, "manifests")}, exited: make(chan error, 1),
		checks: "127.0.0.1:" + checks, status: "http://127.0.0.1:" + status}
	files := map[string]string{}
	for name, text := range objects["ConfigMap/patgate-manifests"].Data {
		files[name] = text
	}
	for name, text := range more {
		files[name] = text
	}
	if _, manages := objects["Deployment/patgate-manage"]; manages {
		p.manifests.Dir = filepath.Join(dir, "manifests/config")
	}
	for _, d := range []string{"manifests/config", "manifests/managed", "tls"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.manifests.Write(files); err != nil {
		t.Fatal(err)
	}
	if certificate != nil {
		certificate(filepath.Join(dir, "tls"), objects["Certificate/patgate"].Spec.DNSNames)
	}
	pod := objects["Deployment/patgate"].Spec.Template.Spec
	p.grace = time.Duration(pod.TerminationGracePeriodSeconds) * time.Second
	p.cmd = exec.Command(binary, p.arguments("patgate")...)
	p.cmd.Stderr = &p.logs
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.exited <- p.cmd.Wait() }()
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	p.await(t, "readiness", func() bool { code, _ := p.get("/readyz"); return code == http.StatusOK })
	return p
}

// arguments are those of the container of a Deployment, with folders for volumes and loopback for the pod's address.
func (p *chartPod) arguments(deployment string) []string {
	text := strings.Join(p.objects["Deployment/"+deployment].Spec.Template.Spec.Containers[0].Args, "\n")
	text = strings.NewReplacer("$(POD_IP)", "127.0.0.1", "/etc/patgate/", p.dir+"/").Replace(text)
	return strings.Split(text, "\n")
}

// freePort returns a port of loopback that nothing listens on.
func freePort() string {
	_, port, _ := net.SplitHostPort(freeAddr())
	return port
}

func (p *chartPod) get(path string) (int, string) {
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Get(p.status + path)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text)
}

func (p *chartPod) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
		select {
		case err := <-p.exited:
			t.Fatalf("waiting for %s, patgate ended: %v\n%s", what, err, &p.logs)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %s after a minute", what)
		}
	}
}

// check sends a check as Envoy would, and returns the HTTP status of the refusal; 200 for an allow.
func (p *chartPod) check(t *testing.T, creds credentials.TransportCredentials, host, path string) (int, error) {
	t.Helper()
	conn, err := grpc.NewClient(p.checks, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	request := &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: &authv3.AttributeContext_HttpRequest{Method: "GET", Path: path, Host: host, Headers: map[string]string{"x-forwarded-proto": "https"}},
	}}}
	answer, err := authv3.NewAuthorizationClient(conn).Check(ctx, request)
	if err != nil {
		return 0, err
	}
	if answer.GetOkResponse() != nil {
		return http.StatusOK, nil
	}
	return int(answer.GetDeniedResponse().GetStatus().GetCode()), nil
}

// TestChartServes runs the pod of the minimal example: it is ready, answers, follows its
// ConfigMap without a restart, reports that it terminates after SIGTERM, and ends within
// Kubernetes' grace period.
func TestChartServes(t *testing.T) {
	p := startChartPod(t, nil, nil, "--values", filepath.Join(chart, "examples/minimal.yaml"))
	if status, err := p.check(t, insecure.NewCredentials(), "jira.example.com", "/rest/api"); status != http.StatusUnauthorized {
		t.Errorf("a request without a token: %d %v, want 401", status, err)
	}
	gate := "apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: jira}\nspec: {anonymous: {allow: [{path: /rest/api}]}}\n"
	if err := p.manifests.Write(map[string]string{"gate.yaml": gate}); err != nil {
		t.Fatal(err)
	}
	p.await(t, "the new manifests", func() bool {
		status, err := p.check(t, insecure.NewCredentials(), "jira.example.com", "/rest/api")
		return err == nil && status == http.StatusOK
	})
	if _, text := p.get("/revision"); !strings.Contains(text, `"revision":2`) || !strings.Contains(text, `"ok":true`) {
		t.Errorf("/revision: %s", text)
	}
	told := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.await(t, "the end of readiness", func() bool { code, _ := p.get("/readyz"); return code == http.StatusServiceUnavailable })
	if status, err := p.check(t, insecure.NewCredentials(), "jira.example.com", "/rest/api"); status != http.StatusOK {
		t.Errorf("while it drains: %d %v, want 200", status, err)
	}
	if err := <-p.exited; err != nil {
		t.Errorf("it ended with %v\n%s", err, &p.logs)
	}
	if took := time.Since(told); took > p.grace {
		t.Errorf("it ended after %s, and would have been killed after %s", took, p.grace)
	}
}

// TestChartServesMTLS runs the pod of the production example, with a certificate for the
// names that it requests of cert-manager: a client with a certificate gets an answer, one
// without does not.
func TestChartServesMTLS(t *testing.T) {
	var ca authority
	p := startChartPod(t, map[string]string{"tokens.yaml": "apiVersion: patgate.dev/v1alpha1\nkind: UserGroup\nmetadata: {name: team-a}\nspec: {members: [alice]}\n"},
		func(dir string, names []string) {
			ca = newAuthority(t)
			key, cert := ca.issue(t, x509.ExtKeyUsageServerAuth, names...)
			mount := configmap.Mount{Dir: dir}
			if err := mount.Write(map[string]string{"tls.crt": cert, "tls.key": key, "ca.crt": ca.pem}); err != nil {
				t.Fatal(err)
			}
		}, "--values", filepath.Join(chart, "examples/production.yaml"))
	key, cert := ca.issue(t, x509.ExtKeyUsageClientAuth, "envoy")
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ca.pem))
	config := &tls.Config{RootCAs: roots, ServerName: "patgate.patgate.svc.cluster.local", Certificates: []tls.Certificate{pair}}
	if status, err := p.check(t, credentials.NewTLS(config), "jira.example.com", "/rest/api"); status != http.StatusUnauthorized && status != http.StatusForbidden {
		t.Errorf("with a certificate: %d %v, want a refusal of its own", status, err)
	}
	config.Certificates = nil
	if status, err := p.check(t, credentials.NewTLS(config), "jira.example.com", "/rest/api"); err == nil {
		t.Errorf("without a certificate it is answered: %d", status)
	}
}

// authority signs certificates, as an Issuer does.
type authority struct {
	pem  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	a := authority{}
	_, a.pem, a.cert, a.key = sign(t, &a, &x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue makes a key and a certificate for names, both in PEM.
func (a *authority) issue(t *testing.T, use x509.ExtKeyUsage, names ...string) (key, cert string) {
	t.Helper()
	key, cert, _, _ = sign(t, a, &x509.Certificate{DNSNames: names, ExtKeyUsage: []x509.ExtKeyUsage{use}, KeyUsage: x509.KeyUsageDigitalSignature})
	return key, cert
}

func sign(t *testing.T, a *authority, template *x509.Certificate) (keyPEM, certPEM string, cert *x509.Certificate, key *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err == nil {
		cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM = string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}))
	return keyPEM, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), cert, key
}
