package server

import (
	"errors"
	"log/slog"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/extauthz"
	"github.com/patgate/patgate/loader"
)

// Options of a Server. Zero values mean the defaults, where one is named.
type Options struct {
	Manifests     []string // directories, as dir.ParseRoot reads them; at least one, unless Kubernetes is set
	IsolateTokens bool     // a token of the files that is at fault is not accepted, and the others run
	LastGood      string   // a directory that keeps their last good state over restarts; empty: none
	MaxManifests  int64    // bytes read at most; default dir.MaxBytes

	Kubernetes *KubernetesOptions // also follow the objects of a cluster; nil: don't
	MaxStale   time.Duration      // after how long without a sign of the cluster the server is not ready; 0: never
	StaleDeny  bool               // then refuse every request too, with not_ready

	Listen         string // for checks: host:port or unix:///path; default 127.0.0.1:9191
	HTTPListen     string // for checks over HTTP, like Listen; empty: none
	HTTPFront      string // the kind of proxy that calls it: one of httpfront.Names
	InsecureListen bool   // allows an address beyond loopback without mTLS
	StatusListen   string // default 127.0.0.1:9192
	TLSCert        string // files, reloaded when they change
	TLSKey         string
	TLSClientCA    string   // clients must present a certificate that it signed
	TLSClientNames []string // and that has one of these names; none: any of that authority

	Audit         *os.File // default os.Stdout
	AuditOverflow audit.Overflow
	AuditWait     time.Duration   // default 200 ms
	AuditChain    *audit.ChainKey // a private key seals each line; nil: lines are not sealed
	AuditReadable bool            // a readable line an event, for people, instead of JSON
	AuditColored  bool            // and in colors

	Transport   string        // of the check listener: one of extauthz.Transports; default h2
	MaxBody     int           // bytes of a request's body, as Envoy sends it; default 1 MiB
	MaxHeader   int           // bytes of a check's own headers (gRPC metadata); default 16 KiB
	MaxReceive  int64         // bytes of unfinished checks, and what connections take; default a quarter of the memory limit
	MaxInFlight int           // checks at a time; default 256 a CPU
	DrainDelay  time.Duration // between NOT_SERVING and the end of listening
	DrainGrace  time.Duration // for checks under way, and for the audit; default 20 s

	Manage *ManageOptions // also manage tokens; nil: don't

	Version string // for the build metric
	Logger  *slog.Logger
	Now     func() time.Time
	Loader  loader.Options // for tests: its pace

	UsageEvery time.Duration // for tests: the interval of token.usage events; default a minute
}

// ErrNow as the cause of Run's context ends a server without the drain delay.
var ErrNow = errors.New("stop now")

// UsageError reports invalid options. Its message names them as Options does.
type UsageError struct{ Message string }

// Error returns the message.
func (e *UsageError) Error() string { return e.Message }

// ListenError reports why an address of an option can't be listened on.
type ListenError struct {
	Option  string // as Options names it
	Address string
	Err     error
}

// Error names the option and the address.
func (e *ListenError) Error() string { return e.Option + " " + e.Address + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ListenError) Unwrap() error { return e.Err }

// ManifestsError reports manifests with which a server did not start.
type ManifestsError struct{ Problems []diag.Problem }

// Error returns the problems, one a line. Equal ones are folded.
func (e *ManifestsError) Error() string { return strings.Join(diag.Folded(e.Problems), "\n") }

func withDefaults(o *Options) {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:9191"
	}
	if o.StatusListen == "" {
		o.StatusListen = "127.0.0.1:9192"
	}
	if o.Transport == "" {
		o.Transport = extauthz.TransportH2
	}
	if o.Audit == nil {
		o.Audit = os.Stdout
	}
	if o.MaxBody == 0 {
		o.MaxBody = 1 << 20
	}
	if o.MaxReceive == 0 {
		o.MaxReceive = quarterOfMemory()
	}
	if o.MaxInFlight == 0 {
		o.MaxInFlight = 256 * runtime.GOMAXPROCS(0)
	}
	if o.UsageEvery == 0 {
		o.UsageEvery = usageEvery
	}
	if o.DrainGrace == 0 {
		o.DrainGrace = 20 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// quarterOfMemory is a quarter of what the process may take.
func quarterOfMemory() int64 {
	const unlimited, fallback = math.MaxInt64, 256 << 20
	limit := debug.SetMemoryLimit(-1)
	if limit == unlimited {
		limit = fallback
	}
	return max(limit/4, minReceive)
}
