package envoy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Process is a running Envoy. Make one with Start.
type Process struct {
	cmd    *exec.Cmd
	dir    string
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
	p := &Process{dir: dir, admin: admin, exited: make(chan struct{})}
	if err := p.start(binary, config); err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	if err := p.awaitReady(ctx); err != nil {
		log := p.Log()
		_ = p.Stop()
		return nil, fmt.Errorf("%w\n%s", err, log)
	}
	return p, nil
}

// start runs Envoy with its configuration and its log in the process's folder.
func (p *Process) start(binary, config string) error {
	file := filepath.Join(p.dir, "envoy.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	log, err := os.Create(p.logFile())
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	p.cmd = exec.Command(binary, "-c", file, "--disable-hot-restart", "--concurrency", "2", "--log-level", "warn")
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = OwnGroup() // a terminal's Ctrl-C is for the process that started it
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	return nil
}

func (p *Process) logFile() string { return filepath.Join(p.dir, "envoy.log") }

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

// Log returns what Envoy has logged so far; after Stop, nothing.
func (p *Process) Log() string {
	text, _ := os.ReadFile(p.logFile())
	return string(text)
}

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
