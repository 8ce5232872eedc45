package main

import (
	"bytes"
	"testing"

	"github.com/patgate/patgate/test/golden"
)

// TestSchemaIsCommitted holds docs/schema.json against what the command prints: who has
// without patgate points the editor there.
func TestSchemaIsCommitted(t *testing.T) {
	const name = "../../docs/schema.json"
	var out, errs bytes.Buffer
	if code := run([]string{"schema"}, nil, &out, &errs); code != exitGood || errs.Len() > 0 {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	golden.File(t, name, out.String())
}

// TestCRDsAreCommitted holds the chart's definitions against what the command prints.
func TestCRDsAreCommitted(t *testing.T) {
	const name = "../../charts/patgate/crds/patgate.dev.yaml"
	var out, errs bytes.Buffer
	if code := run([]string{"schema", "--crd"}, nil, &out, &errs); code != exitGood || errs.Len() > 0 {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	golden.File(t, name, out.String())
}
