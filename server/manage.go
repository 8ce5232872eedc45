package server

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/netutil"

	"github.com/patgate/patgate/admin"
	"github.com/patgate/patgate/admin/oidc"
	"github.com/patgate/patgate/admin/page"
	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/tokens"
	"github.com/patgate/patgate/usage"
)

// ManageOptions are the options of the management API. Errors name flags by Flags.
type ManageOptions struct {
	Listen         string // host:port or unix:///path
	InsecureListen bool   // allows an address beyond loopback without TLS
	Into           string // the directory of new tokens: one of the manifests, or within one; of objects, the namespace of the tokens
	Gate           string // at which tokens sign in
	UserHeader     string // that the proxy in front sets
	TLSCert        string
	TLSKey         string
	ClientCA       string
	SessionKeyFile string
	LoginLink      string   // the user of a one-time link, on loopback
	SecureMode     bool     // what exists can be ended and not changed
	GateStatus     []string // the status ports of the servers that follow the manifests
	NotifyURL      string   // a webhook that gets notice of tokens that end soon; empty: none
	NotifySecret   string   // the file of the key that signs its messages
	OIDC           OIDC     // sign in with an identity provider; without an issuer: no user does
	Flags          string   // begins the names of the flags, such as --manage-
	Announce       func(string)
	ForceWithin    time.Duration // how long an answer waits for its change to take effect; zero: 2 s

	// Extend adds the page and its ways to sign in, before requests come.
	Extend func(*admin.Handler) error
	Others bool // there are other ways to sign in, which Extend adds
}

// The limits on requests of the management.
const (
	manageConnections = 100
	manageTime        = 10 * time.Second
	manageHeader      = 16 << 10
	manageStreams     = 32       // of a connection
	manageReceive     = 64 << 10 // what a connection holds of bodies that are not read yet
)

// management is the HTTP server of the management.
type management struct {
	o        *ManageOptions
	listener net.Listener
	server   *http.Server
	handler  *admin.Handler
	links    *admin.Links
	signIn   *oidc.SignIn // nil: no identity provider
	usage    *usageView
	notices  *notices
	snapshot func() *policy.Snapshot // what runs
}

// managed holds what the management API manages.
type managed struct {
	manifests []string
	index     *policy.Index
	audit     admin.Recorder
	loader    *loader.Loader
	now       func() time.Time
	logger    *slog.Logger
	recent    *admin.Recent   // nil: decisions are made elsewhere
	counters  *usage.Counters // nil: decisions are made elsewhere
	objects   *managedObjects // nil: tokens are files
}

// store returns the store of the tokens.
func (m *managed) store(o *ManageOptions) interface {
	tokens.Store
	tokens.Documents
} {
	if m.objects != nil {
		return m.objects
	}
	return &dir.Store{Roots: m.manifests, Into: o.Into, Kept: m.loader.Documents}
}

// snapshot returns what decides about those who sign in with a token.
func (m *managed) snapshot() *policy.Snapshot {
	if m.objects != nil {
		return m.objects.Snapshot()
	}
	return m.index.Snapshot()
}

// newManagement checks the options and binds the listener. It returns a *UsageError for options that
// can't be followed.
func newManagement(o *ManageOptions, m *managed) (*management, error) {
	if err := o.check(m); err != nil {
		return nil, err
	}
	if m.objects != nil {
		m.audit = qualifiedEvents{m.audit, m.objects}
	}
	certs, err := newCertificates(&Options{TLSCert: o.TLSCert, TLSKey: o.TLSKey, TLSClientCA: o.ClientCA, Now: m.now, Logger: m.logger})
	if err != nil {
		return nil, err
	}
	sessions, err := o.sessions(m)
	if err != nil {
		return nil, err
	}
	g := &management{o: o}
	if g.signIn, err = o.signIn(sessions, m); err != nil {
		return nil, err
	}
	servers := newServers(o.GateStatus)
	if g.usage, err = newUsageView(m.counters, servers); err != nil {
		return nil, err
	}
	options := g.options(m, servers, sessions)
	if g.handler, err = g.newHandler(options); err != nil {
		return nil, err
	}
	g.notices = &notices{service: options.Service, audit: m.audit, now: m.now, logger: m.logger, every: noticeEvery}
	if o.NotifyURL != "" || o.NotifySecret != "" {
		if g.notices.hook, err = newWebhook(o.NotifyURL, o.NotifySecret, m.now, m.logger); err != nil {
			return nil, &UsageError{o.Flags + err.Error()}
		}
	}
	if g.listener, err = listen(o.Listen); err != nil {
		return nil, fmt.Errorf("%slisten %s: %w", o.Flags, o.Listen, err)
	}
	g.server = &http.Server{
		Handler: g.handler, ReadTimeout: manageTime, ReadHeaderTimeout: manageTime / 2, WriteTimeout: 2 * manageTime, IdleTimeout: time.Minute,
		MaxHeaderBytes: manageHeader, ErrorLog: slog.NewLogLogger(m.logger.Handler(), slog.LevelDebug), TLSConfig: browsers(certs.config()),
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: manageStreams, MaxReceiveBufferPerConnection: manageReceive, MaxReceiveBufferPerStream: manageReceive},
	}
	return g, nil
}

// options returns what the management API needs to know of the server.
func (g *management) options(m *managed, servers *servers, sessions *admin.Sessions) admin.Options {
	o, store := g.o, m.store(g.o)
	options := admin.Options{
		Service: &tokens.Service{Store: store, Documents: store, Now: m.now}, Snapshot: m.snapshot, Audit: m.audit, InForce: o.inForce(m, servers),
		Gate: o.Gate, Header: o.UserHeader, Sessions: sessions, Secure: o.SecureMode, Now: m.now, Logger: m.logger, Others: o.Others || g.signIn != nil,
	}
	if m.counters != nil || len(o.GateStatus) > 0 {
		options.Usage, options.Rules = g.usage.used, g.usage.rules
	}
	if m.recent != nil {
		options.Recent = m.recent.Calls
	}
	if m.objects != nil {
		m.objects.qualify(&options)
	}
	g.snapshot = options.Snapshot
	if o.LoginLink != "" {
		g.links = &admin.Links{Now: m.now}
		options.Links = g.links
	}
	return options
}

// newHandler makes the handler of the API, the page and the ways to sign in.
func (g *management) newHandler(options admin.Options) (*admin.Handler, error) {
	h, err := admin.New(options)
	if err != nil {
		return nil, &UsageError{fmt.Sprintf("there is no way to sign in: expected %[1]sgate, %[1]suser-header, %[1]soidc-issuer or %[1]slogin-link", g.o.Flags)}
	}
	if g.signIn != nil {
		g.signIn.Register(h)
	}
	if err := page.Add(h); err != nil {
		return nil, err
	}
	if g.o.Extend != nil {
		if err := g.o.Extend(h); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// browsers lets clients speak HTTP/1.1 too.
func browsers(config *tls.Config) *tls.Config { return speaking(config, "h2", "http/1.1") }

// speaking has TLS offer protocols of HTTP.
func speaking(config *tls.Config, protocols ...string) *tls.Config {
	if config == nil {
		return nil
	}
	of := config.GetConfigForClient
	config.NextProtos = protocols
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		current, err := of(hello)
		if err != nil || current == nil {
			return current, err
		}
		current = current.Clone()
		current.NextProtos = protocols
		return current, nil
	}
	return config
}

// check refuses options that are invalid or insecure.
func (o *ManageOptions) check(m *managed) error {
	refuse := func(flag, format string, args ...any) error {
		return &UsageError{o.Flags + flag + ": " + fmt.Sprintf(format, args...)}
	}
	path, unix := strings.CutPrefix(o.Listen, unixPrefix)
	host, _, err := net.SplitHostPort(o.Listen)
	switch {
	case o.Into == "":
		return refuse("into", "missing, expected the directory of new tokens")
	case m.objects == nil && !slices.ContainsFunc(dir.Paths(m.manifests), func(root string) bool { return dir.Within(root, o.Into) }):
		return refuse("into", "%s is not within the manifests, expected one of their directories or one in it: the new tokens would not be read", o.Into)
	case unix && !filepath.IsAbs(path):
		return refuse("listen", "%s: expected unix:// and an absolute path, such as unix:///run/patgate/manage.sock", o.Listen)
	case !unix && err != nil:
		return refuse("listen", "%s: expected HOST:PORT or unix:///path", o.Listen)
	case (o.TLSCert == "") != (o.TLSKey == ""):
		return refuse("tls-cert", "the certificate and %stls-key go together", o.Flags)
	case o.ClientCA != "" && o.TLSCert == "":
		return refuse("client-ca", "it needs %[1]stls-cert and %[1]stls-key", o.Flags)
	case !unix && !isLoopback(host) && o.TLSCert == "" && !o.InsecureListen:
		return refuse("listen", "%s: beyond loopback everyone could read the traffic, expected %[2]stls-cert and %[2]stls-key, or %[2]sinsecure-listen where the network itself is private", o.Listen, o.Flags)
	case o.UserHeader != "" && !unix && o.ClientCA == "":
		return refuse("user-header", "everyone who reaches %s could set it, expected a unix socket or %sclient-ca, so that the proxy in front alone can connect", o.Listen, o.Flags)
	case o.LoginLink != "" && (unix || !isLoopback(host)):
		return refuse("login-link", "it is for loopback alone, expected %slisten 127.0.0.1:PORT", o.Flags)
	}
	for _, status := range o.GateStatus {
		if u, err := url.Parse(status); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return refuse("gate-status", "%s is no URL, expected one such as http://127.0.0.1:9192", status)
		}
	}
	return nil
}

// plainLoopback reports whether browsers come over loopback without TLS, where a cookie can't be
// for HTTPS alone.
func (o *ManageOptions) plainLoopback() bool {
	host, _, err := net.SplitHostPort(o.Listen)
	return err == nil && isLoopback(host) && o.TLSCert == ""
}

// sessions returns the sessions, with the key of the file if one is given.
func (o *ManageOptions) sessions(m *managed) (*admin.Sessions, error) {
	var key []byte
	if o.SessionKeyFile != "" {
		text, err := os.ReadFile(o.SessionKeyFile)
		if err != nil {
			return nil, &UsageError{fmt.Sprintf("%ssession-key-file %s: %v", o.Flags, o.SessionKeyFile, dir.Reason(err))}
		}
		key = []byte(strings.TrimSpace(string(text)))
	}
	sessions, err := admin.NewSessions(key, !o.plainLoopback(), m.now)
	if err != nil {
		return nil, &UsageError{o.Flags + "session-key-file: " + err.Error()}
	}
	if key != nil && m.objects == nil { // replicas have the same key and directory
		sessions.Share(o.Into, m.logger)
	}
	return sessions, nil
}

// inForce returns a function that waits until a change runs: in this process, and at the servers whose status ports
// are named.
func (o *ManageOptions) inForce(m *managed, servers *servers) func(admin.Change) bool {
	within := cmp.Or(o.ForceWithin, 2*time.Second)
	if m.objects != nil {
		return m.objects.inForce(servers, within)
	}
	return func(c admin.Change) bool {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		var sum [sha256.Size]byte
		if n, err := hex.Decode(sum[:], []byte(c.Revision)); err != nil || n != len(sum) {
			return false
		}
		runs := m.loader.Written(ctx, c.File, sum)
		if row := m.index.Snapshot().TokenByName(c.Token); !runs && (row == nil || !row.Revoked) {
			return false
		}
		return servers.follow(ctx, func(got *revisionStatus) bool {
			return got.ofFiles() == fmt.Sprintf("%x", m.index.Snapshot().Revision().Files)
		})
	}
}

// url returns the URL of the management for browsers.
func (g *management) url() string {
	if g.listener.Addr().Network() == "unix" {
		return "unix://" + g.listener.Addr().String()
	}
	if g.o.TLSCert != "" {
		return "https://" + g.listener.Addr().String()
	}
	return "http://" + g.listener.Addr().String()
}

// announce logs the address of the management. It warns if no manifest has the Gate at which tokens sign in.
func (g *management) announce(logger *slog.Logger) {
	logger.Info("managing tokens", "address", g.url())
	snapshot := g.snapshot()
	if g.o.Gate == "" || snapshot.Gate(g.o.Gate) != nil {
		return
	}
	var names []string
	for _, gate := range snapshot.Gates() {
		names = append(names, gate.Name)
	}
	logger.Warn("no Gate has the name of "+g.o.Flags+"gate: sign-in with tokens is refused until one has", "gate", g.o.Gate, "hint", diag.Suggest(g.o.Gate, names))
}

// serve answers requests until stop.
func (g *management) serve() error {
	limited := netutil.LimitListener(g.listener, manageConnections)
	if g.signIn != nil {
		go g.signIn.Check(context.Background())
	}
	if g.links != nil && g.o.Announce != nil {
		g.o.Announce(g.url() + g.links.New(g.o.LoginLink))
	}
	var err error
	if g.server.TLSConfig != nil {
		err = g.server.ServeTLS(limited, "", "")
	} else {
		err = g.server.Serve(limited)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// stop waits for requests in flight.
func (g *management) stop(ctx context.Context) { _ = g.server.Shutdown(ctx) }
