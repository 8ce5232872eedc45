//go:build chaos

package test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/patgate/patgate/token"
)

// limits are effective memory limits, each set on a running process. The process then ends
// as in other cases: nothing is allowed without its event, Envoy refuses, and the next
// start works.
var limits = []struct {
	name string
	set  func(t *testing.T, p *patgate) // leaves the process some memory, and no more
	ends func(state *os.ProcessState, log string) bool
}{
	{"the system has no more (RLIMIT_DATA)", limitData, func(_ *os.ProcessState, log string) bool {
		return strings.Contains(log, "out of memory") || strings.Contains(log, "cannot allocate memory")
	}},
	{"the kernel kills it (memory cgroup)", limitGroup, func(state *os.ProcessState, _ string) bool {
		status, ok := state.Sys().(syscall.WaitStatus)
		return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
	}},
}

// some is how much memory a limit leaves beyond what is in use.
const some = 48 << 20

// TestChaosMemoryRunsOut floods a process that may not grow with large bodies, until it
// ends, under an ordinary load through Envoy; and starts it again.
func TestChaosMemoryRunsOut(t *testing.T) { onBothTransports(t, testChaosMemoryRunsOut) }

func testChaosMemoryRunsOut(t *testing.T) {
	for _, c := range limits {
		t.Run(c.name, func(t *testing.T) {
			value := token.Mint().Reveal()
			dir := t.TempDir()
			write(t, filepath.Join(dir, "m.yaml"), gateManifest+"---\n"+tokenManifest("ci", value, ""))
			t.Setenv("GOMEMLIMIT", "off")
			p := startBinary(t, plainBinary(t), dir)
			s := behindEnvoy(t, p, nil)
			l := startLoad(t, 2, "http://"+s.clients+"/rest/x", "Bearer "+value)
			flood := withBody(t, value, 1<<20)
			for range 5 {
				l.awaitMore(t)
				c.set(t, p)
				ended := false
				for deadline := time.Now().Add(2 * time.Minute); !ended && time.Now().Before(deadline); {
					p.ask(t, flood, 500, 500)
					select {
					case <-p.exited:
						ended = true
					default:
					}
				}
				if !ended {
					t.Fatal("the limit does not bite")
				}
				if !c.ends(p.cmd.ProcessState, p.log()) {
					t.Errorf("it ended for another reason: %v\n%s", p.cmd.ProcessState, p.log())
				}
				p.exited = make(chan struct{})
				p.start(dir)
			}
			l.awaitMore(t)
			l.end()
			s.wantLast(value)
			s.wantInvariants(l)
			t.Logf("%d calls were allowed and %d refused; the slowest took %v", l.allowed.Load(), l.refused.Load(), l.slowest())
		})
	}
}

// TestChaosMemoryTooSmall gives the collector a limit that it can't keep: it may take half of
// the CPU, and patgate keeps working.
func TestChaosMemoryTooSmall(t *testing.T) {
	value := token.Mint().Reveal()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m.yaml"), gateManifest+"---\n"+tokenManifest("ci", value, ""))
	t.Setenv("GOMEMLIMIT", "4MiB")
	p := startBinary(t, plainBinary(t), dir)
	s := behindEnvoy(t, p, nil)
	l := startLoad(t, 2, "http://"+s.clients+"/rest/x", "Bearer "+value)
	for range 10 {
		answers := p.ask(t, withBody(t, value, maxRequestBytes), 200, 200)
		if answers["ok"]+answers["overloaded"]+answers["audit_unavailable"] != 200 {
			t.Errorf("the answers: %v", answers)
		}
		l.awaitMore(t)
	}
	l.end()
	s.wantInvariants(l)
}

// TestChaosSilentConnections checks that a connection that says nothing is closed by itself.
func TestChaosSilentConnections(t *testing.T) { onBothTransports(t, testChaosSilentConnections) }

func testChaosSilentConnections(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m.yaml"), gateManifest)
	p := startPatgate(t, dir)
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	start := time.Now()
	_ = c.SetDeadline(start.Add(time.Minute))
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Errorf("it is still open: %v", err)
	}
	t.Logf("closed after %v", time.Since(start).Round(time.Millisecond))
}

// limitData limits the process's data to what it has and some more (prlimit(2)).
func limitData(t *testing.T, p *patgate) {
	t.Helper()
	n := uint64(p.memory("VmData:") + some)
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_DATA, &unix.Rlimit{Cur: n, Max: n}, nil); err != nil {
		t.Fatal(err)
	}
}

// limitGroup puts the process into a memory cgroup of its own, of version 2 or 1.
func limitGroup(t *testing.T, p *patgate) {
	t.Helper()
	name := fmt.Sprintf("patgate-test-%d", p.cmd.Process.Pid)
	limit := strconv.FormatInt(some, 10) // what was taken before the move does not count
	v2, v1 := filepath.Join("/sys/fs/cgroup", name), filepath.Join("/sys/fs/cgroup/memory", name)
	group, file := v2, "memory.max"
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err != nil {
		group, file = v1, "memory.limit_in_bytes"
	}
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Fatalf("no memory cgroup: %v, expected one that can be made: `make chaos` must run as root on Linux", err)
	}
	t.Cleanup(func() { _ = os.Remove(group) })
	err := os.WriteFile(filepath.Join(group, file), []byte(limit), 0o644)
	if err := errors.Join(err, os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(p.cmd.Process.Pid)), 0o644)); err != nil {
		t.Fatal(err)
	}
}
