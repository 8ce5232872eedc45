package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/extauthz"
	"github.com/patgate/patgate/extauthz/httpfront"
	"github.com/patgate/patgate/server"
)

// envPrefix begins the environment variable of each of serve's flags.
const envPrefix = "PATGATE_"

// serveCommand holds the flags of serve as they were given; options makes server.Options of them.
type serveCommand struct {
	server.Options

	managed server.ManageOptions
	cluster server.KubernetesOptions

	kubernetes                       bool
	staleAction                      string
	overflow, auditFormat, chainFile string
	logFormat, logLevel              string
}

func newServe(s streams) *cobra.Command {
	g := serveCommand{managed: server.ManageOptions{Flags: "--manage-"}}
	cmd := &cobra.Command{
		Use:   "serve [DIR...]",
		Short: "Answer Envoy's checks by the manifests of a directory",
		Long: "Serve is the external authorization server (gRPC). It reads manifests, follows their changes, and\n" +
			"writes one audit event per decision to stdout. Logs go to stderr.\n" +
			"--manifests DIR,kinds=APIToken|TokenPolicy,names=team-a-* restricts a directory to these kinds and\n" +
			"names. A restricted directory that is broken keeps its own last good state.\n" +
			"SIGHUP reads the manifests at once, SIGTERM drains. Every flag can also be an environment variable:\n" +
			"--audit-wait is " + envPrefix + "AUDIT_WAIT.",
		Example: "  patgate serve --manifests manifests | jq\n" +
			"  patgate serve --manifests platform --manifests 'team-a,kinds=APIToken,names=team-a-*' --last-good /var/lib/patgate\n" +
			"  patgate serve --manifests manifests --listen unix:///run/patgate/patgate.sock\n" +
			"  patgate serve --manifests manifests --http-listen 127.0.0.1:9193 --http-front nginx\n" +
			"  patgate serve --manifests manifests --listen :9191 --tls-cert tls.crt --tls-key tls.key --tls-client-ca ca.crt",
		RunE: func(cmd *cobra.Command, given []string) error {
			o, err := g.options(s, cmd.Flags(), given)
			if err != nil {
				return err
			}
			return serve(o)
		},
	}
	f := cmd.Flags()
	g.addSources(f)
	g.addChecks(f)
	g.addAudit(f)
	g.addProcess(f)
	manageFlags(f, "manage-", &g.managed)
	_ = cmd.RegisterFlagCompletionFunc("http-front", fixed(httpfront.Names()...))
	return cmd
}

// addSources adds the flags that say where manifests come from.
func (g *serveCommand) addSources(f *pflag.FlagSet) {
	f.StringArrayVar(&g.Manifests, "manifests", nil, "`directory` of manifests, read recursively; may repeat")
	f.BoolVar(&g.kubernetes, "kubernetes", false, "read the objects of a Kubernetes cluster, instead of or in addition to directories")
	f.StringVar(&g.cluster.Kubeconfig, "kubeconfig", "", "`file` that names the cluster (default $KUBECONFIG, then the pod's account)")
	f.StringArrayVar(&g.cluster.Namespaces, "namespace", nil, "`namespace` whose objects are read; may repeat (default: all)")
	f.DurationVar(&g.MaxStale, "max-stale", 0, "how long the cluster may be unreachable until --stale-action (default: forever)")
	f.StringVar(&g.staleAction, "stale-action", "unready", "`action` after --max-stale: unready, or deny (every request)")
	f.BoolVar(&g.IsolateTokens, "isolate-tokens", false, "refuse a token of --manifests that is at fault, and load the others")
	f.StringVar(&g.LastGood, "last-good", "", "`directory` that stores the last good manifests: a start with bad ones uses them")
	manifestsSizeFlag(f, &g.MaxManifests)
}

// addChecks adds the flags of the listeners for checks.
func (g *serveCommand) addChecks(f *pflag.FlagSet) {
	f.StringVar(&g.Listen, "listen", "127.0.0.1:9191", "`address` for checks: host:port or unix:///path (mode 0660)")
	f.StringVar(&g.HTTPListen, "http-listen", "", "`address` for checks over HTTP, from a proxy other than Envoy")
	f.StringVar(&g.HTTPFront, "http-front", "", "`kind` of the proxy that uses --http-listen, such as nginx (front-config lists them)")
	f.BoolVar(&g.InsecureListen, "insecure-listen", false, "allow --listen on an address other than loopback without mTLS")
	f.StringVar(&g.TLSCert, "tls-cert", "", "`file` with the certificate of the listeners for checks, reloaded when it changes")
	f.StringVar(&g.TLSKey, "tls-key", "", "`file` with the key of --tls-cert")
	f.StringVar(&g.TLSClientCA, "tls-client-ca", "", "`file` with the CA certificates of clients that may ask (mTLS)")
	f.StringArrayVar(&g.TLSClientNames, "tls-client-name", nil, "`name` in a client's certificate: DNS name, SPIFFE URI or IP address; may repeat")
	f.IntVar(&g.MaxBody, "max-body-bytes", 1<<20, "largest body in a check; at least Envoy's max_request_bytes")
	f.IntVar(&g.MaxHeader, "max-header-bytes", 16<<10, "largest headers of the check call itself (gRPC metadata)")
	f.Int64Var(&g.MaxReceive, "max-receive-bytes", 0, "most bytes of unfinished checks in all (default a quarter of the memory limit)")
	f.StringVar(&g.Transport, "transport", extauthz.TransportH2, "`server` for checks: h2 (built in), or grpc (grpc-go, slower)")
	f.IntVar(&g.MaxInFlight, "max-in-flight", 0, "most checks at a time; further ones are refused (default 256 per CPU)")
}

// addAudit adds the flags of the audit log.
func (g *serveCommand) addAudit(f *pflag.FlagSet) {
	f.StringVar(&g.overflow, "audit-overflow", "deny", "`action` if an event can't be written: deny, or drop it and allow")
	f.StringVar(&g.auditFormat, "audit-format", "auto", "`format` of audit events: json, text, or auto (text on a terminal)")
	f.StringVar(&g.chainFile, "audit-chain", "", "`file` with the key that seals each audit line; `patgate audit key` makes one")
	f.DurationVar(&g.AuditWait, "audit-wait", 200*time.Millisecond, "how long an allow may wait until its event is written")
}

// addProcess adds the flags of the status port, the logs and the drain.
func (g *serveCommand) addProcess(f *pflag.FlagSet) {
	f.StringVar(&g.StatusListen, "status-listen", "127.0.0.1:9192", "`address` of /livez, /readyz, /metrics, /revision, /usage")
	f.DurationVar(&g.DrainDelay, "drain-delay", 2*time.Second, "how long to report NOT_SERVING after SIGTERM before the listeners close")
	f.DurationVar(&g.DrainGrace, "drain-grace", 20*time.Second, "how long in-flight checks may run after the listeners closed")
	f.StringVar(&g.logFormat, "log-format", "auto", "`format` of logs: text, json, or auto (text on a terminal)")
	f.StringVar(&g.logLevel, "log-level", "info", "minimum `level` of logs: debug, info, warn or error")
}

// options makes the server's options of the flags, of the environment where a flag was not given, and of dirs, the
// directories that were given without a flag. It returns a usageError for a value that a flag does not take.
func (g *serveCommand) options(s streams, f *pflag.FlagSet, dirs []string) (server.Options, error) {
	for _, dir := range dirs {
		if err := f.Set("manifests", dir); err != nil {
			return server.Options{}, usageError{err}
		}
	}
	if err := fromEnvironment(f, os.LookupEnv); err != nil {
		return server.Options{}, err
	}
	logger, err := newLogger(s, g.logFormat, g.logLevel)
	if err != nil {
		return server.Options{}, err
	}
	for _, name := range strangers(f, os.Environ()) {
		logger.Warn("an environment variable matches no flag", "name", name)
	}
	o := g.Options
	o.Logger, o.Version = logger, thisBuild().Version
	if err := g.audit(&o); err != nil {
		return server.Options{}, err
	}
	if err := g.source(&o); err != nil {
		return server.Options{}, err
	}
	if g.managed.Announce = announceLink(s); g.managed.Listen != "" {
		o.Manage = &g.managed
	} else if err := unmanaged(f); err != nil {
		return server.Options{}, err
	}
	return o, nil
}

// unmanaged refuses flags of the API and page where neither is served: they would have no effect.
func unmanaged(f *pflag.FlagSet) (err error) {
	f.VisitAll(func(flag *pflag.Flag) {
		if err == nil && flag.Value.String() != flag.DefValue && flag.Name != "manage-listen" && strings.HasPrefix(flag.Name, "manage-") {
			err = usageError{fmt.Errorf("--%s needs --manage-listen", flag.Name)}
		}
	})
	return err
}

// audit sets the options of the audit log.
func (g *serveCommand) audit(o *server.Options) (err error) {
	if o.AuditWait <= 0 {
		return usageError{fmt.Errorf("--audit-wait %s: expected more than zero, such as 200ms", o.AuditWait)}
	}
	switch g.overflow {
	case "deny":
		o.AuditOverflow = audit.Refuse
	case "drop":
		o.AuditOverflow = audit.Drop
	default:
		return usageError{fmt.Errorf("--audit-overflow %s: expected deny or drop", g.overflow)}
	}
	if o.AuditReadable, err = readableAudit(g.auditFormat, term.IsTerminal(int(os.Stdout.Fd()))); err != nil {
		return err
	}
	if o.AuditChain, err = readPrivateChainKey(g.chainFile); err != nil {
		return err
	}
	if o.AuditChain != nil && o.AuditReadable {
		return usageError{errors.New("--audit-chain: lines for people have no seals, expected --audit-format json")}
	}
	o.AuditColored = wantsColor(os.Stdout, os.LookupEnv)
	return nil
}

// source sets the options of a cluster as a source of manifests.
func (g *serveCommand) source(o *server.Options) error {
	switch {
	case g.staleAction != "unready" && g.staleAction != "deny":
		return usageError{fmt.Errorf("--stale-action %s: expected unready or deny", g.staleAction)}
	case !g.kubernetes && (g.cluster.Kubeconfig != "" || len(g.cluster.Namespaces) > 0):
		return usageError{errors.New("--kubeconfig and --namespace need --kubernetes")}
	case g.kubernetes:
		o.Kubernetes = &g.cluster
	}
	o.StaleDeny = g.staleAction == "deny"
	return nil
}

// fromEnvironment sets the flags that the command line leaves out.
func fromEnvironment(f *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var failed error
	f.VisitAll(func(flag *pflag.Flag) {
		name := envPrefix + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
		value, given := lookup(name)
		if !given || flag.Changed || flag.Name == "help" || failed != nil {
			return
		}
		values := []string{value}
		if flag.Name == "manifests" {
			values = filepath.SplitList(value)
		}
		for _, v := range values {
			if err := f.Set(flag.Name, v); err != nil {
				failed = usageError{fmt.Errorf("%s: %w", name, err)}
			}
		}
	})
	return failed
}

// strangers returns variables that look like ours and set no flag.
func strangers(f *pflag.FlagSet, environ []string) []string {
	var names []string
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		rest, ours := strings.CutPrefix(name, envPrefix)
		if ours && f.Lookup(strings.ToLower(strings.ReplaceAll(rest, "_", "-"))) == nil {
			names = append(names, name)
		}
	}
	return names
}

func newLogger(s streams, format, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usageError{fmt.Errorf("--log-level %s: expected debug, info, warn or error", level)}
	}
	options := &slog.HandlerOptions{Level: l}
	if f, ok := fileOf(s.err); format == "auto" && ok && term.IsTerminal(int(f.Fd())) {
		format = "text"
	}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(s.err, options)), nil
	case "json", "auto":
		return slog.New(slog.NewJSONHandler(s.err, options)), nil
	}
	return nil, usageError{fmt.Errorf("--log-format %s: expected text, json or auto", format)}
}

// readableAudit reports whether people read the audit, rather than programs.
func readableAudit(format string, onTerminal bool) (bool, error) {
	switch format {
	case "auto":
		return onTerminal, nil
	case "json", "text":
		return format == "text", nil
	}
	return false, usageError{fmt.Errorf("--audit-format %s: expected json, text or auto", format)}
}

// serve runs a server until a signal ends it.
func serve(o server.Options) error {
	// A reader of the audit that goes away is an error to deal with, not the end.
	signal.Ignore(syscall.SIGPIPE)
	defer runtime.KeepAlive(tuneMemory(o.Logger, cgroupLimit, machineMemory))
	srv, err := server.New(o)
	if err != nil {
		return namingFlags(err)
	}
	warnOfNullAudit(o.Logger)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	go func() {
		for sig := range signals {
			switch sig {
			case syscall.SIGHUP:
				o.Logger.Info("SIGHUP: reading the manifests again")
				srv.Reload()
				continue
			case syscall.SIGINT:
				cancel(server.ErrNow)
			default:
				cancel(nil)
			}
			signal.Reset(syscall.SIGTERM, syscall.SIGINT) // a second one ends the process
		}
	}()
	return srv.Run(ctx)
}

// warnOfNullAudit warns when no one can read the audit. A stdout that was closed looks
// the same: Go opens /dev/null in its place before the program begins.
func warnOfNullAudit(l *slog.Logger) {
	null, err := os.Stat(os.DevNull)
	if err != nil {
		return
	}
	if out, err := os.Stdout.Stat(); err == nil && os.SameFile(null, out) {
		l.Warn("stdout is closed or " + os.DevNull + ": every audit event is discarded")
	}
}
