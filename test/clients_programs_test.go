//go:build clients

package test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What the tests of real clients and real APIs share: every one runs through an Envoy of
// what `patgate envoy-config` prints, with bodies of JSON buffered and the others not.

// program runs a client to its end, in a directory of its own, and returns its output.
func (p *printed) program(t *testing.T, dir string, env []string, command ...string) string {
	t.Helper()
	out, err := runProgram(dir, append(env, "PATGATE_TOKEN="+p.value, "PASSWORD="+p.value), command...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.ReplaceAll(strings.Join(command, " "), p.value, "TOKEN"), err, strings.ReplaceAll(out, p.value, "TOKEN"))
	}
	return out
}

func runProgram(dir string, env []string, command ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), append([]string{"NODE_PATH=" + filepath.Join(os.Getenv("PATGATE_TEST_CLIENTS"), "node_modules")}, env...)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// startAPI runs an API until the test ends, and waits until it takes connections.
func startAPI(t *testing.T, address, dir string, command ...string) {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	var out bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &out
	cmd.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(clientsDir(t), "node_modules"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
		if t.Failed() {
			t.Logf("%s:\n%s", command[0], out.String())
		}
	})
	awaitPort(t, address, ended)
}

func python(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(clientsDir(t), "python", "bin", name)
}

// clientFile is one of the files of test/clients, where they are installed.
func clientFile(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(clientsDir(t), name)
}

// userURL puts the user and the token into a URL, for clients that read them there.
func (p *printed) userURL(path string) string {
	return "http://alice:" + p.value + "@" + p.clients + path
}

// wantNoRefusals checks that every request was allowed, except those without a
// credential: clients that wait for a challenge send one first.
func (p *printed) wantNoRefusals(t *testing.T) {
	t.Helper()
	allowed := 0
	for _, e := range p.decisions() {
		switch {
		case e.Decision == "allow":
			allowed++
		case e.Reason != "no_credential":
			t.Errorf("%s %s was refused: %s", e.Method, e.Path, e.Reason)
		}
	}
	if allowed == 0 {
		t.Error("nothing went through patgate")
	}
	p.holdsNo(map[string]string{"ci": p.value})
}
