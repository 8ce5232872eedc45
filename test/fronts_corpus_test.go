//go:build fronts

package test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/test/golden"
)

// http2Alone are cases about what HTTP/1.1 has no form for.
var http2Alone = []string{
	"protocol-open-08-h2-authority-host", "protocol-more-031-h2-connection", "protocol-more-034-h2-transfer", "protocol-more-035-h2-dup-path",
	"protocol-more-036-h2-dup-method", "protocol-more-037-h2-dup-authority", "protocol-more-038-h2-protocol", "protocol-more-039-h2-foo-pseudo",
	"protocol-more-040-h2-crlf", "protocol-more-041-h2-nul", "protocol-more-042-h2-upper", "method-more-025-h2-odd-'GET '", "path-misc-more-054-h2-abs",
}

// frontsOwn are cases that Envoy refuses by itself, for reasons of its own: a front that lets them pass shows
// patgate and the API the same.
var frontsOwn = []string{
	"path-misc-more-064-abs-ftp",       // the scheme of an absolute form is not passed on
	"path-misc-more-081-host-badport",  // nor is a port
	"path-misc-more-074-host-two-same", // HAProxy makes two equal hosts one
	"protocol-open-03-http10",
}

// traefiksOwn are cases in which Traefik does not do as Envoy: it lets connections be upgraded, takes an absolute form of HTTP/2
// apart, and encodes a ; in the query, before it asks.
var traefiksOwn = []string{"protocol-more-065-ws-ok", "path-misc-more-054-h2-abs", "query-more-025-amp-entity", "query-more-069-unreadable-x=1;y=2", "query-more-070-unreadable-;"}

// untyped is the case of a body of a GET that nothing declares but its length, which some fronts don't tell, and which HTTP/2
// has no need of.
const untyped = "query-more-094-body-without-a-type"

// skips reports whether a case says nothing about a front.
func (f front) skips(c *corpusCase) bool {
	// What is in X-Forwarded-For is for the front to read: patgate gets one address.
	addr, err := netip.ParseAddr(c.SourceIP)
	entries := strings.HasPrefix(c.Name, "client-ip") && (err != nil || addr.Zone() != "" || c.Raw != "" || slices.ContainsFunc(c.Headers, func(h [2]string) bool {
		return strings.EqualFold(h[0], "x-forwarded-for")
	}))
	return entries || (f.silent || f.secure) && c.Name == untyped || !f.secure && slices.Contains(http2Alone, c.Name) || slices.Contains(envoysOwn, c.Name) || slices.Contains(frontsOwn, c.Name) ||
		f.kind == "traefik" && slices.Contains(traefiksOwn, c.Name)
}

// TestFrontsCorpus sends the corpus through each front. No request that must be refused may reach the API, none
// reaches it with a forged header, and what a front loses of the allowed ones is in a table.
func TestFrontsCorpus(t *testing.T) {
	corpusThrough(t, fronts(), everyFront(), "testdata/fronts.golden")
}

// TestFrontsCorpusTLS does so with clients that come over TLS, by HTTP/2 except for bytes as they are, through fronts that ask
// over mTLS.
func TestFrontsCorpusTLS(t *testing.T) {
	withTLS := slices.DeleteFunc(everyFront(), func(f front) bool { return f.kind == "ingress-nginx" })
	corpusThrough(t, secureFronts(), withTLS, "testdata/fronts-tls.golden")
}

// corpusThrough sends the corpus through the fronts of a list, and compares their columns of a table.
func corpusThrough(t *testing.T, list, columns []front, lossFile string) {
	cases := readCorpus(t)
	losses := readLosses(t, lossFile) // by case, by front
	for _, f := range list {
		for _, cells := range losses {
			delete(cells, f.name)
		}
		t.Run(f.name, func(t *testing.T) { f.corpus(t, cases, losses) })
	}
	if !t.Failed() {
		golden.File(t, lossFile, lossTable(columns, losses))
	}
}

// readLosses reads the table as it is: the losses of fronts that this run does not have stay.
func readLosses(t *testing.T, lossFile string) map[string]map[string]string {
	t.Helper()
	text, err := os.ReadFile(lossFile)
	if err != nil {
		t.Fatal(err)
	}
	losses := map[string]map[string]string{}
	var names []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		cells := strings.Split(line, " | ")
		if names == nil {
			for _, name := range cells {
				names = append(names, strings.TrimSpace(name))
			}
			continue
		}
		row := map[string]string{}
		for i, cell := range cells[1:] {
			if cell = strings.TrimSpace(cell); cell != "–" {
				row[names[i+1]] = cell
			}
		}
		losses[strings.TrimSpace(cells[0])] = row
	}
	return losses
}

func (f front) corpus(t *testing.T, cases []corpusCase, losses map[string]map[string]string) {
	secrets := corpusSecrets()
	manifests := f.manifests(t, corpusManifests(t, secrets))
	up := startUpstream(t)
	s := f.stand(t, manifests, up.addr, true)
	fill := &templates{t, secrets}
	run, allowed := 0, 0
	for i := range cases {
		c := &cases[i]
		if f.skips(c) {
			continue
		}
		run++
		profile, agent := "lax", fmt.Sprintf("corpus/%d", i)
		if f.normalizes {
			profile = "hardened"
		}
		e := c.expected(t, profile, true)
		var r reply
		if c.Raw != "" {
			agent = ""
			dial := s.dial("")
			if f.secure {
				dial = s.dialTLS("", "http/1.1")
			}
			r = dial.sendRaw(fill.fill(c.Raw), max(1, len(e.Statuses)))
		} else {
			m, source := c.message(t, fill), ""
			if f.proxied {
				m.headers, source = m.headers[:len(m.headers)-1], c.SourceIP
			}
			m.headers = append(m.headers, [2]string{"User-Agent", agent})
			r = s.send(m, source)
		}
		if r.reached() > 0 {
			allowed++
		}
		for _, wrong := range e.wrong(t, fill, &r, f.takes(c)) {
			t.Errorf("%s: %s: %s\n%.600q", c.Name, wrong, s.judged(agent), r.raw)
		}
		if e.Verdict == "allow" && r.reached() == 0 {
			if losses[c.Name] == nil {
				losses[c.Name] = map[string]string{}
			}
			losses[c.Name][f.name] = s.loss(&r, agent)
		}
		for name, value := range secrets {
			if r.reached() == 0 && strings.Contains(r.raw, value) {
				t.Errorf("%s: the answer holds the value of %s", c.Name, name)
			}
		}
	}
	t.Logf("%d cases, %d reached the API", run, allowed)
	if allowed < 150 {
		t.Errorf("%d cases reached the API, expected 150 at least", allowed)
	}
	s.holdsNo(secrets)
	s.wantReplayed(manifests)
}

// judged is what patgate judged, by the audit.
func (s *standing) judged(agent string) string {
	for _, e := range s.decisions() {
		if agent != "" && e.UserAgent == agent {
			return fmt.Sprintf("%s %q ?%q %s", e.Method, e.Path, e.Query, e.Detail)
		}
	}
	return "no event"
}

// loss describes why an allowed request did not reach the API.
func (s *standing) loss(r *reply, agent string) string {
	if id := r.header("x-patgate-id"); len(id) == 26 {
		return fmt.Sprintf("%d %s", r.status(), s.byID(id).Reason)
	}
	if agent == "" {
		return fmt.Sprintf("%d", r.status()) // of bytes as they are, in which there is no mark
	}
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for _, e := range s.decisions() {
			if e.UserAgent == agent {
				return fmt.Sprintf("%d %s", r.status(), e.Reason)
			}
		}
	}
	return fmt.Sprintf("%d by itself", r.status())
}

// takes returns the headers of a case that the front overwrites or removes before it asks, so that patgate does not see
// the client's.
func (f front) takes(c *corpusCase) (names []string) {
	for _, h := range c.Headers {
		switch {
		case f.kind == "ingress-nginx" && strings.EqualFold(h[0], "X-Original-URL"), f.kind == "traefik" && strings.Contains(h[0], "_"):
			names = append(names, h[0])
		}
	}
	return names
}

// wrong lists what must never be: a refused request that reached the API, or a header that it must not see. A
// request of which the front took a header before it asked is another one.
func (e *expectation) wrong(t *testing.T, f *templates, r *reply, taken []string) (list []string) {
	seen := func(name string) bool { return len(fieldsOf(r.heads(t)[0], name)) > 0 }
	if e.Verdict == "deny" && r.reached() > 0 && (len(taken) == 0 || slices.ContainsFunc(taken, seen)) {
		list = append(list, "a wrong allow")
	}
	for _, head := range r.heads(t) {
		for _, name := range e.UpstreamAbsent {
			if len(fieldsOf(head, name)) > 0 {
				list = append(list, "the API saw "+name)
			}
		}
		for name, want := range e.UpstreamPresent {
			if got := fieldsOf(head, f.fill(name)); !slices.Equal(got, []string{want}) {
				list = append(list, fmt.Sprintf("the API saw %s %q, want %q", f.fill(name), got, want))
			}
		}
	}
	return list
}

// manifests changes manifests to what the front says: one address, or a list to which it adds an entry.
func (f front) manifests(t *testing.T, dir string) string {
	t.Helper()
	if f.hops > 0 {
		return dir
	}
	file := filepath.Join(dir, "manifests.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, replacing(t, "clientIP: {source: xff, trustedHops: 1}", "clientIP: {source: peer}")(string(text)))
	return dir
}

func lossTable(list []front, losses map[string]map[string]string) string {
	var b strings.Builder
	b.WriteString("# Cases of the corpus that are allowed, and do not reach the API through a front: the client's status, and the\n" +
		"# reason of the audit or that the front refused by itself. A dash: it reaches the API.\n#\n")
	fmt.Fprintf(&b, "%-50s", "case")
	for _, f := range list {
		fmt.Fprintf(&b, " | %-24s", f.name)
	}
	var names []string
	for name, cells := range losses {
		if len(cells) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "\n%-50s", name)
		for _, f := range list {
			cell := losses[name][f.name]
			if cell == "" {
				cell = "–"
			}
			fmt.Fprintf(&b, " | %-24s", cell)
		}
	}
	return b.String() + "\n"
}
