package envoy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a running Envoy. Make one with Start.
type Process struct {
	cmd    *exec.Cmd
	dir    string
	log    lockedBuffer
	admin  string
	exited chan struct{}
	err    error
}

// Start runs a real Envoy with a configuration and waits until it is ready: its
// listeners are bound and its clusters have had their first health checks.
// admin is the address of its admin listener. It returns Envoy's own log if it does
// not start. Stop ends it.
func Start(ctx context.Context, config, admin string) (*Process, error) {
	binary, err := Binary()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "patgate-envoy-")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "envoy.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	p := &Process{dir: dir, admin: admin, exited: make(chan struct{})}
	p.cmd = exec.Command(binary, "-c", file, "--disable-hot-restart", "--concurrency", "2", "--log-level", "warn")
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.SysProcAttr = OwnGroup() // a terminal's Ctrl-C is for the process that started it
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	if err := p.awaitReady(ctx); err != nil {
		_ = p.Stop()
		return nil, fmt.Errorf("%w\n%s", err, p.log.String())
	}
	return p, nil
}

func (p *Process) awaitReady(ctx context.Context) error {
	for {
		if answer, err := p.Admin("/ready"); err == nil && strings.TrimSpace(answer) == "LIVE" {
			return nil
		}
		select {
		case <-p.exited:
			if p.err == nil {
				return errors.New("envoy ended before it was ready: is it an Envoy?")
			}
			return fmt.Errorf("envoy ended: %w", p.err)
		case <-ctx.Done():
			return fmt.Errorf("envoy is not ready: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Admin gets a page of the admin listener, such as /stats.
func (p *Process) Admin(path string) (string, error) {
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get("http://" + p.admin + path)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, answer.Status)
	}
	return string(text), err
}

// Log returns what Envoy has logged so far.
func (p *Process) Log() string { return p.log.String() }

// Stop ends Envoy and removes its files.
func (p *Process) Stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
	return os.RemoveAll(p.dir)
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
