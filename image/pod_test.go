package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gopkg.in/yaml.v3"
)

// podSpec is the part of Kubernetes' PodSpec that the tests need.
type podSpec struct {
	SecurityContext struct {
		FSGroup int `yaml:"fsGroup"` // 0: none
	} `yaml:"securityContext"`
	InitContainers []containerSpec `yaml:"initContainers"`
	Containers     []containerSpec
	Volumes        []struct {
		Name      string
		ConfigMap struct{ Name string } `yaml:"configMap"`
	}
}

type containerSpec struct {
	Name          string
	Image         string
	RestartPolicy string `yaml:"restartPolicy"`
	Args          []string
	StartupProbe  probeSpec `yaml:"startupProbe"`
	ReadyProbe    probeSpec `yaml:"readinessProbe"`
	Security      struct {
		User     int  `yaml:"runAsUser"`
		Group    int  `yaml:"runAsGroup"`
		ReadOnly bool `yaml:"readOnlyRootFilesystem"`
	} `yaml:"securityContext"`
	VolumeMounts []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
		ReadOnly  bool   `yaml:"readOnly"`
	} `yaml:"volumeMounts"`
}

type probeSpec struct {
	HTTPGet struct {
		Path        string
		Port        int
		HTTPHeaders []struct{ Name, Value string } `yaml:"httpHeaders"`
	} `yaml:"httpGet"`
	TCPSocket struct{ Port int } `yaml:"tcpSocket"`
}

// pod runs the containers of a pod as processes: with the pod's arguments, users, groups
// and volumes, a read-only root each, in a network of their own. A kubelet also
// sets cgroups and seccomp and restarts with back-off, which is left out here.
type pod struct {
	t       *testing.T
	spec    podSpec
	network *os.File
	volumes map[string]string // folders by the names of volumes
	client  *http.Client
}

// podIP is an address of the pod's network besides 127.0.0.1, so that what is bound to
// loopback can be distinguished from what is open.
const podIP = "127.1.2.3"

// newPod reads a Deployment, and lays out its volumes: those of ConfigMaps from files, the
// others empty, as the kubelet does with fsGroup.
func newPod(t *testing.T, deployment string, configMaps map[string]map[string]string) *pod {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("a pod's containers run as several users, in a network of their own: run this test as root")
	}
	text, err := os.ReadFile(deployment)
	var d struct {
		Spec struct{ Template struct{ Spec podSpec } }
	}
	mustDo(t, err, yaml.Unmarshal(text, &d))
	p := &pod{t: t, spec: d.Spec.Template.Spec, network: newNetwork(t), volumes: map[string]string{}}
	p.client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: p.dial}}
	for _, v := range p.spec.Volumes {
		dir := openFolder(t)
		p.volumes[v.Name] = dir
		if v.ConfigMap.Name == "" {
			mustDo(t, os.Chmod(dir, 0o777))
			if group := p.spec.SecurityContext.FSGroup; group != 0 {
				mustDo(t, os.Chown(dir, 0, group), os.Chmod(dir, 0o777|os.ModeSetgid))
			}
			continue
		}
		files, ok := configMaps[v.ConfigMap.Name]
		if !ok {
			t.Fatalf("no ConfigMap %s", v.ConfigMap.Name)
		}
		project(t, dir, files)
	}
	return p
}

// openFolder is a folder that every user can reach; t.TempDir's parents are closed.
func openFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "patgate-pod-")
	mustDo(t, err, os.Chmod(dir, 0o755))
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// project writes files as the kubelet does: into a new folder, which ..data then names.
func project(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	generation, err := os.MkdirTemp(dir, "..generation-")
	mustDo(t, err, os.Chmod(generation, 0o755))
	for name, text := range files {
		mustDo(t, os.WriteFile(filepath.Join(generation, name), []byte(text), 0o644))
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); !errors.Is(err, os.ErrExist) {
			mustDo(t, err)
		}
	}
	mustDo(t, os.Symlink(filepath.Base(generation), filepath.Join(dir, "..next")), os.Rename(filepath.Join(dir, "..next"), filepath.Join(dir, "..data")))
}

// newNetwork is a network namespace with nothing but loopback in it.
func newNetwork(t *testing.T) *os.File {
	t.Helper()
	var network *os.File
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		up, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip link set lo up: %w: %s", err, up)
		}
		network, err = os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		return err
	})
	mustDo(t, err)
	t.Cleanup(func() { _ = network.Close() })
	return network
}

// onThread runs a function on an operating system's thread of its own.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		done <- f()
	}()
	return <-done
}

// inside runs a function in the pod's network.
func (p *pod) inside(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(p.network.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return f()
	})
}

func (p *pod) dial(ctx context.Context, network, addr string) (c net.Conn, err error) {
	err = p.inside(func() (err error) {
		c, err = (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, addr)
		return err
	})
	return c, err
}

func (p *pod) listen(addr string) (l net.Listener) {
	p.t.Helper()
	mustDo(p.t, p.inside(func() (err error) {
		l, err = net.Listen("tcp", addr)
		return err
	}))
	return l
}

// container finds one by its name, among the sidecars too.
func (p *pod) container(name string) containerSpec {
	p.t.Helper()
	all := slices.Concat(p.spec.InitContainers, p.spec.Containers)
	i := slices.IndexFunc(all, func(c containerSpec) bool { return c.Name == name })
	if i < 0 {
		p.t.Fatalf("no container %s", name)
	}
	return all[i]
}

// process is a running container.
type process struct {
	*exec.Cmd
	exited   chan struct{}
	out, err lockedBuffer
}

// start runs a container in its root folder, and waits for its startup probe.
func (p *pod) start(name, root string, entrypoint ...string) *process {
	p.t.Helper()
	c := p.container(name)
	if !c.Security.ReadOnly {
		p.t.Errorf("%s may write to its root", name)
	}
	script := "set -e\nroot=$1 user=$2 groups=$3; shift 3\nmount --bind \"$root\" \"$root\"\n"
	for _, m := range c.VolumeMounts {
		target := filepath.Join(root, m.MountPath)
		mustDo(p.t, os.MkdirAll(target, 0o755))
		script += fmt.Sprintf("mount --bind %s %s\n", p.volumes[m.Name], target)
		if m.ReadOnly {
			script += fmt.Sprintf("mount -o remount,bind,ro %s\n", target)
		}
	}
	script += "mount -o remount,bind,ro \"$root\"\nexec chroot --userspec=\"$user\" --groups=\"$groups\" \"$root\" \"$@\""
	groups := ""
	if group := p.spec.SecurityContext.FSGroup; group != 0 {
		groups = strconv.Itoa(group)
	}
	args := []string{"--mount", "sh", "-c", script, "sh", root, fmt.Sprintf("%d:%d", c.Security.User, c.Security.Group), groups}
	for _, a := range append(entrypoint, c.Args...) {
		args = append(args, strings.ReplaceAll(a, "$(POD_IP)", podIP))
	}
	run := &process{Cmd: exec.Command("unshare", args...), exited: make(chan struct{})}
	run.Env = []string{"PATH=" + os.Getenv("PATH")}
	run.Stdout, run.Stderr = &run.out, &run.err
	mustDo(p.t, p.inside(run.Start))
	go func() {
		_ = run.Wait()
		close(run.exited)
	}()
	p.t.Cleanup(func() {
		_ = run.Process.Kill()
		<-run.exited
		if p.t.Failed() {
			p.t.Logf("%s: %s\n%s", name, run.ProcessState, run.err.String())
		}
	})
	p.await(name, c.StartupProbe, run.exited)
	return run
}

// await waits until a probe passes.
func (p *pod) await(name string, probe probeSpec, exited chan struct{}) {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		err := p.probe(probe)
		if err == nil {
			return
		}
		select {
		case <-exited:
			p.t.Fatalf("%s ended before its probe passed", name)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s: its probe does not pass: %v", name, err)
		}
	}
}

// probe sends a probe as the kubelet does, to the pod's address.
func (p *pod) probe(s probeSpec) error {
	if s.TCPSocket.Port != 0 {
		c, err := p.dial(context.Background(), "tcp", fmt.Sprintf("%s:%d", podIP, s.TCPSocket.Port))
		if err == nil {
			err = c.Close()
		}
		return err
	}
	r, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://%s:%d%s", podIP, s.HTTPGet.Port, s.HTTPGet.Path), nil)
	if err != nil {
		return err
	}
	for _, h := range s.HTTPGet.HTTPHeaders {
		if h.Name == "Host" {
			r.Host = h.Value
		}
		r.Header.Set(h.Name, h.Value)
	}
	answer, err := p.client.Do(r)
	if err != nil {
		return err
	}
	if answer.Body.Close(); answer.StatusCode >= 400 {
		return errors.New(answer.Status)
	}
	return nil
}

// end sends SIGTERM and waits for the end.
func (r *process) end(t *testing.T) {
	t.Helper()
	mustDo(t, r.Process.Signal(syscall.SIGTERM))
	select {
	case <-r.exited:
	case <-time.After(30 * time.Second):
		t.Fatal("it does not end on SIGTERM")
	}
}

// lockedBuffer is a bytes.Buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
