//go:build fronts

package test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/patgate/patgate/test/golden"
	"github.com/patgate/patgate/token"
)

// tap passes a front's checks on to patgate, and keeps what it read of each.
type tap struct {
	addr string
	mu   sync.Mutex
	last string
}

// startTap listens in front of an address until the test ends.
func startTap(t *testing.T, to string) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &tap{addr: l.Addr().String()}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.pass(c, to)
		}
	}()
	return p
}

func (p *tap) pass(c net.Conn, to string) {
	defer c.Close()
	up, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer up.Close()
	go func() { _, _ = io.Copy(c, up); c.Close() }()
	r := bufio.NewReader(c)
	for {
		head, err := readHead(r)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.last = head
		p.mu.Unlock()
		if _, err := io.WriteString(up, head); err != nil {
			return
		}
		if lengths := fieldsOf(head, "content-length"); len(lengths) > 0 {
			n := int64(0)
			_, _ = fmt.Sscan(lengths[0], &n)
			if _, err := io.CopyN(up, r, n); err != nil {
				return
			}
		}
	}
}

func (p *tap) head() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// tricky are the requests of the table: method, target, host and headers.
var tricky = []struct {
	name, method, target, host string
	headers                    [][2]string
	body                       string
}{
	{name: "`/rest/a%2Fb`", target: "/rest/a%2Fb"},
	{name: "`/rest/a%5Cb`", target: "/rest/a%5Cb"},
	{name: "`/rest/x/../admin`", target: "/rest/x/../admin"},
	{name: "`/rest/x/%2e%2e/admin`", target: "/rest/x/%2e%2e/admin"},
	{name: "`//rest///x`", target: "//rest///x"},
	{name: "`/rest/%61dmin`", target: "/rest/%61dmin"},
	{name: "`/rest/x?a=1&a=2&b=%3D%26+x&c&=d`", target: "/rest/x?a=1&a=2&b=%3D%26+x&c&=d"},
	{name: "raw UTF-8 in the path", target: "/rest/zo\u00eb"},
	{name: "`/rest/%zz`", target: "/rest/%zz"},
	{name: "`/rest/x#frag`", target: "/rest/x#frag"},
	{name: "absolute form, another Host", target: "http://api.example.com/rest/x", host: "other.example.com"},
	{name: "Host `API.Example.com:8443`", target: "/rest/x", host: "API.Example.com:8443"},
	{name: "Host with a trailing dot", target: "/rest/x", host: "api.example.com."},
	{name: "two Authorization", target: "/rest/x", headers: [][2]string{{"Authorization", "Bearer other"}}},
	{name: "`X_Forwarded_User: root`", target: "/rest/x", headers: [][2]string{{"X_Forwarded_User", "root"}}},
	{name: "`X.Forwarded.User: root`", target: "/rest/x", headers: [][2]string{{"X.Forwarded.User", "root"}}},
	{name: "`X-Forwarded-User: root`", target: "/rest/x", headers: [][2]string{{"X-Forwarded-User", "root"}}},
	{name: "`Connection: X-Forwarded-User`", target: "/rest/x", headers: [][2]string{{"Connection", "X-Forwarded-User"}}},
	{name: "`X-Original-URL: /admin`", target: "/rest/x", headers: [][2]string{{"X-Original-URL", "/admin"}}},
	{name: "`X-Forwarded-Uri: /admin`", target: "/rest/x", headers: [][2]string{{"X-Forwarded-Uri", "/admin"}}},
	{name: "`X-Forwarded-Host: other`", target: "/rest/x", headers: [][2]string{{"X-Forwarded-Host", "other.example.com"}}},
	{name: "OPTIONS", method: "OPTIONS", target: "/rest/x"},
	{name: "`OPTIONS *`", method: "OPTIONS", target: "*"},
	{name: "HEAD", method: "HEAD", target: "/rest/x"},
	{name: "POST of JSON", method: "POST", target: "/rest/x", headers: [][2]string{{"Content-Type", "application/json"}}, body: "{}"},
	{name: "a target of 6 KB", target: "/rest/" + strings.Repeat("x", 6000)},
	{name: "a header of 12 KB", target: "/rest/x", headers: [][2]string{{"X-Long", strings.Repeat("x", 12000)}}},
}

const ingressPage = "../docs/ingress.md"

// TestFrontsTable measures what each front sends, keeps, changes and shows, and compares that with the page.
func TestFrontsTable(t *testing.T) {
	page, err := os.ReadFile(ingressPage)
	if err != nil {
		t.Fatal(err)
	}
	const from, to = "<!-- from here on by `make test-fronts UPDATE=-update` -->\n", "<!-- to here -->\n"
	_, rest, _ := strings.Cut(string(page), from)
	old, _, _ := strings.Cut(rest, to)
	table := readFrontTable(old)
	for _, f := range fronts() {
		t.Run(f.name, func(t *testing.T) { f.measure(t, table) })
	}
	golden.Part(t, ingressPage, from, to, table.text())
}

// frontTable is the tables of the page: rows by table, cells by row and front.
type frontTable struct {
	order map[string][]string
	cells map[string]map[string]string
}

// readFrontTable reads the cells that are on the page: those of fronts that this run does not have stay.
func readFrontTable(text string) *frontTable {
	f := &frontTable{order: map[string][]string{}, cells: map[string]map[string]string{}}
	title, names := "", []string(nil)
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if heading, found := strings.CutPrefix(line, "### "); found {
			title, names = heading, nil
			continue
		}
		cells := strings.Split(strings.TrimSuffix(strings.TrimPrefix(line, "| "), " |"), " | ")
		switch {
		case !strings.HasPrefix(line, "| "):
		case names == nil:
			names = strings.Split(strings.TrimSuffix(strings.TrimPrefix(line, "| | "), " |"), " | ")
		case len(cells) == len(names)+1:
			for i, name := range names {
				f.set(title, cells[0], name, cells[i+1])
			}
		}
	}
	return f
}

func (f *frontTable) set(table, row, front, cell string) {
	if !slices.Contains(f.order[table], row) {
		f.order[table] = append(f.order[table], row)
	}
	key := table + row
	if f.cells[key] == nil {
		f.cells[key] = map[string]string{}
	}
	f.cells[key][front] = cell
}

// The tables.
const (
	tableCheck  = "What the check of `POST /rest/x?a=b` holds"
	tableTricky = "What becomes of odd requests"
	tableShown  = "What clients see"
)

func (f *frontTable) text() string {
	var b strings.Builder
	for _, table := range []string{tableCheck, tableTricky, tableShown} {
		fmt.Fprintf(&b, "\n### %s\n\n| |", table)
		for _, front := range everyFront() {
			fmt.Fprintf(&b, " %s |", front.name)
		}
		b.WriteString("\n|---|" + strings.Repeat("---|", len(everyFront())) + "\n")
		for _, row := range f.order[table] {
			fmt.Fprintf(&b, "| %s |", row)
			for _, front := range everyFront() {
				fmt.Fprintf(&b, " %s |", f.cells[table+row][front.name])
			}
			b.WriteString("\n")
		}
	}
	return b.String() + "\n"
}

// measure sends the requests through one front.
func (f front) measure(t *testing.T, table *frontTable) {
	value := token.Mint().Reveal()
	dir := t.TempDir()
	issued := time.Now().AddDate(0, 0, -1).UTC().Format(time.RFC3339)
	write(t, filepath.Join(dir, "m.yaml"), kind("api", "Gate", "hosts: [api.example.com]\nschemes: [basic, bearer]\n")+
		kind("ci", "APIToken", "user: alice\ndigest: "+digestOf(value)+"\nissued: "+issued+"\nunrestricted: true\npolicies: [no-admin]\n")+
		kind("no-admin", "TokenPolicy", "deny:\n- {path: /closed}\n"))
	up := startUpstream(t)
	b := f.places(t, dir, up.addr, false)
	p := b.serve(t, f.kind)
	watched := startTap(t, b.checks)
	b.checks = watched.addr
	f.run(t, b)
	s := &standing{p, f, b}

	f.measureCheck(t, s, watched, table, value)
	for i, q := range tricky {
		m := &message{method: q.method, target: q.target, host: q.host, headers: slices.Clone(q.headers), body: []byte(q.body)}
		if m.method == "" {
			m.method = "GET"
		}
		if m.host == "" {
			m.host = "api.example.com"
		}
		agent := fmt.Sprintf("table/%d", i)
		m.headers = append(m.headers, [2]string{"Authorization", "Bearer " + value}, [2]string{"User-Agent", agent})
		r := send1(s.clients, m)
		table.set(tableTricky, q.name, f.name, s.outcome(t, m, &r, agent))
	}
	f.measureShown(t, s, table, value)
	p.stop(syscall.SIGTERM)
	r := send1(s.clients, &message{method: "GET", target: "/rest/x", host: "api.example.com", headers: [][2]string{{"Authorization", "Bearer " + value}}})
	table.set(tableShown, "patgate does not run", f.name, shownAs(&r))
	p.holdsNo(map[string]string{"ci": value})
}

// measureCheck reads one check.
func (f front) measureCheck(t *testing.T, s *standing, watched *tap, table *frontTable, value string) {
	r := send1(s.clients, &message{method: "POST", target: "/rest/x?a=b", host: "api.example.com", body: []byte("{}"), headers: [][2]string{
		{"Authorization", "Bearer " + value}, {"Content-Type", "application/json"}, {"Cookie", "a=b"}, {"X-Custom", "1"}, {"X-Custom", "2"},
		{"X-Forwarded-For", "6.6.6.6"}, {"X-Forwarded-Prefix", "/forged"}, {"X-Original-URI", "/forged"}, {"X-Forwarded-Method", "GET"}, {"X-Real-IP", "6.6.6.6"},
	}})
	head := watched.head()
	line, _, _ := strings.Cut(head, "\r\n")
	table.set(tableCheck, "request line", f.name, "`"+strings.TrimSuffix(line, " HTTP/1.1")+"`")
	for _, name := range []string{"Host", "X-Original-Method", "X-Original-URI", "X-Original-URL", "X-Original-Host", "X-Original-Body", "X-Forwarded-Method", "X-Forwarded-Uri",
		"X-Forwarded-Host", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Prefix", "X-Forwarded-Body", "X-Real-IP", "X-Envoy-External-Address", "Content-Type", "Content-Length",
		"Cookie", "X-Custom"} {
		values := fieldsOf(head, name)
		cell := "–"
		if len(values) > 0 {
			cell = "`" + strings.Join(values, "` `") + "`"
		}
		if strings.Contains(cell, "127.0.0.1:") {
			cell = strings.Split(cell, ":")[0] + ":PORT`"
		}
		if name == "X-Forwarded-For" && f.kind == "envoy" {
			cell = "the client's, and its own entry"
		}
		table.set(tableCheck, name, f.name, cell)
	}
	if r.reached() != 1 {
		t.Errorf("the request of the table does not reach the API: %s", r.raw)
	}
}

// outcome says what became of a request: "=" where patgate judged, and the API got, the target as it came.
func (s *standing) outcome(t *testing.T, m *message, r *reply, agent string) string {
	if heads := r.heads(t); len(heads) == 1 || r.reached() == 1 && m.method == "HEAD" {
		if m.method == "HEAD" {
			return "="
		}
		target := strings.Fields(heads[0])[1]
		seen := ""
		for _, h := range m.headers {
			if got := fieldsOf(heads[0], h[0]); h[0] != "User-Agent" && h[0] != "Authorization" && h[0] != "Content-Type" && h[0] != "X-Long" && slices.Contains(got, h[1]) {
				seen = ", the API sees the header"
			}
		}
		if host := fieldsOf(heads[0], "host"); len(host) == 1 && host[0] != m.host {
			seen += ", host `" + host[0] + "`"
		}
		if target == m.target {
			return "=" + seen
		}
		return "= `" + target + "`" + seen
	}
	loss := s.loss(r, agent)
	for _, e := range s.decisions() {
		full := e.Path
		if e.UserAgent == agent && full != "" && full != m.target && e.Query == "" && len(full) < 100 {
			loss += ", judged `" + full + "`"
		}
	}
	return loss
}

// measureShown records refusals as clients see them.
func (f front) measureShown(t *testing.T, s *standing, table *frontTable, value string) {
	for _, q := range []struct{ row, target, credential, method string }{
		{"no credential: 401", "/rest/x", "", "GET"},
		{"a bad token: 401", "/rest/x", "Bearer nobody", "GET"},
		{"a denied path: 403", "/closed", "Bearer " + value, "GET"},
		{"another method by a header: 400", "/rest/x", "Bearer " + value, "GET"},
	} {
		m := &message{method: q.method, target: q.target, host: "api.example.com"}
		if q.credential != "" {
			m.headers = append(m.headers, [2]string{"Authorization", q.credential})
		}
		if strings.HasSuffix(q.row, "400") {
			m.headers = append(m.headers, [2]string{"X-HTTP-Method-Override", "PUT"})
		}
		r := send1(s.clients, m)
		table.set(tableShown, q.row, f.name, shownAs(&r))
	}
}

// shownAs describes an answer.
func shownAs(r *reply) string {
	kind := r.header("content-type")
	kind, _, _ = strings.Cut(kind, ";")
	if kind == "" {
		kind = "no content type"
	}
	text := fmt.Sprintf("%d, %s", r.status(), kind)
	if n := len(fieldsOf(r.raw, "www-authenticate")); n > 0 {
		text += fmt.Sprintf(", %d `www-authenticate`", n)
	}
	if r.header("x-patgate-id") != "" {
		text += ", id"
	}
	if !strings.Contains(strings.ToLower(r.raw), "cache-control: no-store") {
		text += ", no `cache-control`"
	}
	return text
}
