//go:build upstreams

package test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/patgate/patgate/test/golden"
	"github.com/patgate/patgate/test/upstreams/lookalikes"
)

// readings collects what each API reads from each request when it is called directly, and
// the result of the request through patgate.
type readings struct {
	mu       sync.Mutex
	order    []lookalikes.Request
	cells    map[string]map[string]string // by request, by API
	verdicts map[string]map[string]bool   // by request
	silences int
}

// mostSilences is how many requests may stay without an answer. Puma 5.6 keeps the
// connection open after its 400 to a target with a quotation mark, if it served another
// request before, and says no length: Envoy waits for more.
const mostSilences = 4

// silence notes that a request had no answer: an API that hangs has read nothing.
func (r *readings) silence(t *testing.T, q *lookalikes.Request, err error) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.silences++; r.silences > mostSilences || q.Kind == "ordinary" {
		t.Errorf("%s: %v", q, err)
	}
}

func newReadings() *readings {
	return &readings{order: lookalikes.New(lookalikes.Profile{}).Named(), cells: map[string]map[string]string{}, verdicts: map[string]map[string]bool{}}
}

func keyOf(q *lookalikes.Request) string { return q.Kind + " " + q.Rule + " " + q.Name }

func (r *readings) read(api string, q *lookalikes.Request, cell string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cells[keyOf(q)] == nil {
		r.cells[keyOf(q)] = map[string]string{}
	}
	r.cells[keyOf(q)][api] = cell
}

func (r *readings) verdict(q *lookalikes.Request, a *lookalikes.Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.verdicts[keyOf(q)] == nil {
		r.verdicts[keyOf(q)] = map[string]bool{}
	}
	r.verdicts[keyOf(q)][lookalikes.Verdict(a)] = true
}

// direct sends each named request to the API itself.
func (a *api) direct(t *testing.T, r *readings) {
	for _, q := range lookalikes.New(a.profile).Named() {
		if q.Aside {
			continue
		}
		cell := "no answer"
		if answer, err := q.Send(a.addr); err == nil {
			cell = lookalikes.Reads(&q, answer)
		}
		r.read(a.name, &q, cell)
	}
}

const upstreamsPage = "../docs/upstreams.md"

// compare compares the tables with those of the page.
func (r *readings) compare(t *testing.T, list []*api) {
	t.Helper()
	const mark = "<!-- from here on by `make test-upstreams UPDATE=-update` -->\n"
	golden.Part(t, upstreamsPage, mark, "", r.tables(list))
}

func (r *readings) tables(list []*api) string {
	var b strings.Builder
	for _, kind := range lookalikes.Kinds {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| request | patgate |", kind.Title, kind.About)
		for _, a := range list {
			fmt.Fprintf(&b, " %s |", a.name)
		}
		b.WriteString("\n|---|---|" + strings.Repeat("---|", len(list)) + "\n")
		for i := range r.order {
			if q := &r.order[i]; q.Kind == kind.Name && !q.Aside {
				r.row(&b, q, list)
			}
		}
	}
	return b.String()
}

func (r *readings) row(b *strings.Builder, q *lookalikes.Request, list []*api) {
	verdicts := slices.Sorted(maps.Keys(r.verdicts[keyOf(q)]))
	fmt.Fprintf(b, "| %s | %s |", strings.ReplaceAll(q.Name, "|", `\|`), strings.Join(verdicts, ", "))
	for _, a := range list {
		fmt.Fprintf(b, " %s |", r.cells[keyOf(q)][a.name])
	}
	b.WriteString("\n")
}
