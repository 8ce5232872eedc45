package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/patgate/patgate/test/output"
)

// process is a program under measurement.
type process struct {
	cmd    *exec.Cmd
	events atomic.Int64 // lines on its stdout
	stderr output.Buffer
	exited chan struct{}
}

// startProcess starts a program, and reads what it writes as a log collector does that
// keeps up.
func startProcess(env []string, name string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(name, args...), exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.read(out)
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

func (p *process) read(out io.Reader) {
	r := bufio.NewReaderSize(out, 1<<20)
	for {
		if _, err := r.Peek(1); err != nil {
			return
		}
		chunk, _ := r.Peek(r.Buffered())
		p.events.Add(int64(bytes.Count(chunk, []byte("\n"))))
		_, _ = r.Discard(len(chunk))
	}
}

// await waits until try succeeds, as long as the process lives.
func (p *process) await(limit time.Duration, try func() error) error {
	var err error
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended\n%s", p.cmd.Path, p.stderr.String())
		default:
		}
		if err = try(); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s: %w\n%s", p.cmd.Path, err, p.stderr.String())
}

func (p *process) stop() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// cpu is the time that the process used, by its own clock (clock_getcpuclockid(3)).
func (p *process) cpu() time.Duration {
	const schedulerClock = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^p.cmd.Process.Pid<<3|schedulerClock), &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// memory is how many MiB of the process are resident, now and at most so far
// (proc(5), VmRSS and VmHWM).
func (p *process) memory() (now, peak float64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseFloat(fields[1], 64)
		switch fields[0] {
		case "VmRSS:":
			now = kib / 1024
		case "VmHWM:":
			peak = kib / 1024
		}
	}
	return now, peak
}

func freeAddr() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "127.0.0.1:0"
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
