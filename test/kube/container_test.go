//go:build kube

package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/patgate/patgate/test/output"
)

// containerVariable holds the containerSpec in the process that becomes the container.
const containerVariable = "PATGATE_TEST_CONTAINER"

// containerSpec is the part of a container runtime's input that a pod's security depends
// on. Seccomp filters and memory limits are not made.
type containerSpec struct {
	Root         string // an empty folder, over which the container's root is mounted
	Program      string // the image's only file, at /Entrypoint in it
	Entrypoint   string
	Args         []string
	Env          []string
	Mounts       []mount
	UID, GID     int
	Groups       []int
	ReadOnlyRoot bool
}

type mount struct {
	Source, Target string
	ReadOnly       bool
}

// container is a running one: process 1 of namespaces of its own.
type container struct {
	t      testing.TB
	cmd    *exec.Cmd
	out    output.Buffer // stdout: the audit
	log    output.Buffer
	exited chan struct{}
}

// startContainer runs a program as a container. The test's end ends it.
func startContainer(t testing.TB, spec containerSpec) *container {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatalf("a container needs mount and process namespaces, and a user of its own: run the tests as root (uid %d can't)", os.Getuid())
	}
	spec.Root = t.TempDir()
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &container{t: t}
	c.cmd = exec.Command(self)
	c.cmd.Env = []string{containerVariable + "=" + string(text)}
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS}
	if c.exited, err = start(c.cmd); err != nil {
		t.Fatalf("a container can't be started here: %v: it needs root and Linux namespaces", err)
	}
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.exited
		if t.Failed() {
			t.Logf("the container's log:\n%s", c.log.String())
		}
	})
	return c
}

// terminate sends SIGTERM, as the kubelet does.
func (c *container) terminate() {
	c.t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		c.t.Fatal(err)
	}
}

// wait waits for the end, and returns the exit code. Past the limit the container is
// killed, and that fails the test.
func (c *container) wait(limit time.Duration) int {
	c.t.Helper()
	select {
	case <-c.exited:
	case <-time.After(limit):
		c.t.Errorf("it did not end within %s", limit)
		_ = c.cmd.Process.Kill()
		<-c.exited
	}
	return c.cmd.ProcessState.ExitCode()
}

// await waits until a condition holds, while the container runs.
func (c *container) await(what string, holds func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
		select {
		case <-c.exited:
			c.t.Fatalf("the container ended (%v) before %s:\n%s", c.cmd.ProcessState, what, c.log.String())
		default:
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("waited a minute for %s:\n%s", what, c.log.String())
		}
	}
}

// becomeContainer makes the root of the container, gives up every right, and runs the
// program. It returns only an error.
func becomeContainer(text string) error {
	runtime.LockOSThread() // rights and flags belong to threads, and exec keeps this one's
	var spec containerSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return err
	}
	if err := makeRoot(&spec); err != nil {
		return err
	}
	if err := errors.Join(unix.Chroot(spec.Root), unix.Chdir("/")); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	for capability := uintptr(0); capability <= unix.CAP_LAST_CAP; capability++ {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("dropping capability %d: %w", capability, err)
		}
	}
	if err := errors.Join(syscall.Setgroups(spec.Groups), syscall.Setgid(spec.GID), syscall.Setuid(spec.UID)); err != nil {
		return fmt.Errorf("becoming user %d: %w", spec.UID, err)
	}
	if err := errors.Join(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
		unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)); err != nil { // forgotten when the user changed
		return err
	}
	return syscall.Exec(spec.Entrypoint, append([]string{spec.Entrypoint}, spec.Args...), spec.Env)
}

// makeRoot mounts the container's files over spec.Root, in a mount namespace that no one
// else sees.
func makeRoot(spec *containerSpec) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mount namespace: %w", err)
	}
	if err := unix.Mount("tmpfs", spec.Root, "tmpfs", unix.MS_NOSUID, "mode=755"); err != nil {
		return fmt.Errorf("root: %w", err)
	}
	mounts := append([]mount{{spec.Program, spec.Entrypoint, true}}, spec.Mounts...)
	for _, device := range []string{"/dev/null", "/dev/zero", "/dev/urandom"} {
		mounts = append(mounts, mount{Source: device, Target: device})
	}
	for _, m := range mounts {
		if err := bind(m.Source, filepath.Join(spec.Root, m.Target), m.ReadOnly); err != nil {
			return fmt.Errorf("mounting %s: %w", m.Target, err)
		}
	}
	proc := filepath.Join(spec.Root, "proc")
	if err := errors.Join(os.Mkdir(proc, 0o755), unix.Mount("proc", proc, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")); err != nil {
		return fmt.Errorf("/proc: %w", err)
	}
	if !spec.ReadOnlyRoot {
		return nil
	}
	return unix.Mount("", spec.Root, "", unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID, "")
}

// bind shows a file or folder at another place.
func bind(source, target string, readOnly bool) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	if info.IsDir() {
		err = os.MkdirAll(target, 0o755)
	} else {
		err = os.WriteFile(target, nil, 0o644)
	}
	if err != nil {
		return err
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	if !readOnly {
		return nil
	}
	return unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
}

// start starts a command that ends with the test run, however that ends. The channel is
// closed once the command has ended.
func start(cmd *exec.Cmd) (chan struct{}, error) {
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started, exited := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // the signal comes when the thread that started it ends
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(exited)
	}()
	return exited, <-started
}

// TestContainer checks the rig itself: user, rights and root are as the pod says.
func TestContainer(t *testing.T) {
	program := filepath.Join(t.TempDir(), "probe")
	source := filepath.Join(t.TempDir(), "probe.go")
	if err := os.WriteFile(source, []byte(probe), 0o644); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", program, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	shared := t.TempDir()
	if err := os.Chmod(shared, 0o777); err != nil {
		t.Fatal(err)
	}
	c := startContainer(t, containerSpec{Program: program, Entrypoint: "/probe", UID: 65532, GID: 65532, Groups: []int{2000}, ReadOnlyRoot: true,
		Env: []string{"A=b"}, Args: []string{"x"}, Mounts: []mount{{Source: shared, Target: "/shared"}, {Source: shared, Target: "/fixed", ReadOnly: true}}})
	<-c.exited
	const want = `pid 1 uid 65532 groups [2000] args [/probe x] env [A=b]
CapEff: 0000000000000000
CapBnd: 0000000000000000
NoNewPrivs: 1
write /x: read-only file system
write /fixed/x: read-only file system
write /shared/x: done
`
	if got := c.out.String(); got != want || c.log.String() != "" {
		t.Errorf("got\n%s%s\nwant\n%s", got, c.log.String(), want)
	}
}

const probe = `package main

import (
	"fmt"
	"os"
	"strings"
)

func main() {
	groups, _ := os.Getgroups()
	fmt.Println("pid", os.Getpid(), "uid", os.Getuid(), "groups", groups, "args", os.Args, "env", os.Environ())
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "CapEff", "CapBnd", "NoNewPrivs":
			fmt.Println(name + ": " + strings.TrimSpace(value))
		}
	}
	for _, file := range []string{"/x", "/fixed/x", "/shared/x"} {
		result := "done"
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			result = err.(*os.PathError).Err.Error()
		}
		fmt.Println("write", file+":", result)
	}
}
`

// events returns the lines of the audit so far.
func (c *container) events() []object {
	var list []object
	text := c.out.String()
	for line := range strings.Lines(text[:strings.LastIndex(text, "\n")+1]) {
		list = append(list, decode(c.t, line))
	}
	return list
}
