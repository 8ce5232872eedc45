//go:build kube

package kube

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"
)

// gateway stands between patgate and the API server, and can fail as a network or an API server does.
type gateway struct {
	*httptest.Server
	mu      sync.Mutex
	down    bool          // every request fails, and every watch is cut
	delay   time.Duration // of every piece of an answer
	gone    int           // how many watches are answered with 410
	swap    int           // how many pairs of a watch's events change places
	tear    int           // how many pieces of watches come with their halves swapped
	expired int           // how often the API server itself has said that it has forgotten a version
	watches map[io.Closer]bool
}

// newGateway starts one before the API server of the cluster.
func newGateway(t testing.TB, c *cluster) *gateway {
	t.Helper()
	target, err := url.Parse(c.url)
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{watches: map[io.Closer]bool{}}
	proxy := httputil.NewSingleHostReverseProxy(target)
	direct := proxy.Director
	proxy.Director = func(r *http.Request) {
		direct(r)
		r.Header.Set("Authorization", "Bearer "+c.token) // a client sends none without TLS
	}
	proxy.Transport, proxy.FlushInterval = c.client(t).Transport, -1
	proxy.ErrorLog = log.New(io.Discard, "", 0)
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { panic(http.ErrAbortHandler) }
	proxy.ModifyResponse = func(r *http.Response) error {
		body := &piecewise{g: g, ReadCloser: r.Body}
		if r.Body = body; r.Request.URL.Query().Get("watch") != "" {
			r.Body = &disorder{piecewise: body}
		}
		if r.StatusCode == http.StatusGone {
			g.note410()
		}
		return nil
	}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		down := g.down
		gone := g.gone > 0 && r.URL.Query().Get("resourceVersion") != "" && r.URL.Query().Get("watch") != "" && r.URL.Query().Get("sendInitialEvents") == ""
		if gone {
			g.gone--
		}
		g.mu.Unlock()
		switch {
		case down:
			panic(http.ErrAbortHandler)
		case gone:
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusGone)
			fmt.Fprintln(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"too old resource version","reason":"Expired","code":410}`)
		default:
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(g.Close)
	return g
}

// piecewise is the body of an answer that can be cut and delayed.
type piecewise struct {
	g *gateway
	io.ReadCloser
}

func (p *piecewise) Read(b []byte) (int, error) {
	p.g.mu.Lock()
	p.g.watches[p.ReadCloser] = true
	p.g.mu.Unlock()
	n, err := p.ReadCloser.Read(b)
	p.g.mu.Lock()
	down, delay := p.g.down, p.g.delay
	p.g.mu.Unlock()
	if down {
		return 0, io.ErrUnexpectedEOF
	}
	time.Sleep(delay)
	return n, err
}

// disorder is the body of a watch whose events can come in another order, and its bytes too.
type disorder struct {
	*piecewise
	ready []byte // to be read
	line  []byte // the beginning of an event
	held  []byte // an event that changes places with the next one
}

func (d *disorder) Read(b []byte) (int, error) {
	for len(d.ready) == 0 {
		piece := make([]byte, len(b))
		n, err := d.piecewise.Read(piece)
		d.take(piece[:n])
		if err != nil && len(d.ready) == 0 {
			return 0, err
		}
	}
	n := copy(b, d.ready)
	d.ready = d.ready[n:]
	return n, nil
}

// take decides in which order a piece is read.
func (d *disorder) take(piece []byte) {
	d.g.mu.Lock()
	defer d.g.mu.Unlock()
	if bytes.Contains(piece, []byte(`"code":410`)) {
		d.g.expired++
	}
	if d.g.tear > 0 && len(piece) > 1 {
		d.g.tear--
		d.ready = slices.Concat(piece[len(piece)/2:], piece[:len(piece)/2])
		return
	}
	if d.g.swap == 0 && len(d.line)+len(d.held) == 0 {
		d.ready = piece
		return
	}
	d.line = append(d.line, piece...)
	for {
		event, rest, whole := bytes.Cut(d.line, []byte("\n"))
		if !whole {
			return
		}
		event = append(bytes.Clone(event), '\n')
		switch d.line = rest; {
		case d.held != nil:
			d.ready, d.held = append(append(d.ready, event...), d.held...), nil
			d.g.swap--
		case d.g.swap > 0:
			d.held = event
		default:
			d.ready = append(d.ready, event...)
		}
	}
}

func (g *gateway) note410() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.expired++
}

// disturb lets pairs of events change places, and pieces be torn.
func (g *gateway) disturb(swap, tear int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.swap, g.tear = swap, tear
}

// left returns how much of that has not happened yet, and how often a version was forgotten.
func (g *gateway) left() (swap, tear, expired int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.swap, g.tear, g.expired
}

// cut ends all watches. Until mend every request fails.
func (g *gateway) cut() {
	g.mu.Lock()
	g.down = true
	for w := range g.watches {
		_ = w.Close()
	}
	clear(g.watches)
	g.mu.Unlock()
	g.CloseClientConnections()
}

func (g *gateway) mend(gone int) {
	g.mu.Lock()
	g.down, g.gone = false, gone
	g.mu.Unlock()
}

func (g *gateway) delayBy(d time.Duration) {
	g.mu.Lock()
	g.delay = d
	g.mu.Unlock()
}
