package ruleset

import (
	"fmt"
	"testing"

	"github.com/patgate/patgate/policy"
)

// BenchmarkObjects decides about tokens as they come from an API server: an operation is one token.
func BenchmarkObjects(b *testing.B) {
	o, index := NewObjects(), policy.NewIndex()
	o.Set(Object{Kind: "Gate", Namespace: "edge", Name: "a", Spec: []byte(`{"hosts":["a.example.com"]}`)})
	for n := range b.N {
		o.Set(Object{Kind: "APIToken", Namespace: "edge", Name: fmt.Sprint("t", n), UID: fmt.Sprint(n), Spec: fmt.Appendf(nil,
			`{"digest":%q,"issued":"2026-01-01T00:00:00Z","limitTo":".*/rest/api/2/issue/JRA.*\n[post].*/rest/api/2/issue/KANBAN-100/comment.*","user":"user-%d"}`, digest(n), n%1000)})
	}
	b.ReportAllocs()
	b.ResetTimer()
	if _, changed := o.Step(index, func() {}); !changed {
		b.Fatal("nothing changed")
	}
}
