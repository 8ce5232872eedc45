//go:build kube

package kube

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/patgate/patgate/test/freeaddr"
)

// startTimeout allows for a machine that builds other things meanwhile.
const startTimeout = 3 * time.Minute

// binary is patgate, as `make build` builds it.
var binary string

// TestMain builds patgate, and stops the cluster that a test started. The test binary is
// the containers' runtime too: see container_test.go.
func TestMain(m *testing.M) {
	if spec := os.Getenv(containerVariable); spec != "" {
		fmt.Fprintln(os.Stderr, "container:", becomeContainer(spec))
		os.Exit(125)
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "patgate-kube-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		defer func() {
			if running != nil {
				running.stop()
			}
		}()
		binary = filepath.Join(dir, "patgate")
		build := exec.Command("go", "build", "-trimpath", "-o", binary, "../../cmd/patgate")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "building patgate:", err)
			return 1
		}
		return m.Run()
	}())
}

// cluster is a kube-apiserver with its etcd, and nothing else: objects are checked and
// kept, no controller acts on them.
type cluster struct {
	dir        string // removed by stop
	kubeconfig string
	processes  []*process      // in the order of their starts
	namespaces map[string]bool // those that are there
	crds       bool            // the definitions of others are installed
	own        bool            // patgate's are
	url, token string          // of the API server, and its administrator's
	etcd       string          // its URL
	http       *http.Client    // trusts it
	apiserver  []string        // its command line
}

// running is the cluster of this run, once a test asked for it. The tests run one after
// the other. If it did not start, it is not tried again.
var (
	running   *cluster
	noCluster error
)

// theCluster returns the cluster that all tests share, each in namespaces of its own.
func theCluster(t testing.TB) *cluster {
	t.Helper()
	if noCluster != nil {
		t.Fatalf("the cluster did not come up: %v", noCluster)
	}
	if running != nil {
		return running
	}
	etcd, apiserver := tool(t, "etcd"), tool(t, "kube-apiserver")
	dir, err := os.MkdirTemp("", "patgate-cluster-")
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{dir: dir, kubeconfig: filepath.Join(dir, "kubeconfig"), namespaces: map[string]bool{}}
	if err := c.start(etcd, apiserver); err != nil {
		c.stop()
		noCluster = err
		t.Fatal(err)
	}
	running = c
	return c
}

// start runs both on loopback and waits until the API server says that it is ready.
func (c *cluster) start(etcd, apiserver string) error {
	client, peer, api := freeAddr(), freeAddr(), freeAddr()
	err := c.run(etcd, "--data-dir", filepath.Join(c.dir, "etcd"),
		"--listen-client-urls", "http://"+client, "--advertise-client-urls", "http://"+client,
		"--listen-peer-urls", "http://"+peer, "--initial-advertise-peer-urls", "http://"+peer,
		"--initial-cluster", "default=http://"+peer, "--unsafe-no-fsync")
	if err != nil {
		return err
	}
	c.etcd = "http://" + client
	key, token, certs := filepath.Join(c.dir, "accounts.key"), rand.Text(), filepath.Join(c.dir, "certs")
	if err := writeKey(key); err != nil {
		return err
	}
	users := filepath.Join(c.dir, "tokens.csv")
	if err := os.WriteFile(users, []byte(token+",admin,admin,system:masters\n"), 0o600); err != nil {
		return err
	}
	host, port, _ := net.SplitHostPort(api)
	c.apiserver = []string{apiserver, "--etcd-servers", "http://" + client, "--cert-dir", certs,
		"--bind-address", host, "--secure-port", port, "--token-auth-file", users, "--authorization-mode", "RBAC",
		"--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", key,
		"--service-account-signing-key-file", key, "--service-cluster-ip-range", "10.0.0.0/24"}
	if err := c.run(c.apiserver[0], c.apiserver[1:]...); err != nil {
		return err
	}
	c.url, c.token = "https://"+api, token
	if err := c.awaitReady(c.url+"/readyz", token); err != nil {
		return err
	}
	return os.WriteFile(c.kubeconfig, fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://%s", certificate-authority: %q}}]
users: [{name: admin, user: {token: %s}}]
contexts: [{name: test, context: {cluster: test, user: admin}}]
current-context: test
`, api, filepath.Join(certs, "apiserver.crt"), token), 0o600)
}

// restartAPIServer kills the API server and starts it again, with the same store.
func (c *cluster) restartAPIServer() error {
	last := c.processes[len(c.processes)-1]
	_ = last.cmd.Process.Kill()
	<-last.exited
	c.processes = c.processes[:len(c.processes)-1]
	if err := c.run(c.apiserver[0], c.apiserver[1:]...); err != nil {
		return err
	}
	return c.awaitReady(c.url+"/readyz", c.token)
}

func (c *cluster) awaitReady(url, token string) error {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // its certificate is made as it starts
	}}
	defer client.CloseIdleConnections()
	last := errors.New("not asked")
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		for _, p := range c.processes {
			select {
			case <-p.exited:
				return fmt.Errorf("%s ended: %v\n%s", p.name, p.cmd.ProcessState, p.tail())
			default:
			}
		}
		ask, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		ask.Header.Set("Authorization", "Bearer "+token)
		answer, err := client.Do(ask)
		if err != nil {
			last = err
			continue
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return nil
		}
		last = fmt.Errorf("%s: %s", answer.Status, text)
	}
	return fmt.Errorf("kube-apiserver is not ready after %s: %w\n%s", startTimeout, last, c.processes[len(c.processes)-1].tail())
}

// stop ends the processes, the last first, and waits for each: an etcd that is still
// going deletes files by their paths.
func (c *cluster) stop() {
	for i := len(c.processes) - 1; i >= 0; i-- {
		c.processes[i].stop()
	}
	if err := os.RemoveAll(c.dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// process is a program of the cluster; its output goes to a file.
type process struct {
	name   string
	log    string
	cmd    *exec.Cmd
	exited chan struct{}
}

func (c *cluster) run(path string, args ...string) error {
	p := &process{name: filepath.Base(path), log: filepath.Join(c.dir, filepath.Base(path)+".log"), cmd: exec.Command(path, args...)}
	out, err := os.Create(p.log)
	if err != nil {
		return err
	}
	defer out.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the tests, which stop it
	if p.exited, err = start(p.cmd); err != nil {
		return err
	}
	c.processes = append(c.processes, p)
	return nil
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

// tail returns the last lines of the log.
func (p *process) tail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// freeAddr returns a loopback address that nothing listens on.
func freeAddr() string {
	addr, err := freeaddr.Get()
	if err != nil {
		panic(err)
	}
	return addr
}

// writeKey makes the key that signs the tokens of service accounts.
func writeKey(path string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}
