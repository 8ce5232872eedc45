package main

import (
	"bytes"
	"os"
	"testing"
)

// TestSchemaIsCommitted holds docs/schema.json against what the command prints: who has
// without patgate points the editor there.
func TestSchemaIsCommitted(t *testing.T) {
	const name = "../../docs/schema.json"
	var out, errs bytes.Buffer
	if code := run([]string{"schema"}, nil, &out, &errs); code != exitGood || errs.Len() > 0 {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	if *update {
		if err := os.WriteFile(name, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("the schema differs from %s; `make golden` rewrites it", name)
	}
}

// TestCRDsAreCommitted holds the chart's definitions against what the command prints.
func TestCRDsAreCommitted(t *testing.T) {
	const name = "../../charts/patgate/crds/patgate.dev.yaml"
	var out, errs bytes.Buffer
	if code := run([]string{"schema", "--crd"}, nil, &out, &errs); code != exitGood || errs.Len() > 0 {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	if *update {
		if err := os.WriteFile(name, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("the definitions differ from %s; `make golden` rewrites it", name)
	}
}
