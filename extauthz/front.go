package extauthz

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/netutil"

	"github.com/patgate/patgate/extauthz/httpfront"
	"github.com/patgate/patgate/policy"
)

// The limits on checks over HTTP.
const (
	// frontTime is how long a check may take: well below the 2 seconds that printed configurations wait, so
	// that a front never asks again what is being decided.
	frontTime = time.Second
	// frontHeader is the largest head of a check, which holds all headers of the client's request.
	frontHeader = 128 << 10
	frontRead   = 2 * time.Second
	frontIdle   = 5 * time.Minute // longer than fronts keep connections
)

// frontAttributes are the attributes that only checks over HTTP have.
type frontAttributes struct {
	asks    bool   // the check came over HTTP
	framed  bool   // the front says whether the request has a body
	removes bool   // the front takes off headers that an answer names
	problem string // why the check can't be evaluated
}

// FrontOptions of a Front. Zero values mean the defaults.
type FrontOptions struct {
	Kind       httpfront.Kind
	MaxBody    int   // bytes of a request's body; default 1 MiB
	MaxReceive int64 // bytes that all connections together may hold; default 64 MiB
	TLS        *tls.Config
}

// front serves checks over HTTP. It is a Transport.
type front struct {
	server *Server
	o      FrontOptions
	http   *http.Server
	bodies chan struct{} // holds a value for each body that is held
}

// NewFront returns a transport for checks over HTTP.
func NewFront(s *Server, o FrontOptions) Transport {
	if o.MaxBody == 0 {
		o.MaxBody = 1 << 20
	}
	if o.MaxReceive == 0 {
		o.MaxReceive = 64 << 20
	}
	f := &front{server: s, o: o, bodies: make(chan struct{}, max(o.MaxReceive/2/int64(o.MaxBody), 1))}
	f.http = &http.Server{
		Handler: f, ReadHeaderTimeout: frontRead, ReadTimeout: frontRead, WriteTimeout: 2 * frontRead, IdleTimeout: frontIdle,
		MaxHeaderBytes: frontHeader, ErrorLog: log.New(serverLog{s}, "", 0), ConnContext: withConn, ConnState: nextCheck,
		DisableGeneralOptionsHandler: true, // net/http would answer `OPTIONS *` with 200, which is an allow
	}
	return f
}

// SetServing implements Transport. A front that goes takes no connection for its next check.
func (f *front) SetServing(serving bool) { f.http.SetKeepAlivesEnabled(serving) }

// Serve implements Transport.
func (f *front) Serve(l net.Listener) error {
	l = netutil.LimitListener(l, int(max(f.o.MaxReceive/2/frontHeader, 64)))
	if f.o.TLS != nil {
		l = tls.NewListener(l, f.o.TLS)
	}
	if err := f.http.Serve(frontListener{l, f}); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// Stop implements Transport.
func (f *front) Stop(ctx context.Context) {
	if f.http.Shutdown(ctx) != nil {
		_ = f.http.Close()
	}
}

// ServeHTTP answers a check, whatever happens.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c := connOf(r.Context()); c != nil {
		c.handled = true
	}
	f.answer(r.Context(), w, func(ctx context.Context, crowded bool) (Attributes, func()) { return f.read(ctx, r, crowded) })
}

// answer answers the check that a function reads.
func (f *front) answer(ctx context.Context, w http.ResponseWriter, read func(ctx context.Context, crowded bool) (Attributes, func())) {
	out := f.server.refusedAnswer
	defer func() {
		if p := recover(); p != nil {
			f.server.Logger.Error("an answer panicked, the request is refused", "panic", panicText(p))
			out = f.server.refusedAnswer
		}
		writeAnswer(w, f.o.Kind, out())
	}()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), frontTime)
	defer cancel()
	crowded := f.server.enter()
	defer f.server.leave()
	in, done := read(ctx, crowded)
	defer done()
	c := f.server.Check(ctx, &in, crowded || in.front.problem == overloadedFront)
	if c.finish(c.record(ctx)); proper(c.out) {
		out = func() *answer { return &c.answer }
	}
}

// refusedAnswer is the answer to an internal error.
func (s *Server) refusedAnswer() *answer {
	s.refusal() // counts it
	return newRefusal()
}

// overloadedFront marks a check whose body could not be taken in time.
const overloadedFront = "too many bodies at a time"

// read reads a check. done gives back what its body takes.
func (f *front) read(ctx context.Context, r *http.Request, crowded bool) (a Attributes, done func()) {
	done = func() {}
	defer func() { a.keepPanic(recover()) }()
	c := httpfront.Read(f.o.Kind, r)
	a = Attributes{method: c.Method, path: c.Target, host: c.Host, peer: c.Address, rawHeaders: !f.o.Kind.Joins(), headers: make(headers, len(c.Header))}
	for i, h := range c.Header {
		a.headers[i] = header{h.Name, h.Value}
	}
	if c.Framing.Length != "" {
		a.headers = append(a.headers, header{"content-length", c.Framing.Length})
	}
	a.front = frontAttributes{asks: true, framed: c.Framing.Known, removes: f.o.Kind.Removes(), problem: c.Problem}
	if r.TLS != nil {
		a.peerName = PeerName(*r.TLS)
	}
	if f.o.Kind.Bodies() && !crowded && c.Problem == "" {
		done = f.readBody(ctx, r, &a)
	}
	return a, done
}

// readBody reads the body that the front sent along. One that is too long, or does not come in time, is a
// partial one, by which no rule is decided.
func (f *front) readBody(ctx context.Context, r *http.Request, a *Attributes) (done func()) {
	if r.ContentLength == 0 {
		return func() {}
	}
	select {
	case f.bodies <- struct{}{}:
	case <-ctx.Done():
		a.front.problem = overloadedFront
		return func() {}
	}
	done = func() { <-f.bodies }
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(f.o.MaxBody)+1))
	a.rawBody = string(body)
	switch {
	case err != nil, len(body) > f.o.MaxBody:
		a.rawBody, a.size = string(body[:min(len(body), f.o.MaxBody)]), int64(len(body))+1 // not whole
	case f.o.Kind.WholeBodies():
		a.size = int64(len(body))
	}
	return done
}

// checkRemovals refuses an allow of a request with a header that must be taken off, where the front can't.
func (f *frontAttributes) checkRemovals(d *policy.Decision) {
	if !f.asks || f.removes || d.Effect != policy.Allow || len(d.Remove) == 0 {
		return
	}
	always := d.Gate.Upstream.Remove(policy.NoIdentity, false)
	for _, name := range d.Remove {
		if name != policy.HeaderID && !slices.Contains(always, name) {
			d.Refuse(policy.BadTarget)
			d.Detail = "a header holds a token or has a name of patgate's, and this front can't remove it"
			return
		}
	}
}

// serverLog takes what net/http logs.
type serverLog struct{ server *Server }

// Write implements io.Writer.
func (l serverLog) Write(line []byte) (int, error) {
	l.server.Logger.Debug(strings.TrimSpace(string(line)))
	return len(line), nil
}
