package edit

import "testing"

// TestAddResource keeps what people wrote.
func TestAddResource(t *testing.T) {
	for _, c := range [][2]string{
		{"resources:\n- a.yaml\n- b.yaml # the last\n# the end\nnamespace: x\n", "resources:\n- a.yaml\n- b.yaml # the last\n- new.yaml\n# the end\nnamespace: x\n"},
		{"kind: Kustomization\nresources:\n  # ours\n  - ./a.yaml\n\ncommonLabels: {a: b}\n", "kind: Kustomization\nresources:\n  # ours\n  - ./a.yaml\n  - new.yaml\n\ncommonLabels: {a: b}\n"},
		{"resources:\n- a.yaml", "resources:\n- a.yaml\n- new.yaml\n"},
		{"resources: [a.yaml, \"b.yaml\"] # ours\n", "resources: [a.yaml, \"b.yaml\", new.yaml] # ours\n"},
		{"resources: [\n  a.yaml,\n  b.yaml\n]\n", "resources: [\n  a.yaml,\n  b.yaml, new.yaml\n]\n"},
		{"resources:\n- a.yaml\n- new.yaml\n", ""}, {"resources:\n- ./new.yaml\n", ""}, {"resources:\n- ../base\n- team\n", ""}, {"namespace: x\n", ""}, {"", ""}, {"resources: []\n", ""},
	} {
		if got, err := AddResource([]byte(c[0]), "new.yaml"); err != nil || string(got) != c[1] {
			t.Errorf("%q: %q %v, want %q", c[0], got, err, c[1])
		}
	}
	for _, text := range []string{"resources: [", "resources:\n- *a\n- b.yaml\n", "resources:\n- &x a.yaml\n- >-\n  b.yaml\n"} {
		if got, err := AddResource([]byte(text), "new.yaml"); err == nil {
			t.Errorf("%q: %q", text, got)
		}
	}
}
