//go:build kube

// Package kube runs the chart and the examples with real Helm, kubectl, kube-apiserver and etcd.
package kube

import (
	"os"
	"path/filepath"
	"testing"
)

// toolsVariable names the folder that install.py filled; `make test-kube` sets it.
const toolsVariable = "PATGATE_TEST_KUBE"

// tool returns the path of a tool, or of a folder of schemas or CRDs, that install.py
// put there. A missing one fails the test: what can't run proves nothing.
func tool(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv(toolsVariable)
	if dir == "" {
		t.Fatalf("%s is not set: run `make test-kube`", toolsVariable)
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run `make test-kube`, which puts it there", err)
	}
	return path
}
