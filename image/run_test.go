package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// gate is one manifest, so that there is something to serve.
const gate = `apiVersion: patgate.dev/v1alpha1
kind: Gate
metadata: {name: jira}
spec: {schemes: [bearer]}
`

// unpack lays the image's files into a folder, as a container runtime does, with the
// manifests where a volume would be mounted.
func unpack(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test starts the image's program as another user on a read-only root: run it as root")
	}
	_, list := images(t, first)
	root, err := os.MkdirTemp("", "patgate-root-") // t.TempDir's parents are closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	content := mutate.Extract(list["linux/"+runtime.GOARCH])
	defer content.Close()
	for r := tar.NewReader(content); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(root, h.Name)
		if h.Typeflag == tar.TypeDir {
			err = os.Mkdir(name, h.FileInfo().Mode().Perm())
		} else {
			var data []byte
			if data, err = io.ReadAll(r); err == nil {
				err = os.WriteFile(name, data, h.FileInfo().Mode().Perm())
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	mustDo(t, os.Chmod(root, 0o755), os.Mkdir(filepath.Join(root, "manifests"), 0o755),
		os.WriteFile(filepath.Join(root, "manifests", "gate.yaml"), []byte(gate), 0o644))
	return root
}

func mustDo(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// container starts the image's entry point as its user, with the image's files as a
// read-only root and no other file in sight.
func container(t *testing.T, root string, args ...string) *exec.Cmd {
	t.Helper()
	_, list := images(t, first)
	c, err := list["linux/"+runtime.GOARCH].ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	const script = `root=$1 user=$2; shift 2
mount --bind "$root" "$root" && mount -o remount,bind,ro "$root" && exec chroot --userspec="$user" --groups= "$root" "$@"`
	command := append([]string{"--mount", "sh", "-c", script, "sh", root, c.Config.User}, c.Config.Entrypoint...)
	cmd := exec.Command("unshare", append(command, args...)...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, c.Config.Env...)
	return cmd
}

// TestVersion checks that the program knows the tag it was built from.
func TestVersion(t *testing.T) {
	out, err := container(t, unpack(t), "version", "-o", "json").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var v struct{ Version, Commit string }
	if err := json.Unmarshal(out, &v); err != nil {
		t.Fatal(err)
	}
	if v.Version != tag || len(v.Commit) != 40 {
		t.Errorf("version %q of commit %q, want %s", v.Version, v.Commit, tag)
	}
}

// TestServes checks that the image serves with a root file system that it can't write to.
func TestServes(t *testing.T) {
	root := unpack(t)
	cmd := container(t, root, "serve", "--manifests", "/manifests", "--listen", "127.0.0.1:0", "--status-listen", "127.0.0.1:0", "--drain-delay", "0s")
	logs, err := cmd.StderrPipe()
	mustDo(t, err, cmd.Start())
	defer time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() }).Stop()
	var seen bytes.Buffer
	served := false
	for s := bufio.NewScanner(io.TeeReader(logs, &seen)); s.Scan(); {
		var line struct{ Msg, Status string }
		if json.Unmarshal(s.Bytes(), &line) != nil || line.Msg != "serving" {
			continue
		}
		served = true
		answer, err := http.Get("http://" + line.Status + "/readyz")
		if err != nil {
			t.Error(err)
		} else if answer.Body.Close(); answer.StatusCode != http.StatusOK {
			t.Errorf("/readyz: %s", answer.Status)
		}
		if status, err := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/status"); err != nil || !strings.Contains(string(status), "\nUid:\t65532\t65532\t65532\t65532\n") ||
			!strings.Contains(string(status), "\nCapEff:\t0000000000000000\n") {
			t.Errorf("who runs? %v\n%s", err, status)
		}
		mustDo(t, cmd.Process.Signal(syscall.SIGTERM))
	}
	if err := cmd.Wait(); err != nil || !served {
		t.Errorf("served: %t, %v\n%s", served, err, seen.String())
	}
}

// TestRootIsReadOnly checks that the root of the test above is really read-only.
func TestRootIsReadOnly(t *testing.T) {
	out, err := container(t, unpack(t), "serve", "--manifests", "/manifests", "--listen", "unix:///patgate.sock", "--status-listen", "127.0.0.1:0").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "read-only file system") {
		t.Errorf("%v: %s", err, out)
	}
}
