package test

import (
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/patgate/patgate/test/golden"
)

// profiles are edits of the configuration that people copy.
func profiles(t *testing.T) map[string]func(string) string {
	return map[string]func(string) string{
		"hardened": replacing(t, "xff_num_trusted_hops: 0 ", "xff_num_trusted_hops: 1 ", "              with_request_body:\n                max_request_bytes: 65536", "              with_request_body:\n                max_request_bytes: 8192"),
		"lax": replacing(t,
			"xff_num_trusted_hops: 0 ", "xff_num_trusted_hops: 1 ",
			"          normalize_path: true\n          merge_slashes: true\n          path_with_escaped_slashes_action: KEEP_UNCHANGED", "          #",
			"            headers_with_underscores_action: REJECT_REQUEST\n", "",
			"              with_request_body:\n                max_request_bytes: 65536", "              with_request_body:\n                max_request_bytes: 1024",
			// Who lets tunnels pass can't buffer them.
			"          - name: envoy.filters.http.buffer\n            disabled: true\n            typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, \"max_request_bytes\": 65536}\n", "",
			"allow_partial_message: false", "allow_partial_message: true",
			"          route_config:\n", "          upgrade_configs: [{upgrade_type: websocket}]\n          route_config:\n"),
	}
}

// TestCorpus sends every case through a real Envoy in both profiles, with encode_raw_headers
// on and off, and requires the verdict, exactly one event a check, and no secret anywhere.
func TestCorpus(t *testing.T) {
	cases := readCorpus(t)
	table := newLayerTable()
	for profile, change := range profiles(t) {
		for _, raw := range []bool{true, false} {
			name := profile
			if !raw {
				name += ", encode_raw_headers off"
			}
			t.Run(name, func(t *testing.T) {
				edit := change
				if !raw {
					off := replacing(t, "encode_raw_headers: true", "encode_raw_headers: false")
					edit = func(config string) string { return off(change(config)) }
				}
				runCorpus(t, cases, profile, edit, table, raw)
			})
		}
	}
	corpusLayers(t, cases, table)
	table.compare(t, cases)
}

func runCorpus(t *testing.T, cases []corpusCase, profile string, change func(string) string, table *layerTable, raw bool) {
	secrets := corpusSecrets()
	manifests := corpusManifests(t, secrets)
	s := startSystem(t, manifests, change)
	f := &templates{t, secrets}
	expected := make([]expectation, len(cases))
	for i := range cases {
		expected[i] = cases[i].expected(t, profile, raw)
	}
	uniform := map[string]map[string][]string{}
	for i, r := range sendAll(t, cases, expected, f, s.clients) {
		c, e := &cases[i], &expected[i]
		for _, miss := range e.misses(t, f, &r) {
			t.Errorf("%s: %s\n%.300q", c.Name, miss, r.raw)
		}
		if e.Uniform != "" {
			if uniform[e.Uniform] == nil {
				uniform[e.Uniform] = map[string][]string{}
			}
			text := withoutIDs(r.raw)
			uniform[e.Uniform][text] = append(uniform[e.Uniform][text], c.Name)
		}
		if raw {
			reason := "–"
			if id := r.header("x-patgate-id"); id != "" {
				reason = s.byID(id).Reason
			}
			table.set(c.Name, profile, fmt.Sprintf("%d %s", r.status(), reason))
		}
		if r.reached() == 0 {
			for name, value := range secrets {
				if strings.Contains(r.raw, value) {
					t.Errorf("%s: the answer holds the value of %s", c.Name, name)
				}
			}
		}
	}
	for group, shapes := range uniform {
		if len(shapes) != 1 {
			t.Errorf("the answers of the uniform group %s have %d shapes: %v", group, len(shapes), shapes)
		}
	}
	s.oneEventACheck(t)
	s.holdsNo(secrets)
	s.wantReplayed(manifests)
}

// corpusSenders is how many cases are sent at a time: most of their time is Envoy's.
const corpusSenders = 16

// sendAll sends every case, many at a time, and returns the answers in the order of the cases.
func sendAll(t *testing.T, cases []corpusCase, expected []expectation, f *templates, addr string) []reply {
	senders := make([]func() reply, len(cases))
	for i := range cases {
		senders[i] = cases[i].sender(t, f, addr, max(1, len(expected[i].Statuses)))
	}
	replies := make([]reply, len(cases))
	var next, sent atomic.Int64
	var group sync.WaitGroup
	for range corpusSenders {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(senders); i = int(next.Add(1)) - 1 {
				replies[i] = senders[i]()
				sent.Add(1)
			}
		})
	}
	group.Wait()
	if sent.Load() != corpusCases {
		t.Errorf("%d cases were sent, want %d", sent.Load(), corpusCases)
	}
	return replies
}

// sender returns what sends a case and reads its answers.
func (c *corpusCase) sender(t *testing.T, f *templates, addr string, want int) func() reply {
	switch {
	case c.Raw != "":
		text := f.fill(c.Raw)
		return func() reply { return sendRaw(addr, text, want) }
	case c.Proto == "h2":
		m := c.message(t, f)
		return func() reply { return send2(addr, m) }
	case c.Proto == "h1":
		m := c.message(t, f)
		return func() reply { return send1(addr, m) }
	}
	t.Fatalf("%s: the protocol %s is unknown", c.Name, c.Proto)
	return nil
}

// misses lists in what a reply is not what was expected.
func (e *expectation) misses(t *testing.T, f *templates, r *reply) (list []string) {
	miss := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	reached := r.reached()
	if e.Verdict == "allow" && reached == 0 || e.Verdict == "deny" && reached > 0 {
		miss("want %s, the upstream got %d requests", e.Verdict, reached)
	}
	if !e.accepts(r.status()) {
		miss("status %d", r.status())
	}
	for _, head := range r.heads(t) {
		for _, name := range e.UpstreamAbsent {
			if len(fieldsOf(head, name)) > 0 {
				miss("the upstream saw %s", name)
			}
		}
		for name, want := range e.UpstreamPresent {
			if got := fieldsOf(head, f.fill(name)); !slices.Equal(got, []string{want}) {
				miss("the upstream saw %s %q, want %q", f.fill(name), got, want)
			}
		}
	}
	for _, name := range e.HeadersPresent {
		if len(fieldsOf(r.raw, name)) == 0 {
			miss("no header %s", name)
		}
	}
	if e.BodyEmpty && !strings.HasSuffix(r.raw, "\r\n\r\n") {
		miss("there is a body")
	}
	if e.UpstreamRequests > 0 && reached != e.UpstreamRequests {
		miss("the upstream got %d requests, want %d", reached, e.UpstreamRequests)
	}
	if len(e.Statuses) > 0 && !slices.Equal(e.Statuses, r.statuses) {
		miss("statuses %v, want %v", r.statuses, e.Statuses)
	}
	if len(e.GRPCStatus) > 0 && !slices.Contains(e.GRPCStatus, r.grpc) {
		miss("grpc-status %d, want one of %v", r.grpc, e.GRPCStatus)
	}
	return list
}

var (
	ownHeaders = regexp.MustCompile(`(?mi)^(date|x-request-id|x-envoy-[a-z-]+|x-patgate-id):.*\r\n`)
	bodyID     = regexp.MustCompile(`"id":"[A-Z2-7]{26}"`)
)

// withoutIDs removes from an answer what may differ between two equal ones.
func withoutIDs(raw string) string {
	return bodyID.ReplaceAllString(ownHeaders.ReplaceAllString(raw, ""), "")
}

var authzStat = regexp.MustCompile(`(?m)^http\.api\.ext_authz\.(ok|denied|error|failure_mode_allowed|timeout|disabled): (\d+)$`)

// oneEventACheck compares the audit with Envoy's own count of the checks it made.
func (s *system) oneEventACheck(t *testing.T) {
	t.Helper()
	text, err := s.envoy.Admin("/stats?filter=ext_authz")
	if err != nil {
		t.Fatal(err)
	}
	stats := map[string]int{}
	for _, m := range authzStat.FindAllStringSubmatch(text, -1) {
		n := 0
		_, _ = fmt.Sscan(m[2], &n)
		stats[m[1]] = n
	}
	if len(stats) == 0 {
		t.Fatalf("Envoy counts no checks:\n%s", text)
	}
	s.wantAtLeast(stats["ok"] + stats["denied"])
	allowed, denied := 0, 0
	for _, e := range s.decisions() {
		if e.Decision == "allow" {
			allowed++
		} else {
			denied++
		}
	}
	more := allowed + denied - stats["ok"] - stats["denied"]
	if stats["error"]+stats["failure_mode_allowed"] != 0 || allowed < stats["ok"] || denied < stats["denied"] || more > s.givenUp(t) {
		t.Errorf("Envoy counts %v, the audit has %d allows and %d refusals", stats, allowed, denied)
	}
}

// givenUp counts the checks that Envoy ended before their answers: of requests whose
// bodies turned out to be malformed meanwhile.
func (s *system) givenUp(t *testing.T) (n int) {
	t.Helper()
	text, err := s.envoy.Admin("/stats?filter=cluster.patgate.upstream_rq_tx_reset")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(text, "cluster.patgate.upstream_rq_tx_reset: %d", &n); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return n
}

// layerTable lists at which layers each case runs, and its result there.
type layerTable struct{ cells map[string]map[string]string }

func newLayerTable() *layerTable { return &layerTable{map[string]map[string]string{}} }

func (l *layerTable) set(name, layer, text string) {
	if l.cells[name] == nil {
		l.cells[name] = map[string]string{}
	}
	l.cells[name][layer] = text
}

// compare compares the table with the golden one.
func (l *layerTable) compare(t *testing.T, cases []corpusCase) {
	t.Helper()
	var names []string
	for i := range cases {
		names = append(names, cases[i].Name)
	}
	sort.Strings(names)
	columns := []string{"engine", "grpc", "hardened", "lax"}
	var b strings.Builder
	b.WriteString("# What becomes of each case of the corpus: at the engine (policy.Evaluate), over gRPC\n" +
		"# (a CheckRequest as Envoy without normalization would send it), and through Envoy in both\n" +
		"# profiles (status, reason in the audit). A dash: the case does not get so far, or says\n" +
		"# nothing there, as it is Envoy that refuses it.\n#\n")
	fmt.Fprintf(&b, "%-50s | %-18s | %-22s | %-22s | %s\n", "case", columns[0], columns[1], columns[2], columns[3])
	for _, name := range names {
		cell := func(column string) string {
			if text := l.cells[name][column]; text != "" {
				return text
			}
			return "–"
		}
		fmt.Fprintf(&b, "%-50s | %-18s | %-22s | %-22s | %s\n", strings.Replace(name, "-open-", "-", 1), cell("engine"), cell("grpc"), cell("hardened"), cell("lax"))
	}
	golden.File(t, "testdata/corpus.golden", b.String())
}
