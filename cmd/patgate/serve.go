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
	"github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/server"
)

// envPrefix begins the environment variable of each of serve's flags.
const envPrefix = "PATGATE_"

func newServe(s streams) *cobra.Command {
	var o server.Options
	managed := server.ManageOptions{Flags: "--manage-"}
	var fromCluster server.KubernetesOptions
	var kubernetes bool
	var staleAction string
	var overflow, auditFormat, chainFile, logFormat, logLevel string
	cmd := &cobra.Command{
		Use:   "serve [DIR...]",
		Short: "Answer Envoy's checks by the manifests of a directory",
		Long: "Serve is the external authorization server (gRPC): it reads manifests, follows their\n" +
			"changes, and writes one audit event a decision to stdout. Logs go to stderr.\n" +
			"Each --manifests DIR,kinds=APIToken|TokenPolicy,names=team-a-* is restricted to these\n" +
			"kinds and names, and keeps its own last good state where it is broken.\n" +
			"SIGHUP reads the manifests at once, SIGTERM drains. Every flag can be given as an\n" +
			"environment variable too: --audit-wait is " + envPrefix + "AUDIT_WAIT.",
		Example: "  patgate serve --manifests manifests | jq\n" +
			"  patgate serve --manifests platform --manifests 'team-a,kinds=APIToken,names=team-a-*' --last-good /var/lib/patgate\n" +
			"  patgate serve --manifests manifests --listen unix:///run/patgate/patgate.sock\n" +
			"  patgate serve --manifests manifests --http-listen 127.0.0.1:9193 --http-front nginx\n" +
			"  patgate serve --manifests manifests --listen :9191 --tls-cert tls.crt --tls-key tls.key --tls-client-ca ca.crt",
		RunE: func(cmd *cobra.Command, given []string) error {
			for _, dir := range given {
				if err := cmd.Flags().Set("manifests", dir); err != nil {
					return usageError{err}
				}
			}
			if err := fromEnvironment(cmd.Flags(), os.LookupEnv); err != nil {
				return err
			}
			logger, err := newLogger(s, logFormat, logLevel)
			if err != nil {
				return err
			}
			for _, name := range strangers(cmd.Flags(), os.Environ()) {
				logger.Warn("an environment variable that belongs to no flag", "name", name)
			}
			if o.AuditWait <= 0 {
				return usageError{fmt.Errorf("--audit-wait %s: expected more than zero, such as 200ms", o.AuditWait)}
			}
			switch overflow {
			case "deny":
				o.AuditOverflow = audit.Refuse
			case "drop":
				o.AuditOverflow = audit.Drop
			default:
				return usageError{fmt.Errorf("--audit-overflow %s: expected deny or drop", overflow)}
			}
			if o.AuditReadable, err = readableAudit(auditFormat, term.IsTerminal(int(os.Stdout.Fd()))); err != nil {
				return err
			}
			if o.AuditChain, err = readPrivateChainKey(chainFile); err != nil {
				return err
			}
			if o.AuditChain != nil && o.AuditReadable {
				return usageError{fmt.Errorf("--audit-chain: lines for people have no seals, expected --audit-format json")}
			}
			o.AuditColored = wantsColor(os.Stdout, os.LookupEnv)
			o.Logger, o.Version = logger, thisBuild().Version
			switch {
			case staleAction != "unready" && staleAction != "deny":
				return usageError{fmt.Errorf("--stale-action %s: expected unready or deny", staleAction)}
			case !kubernetes && (fromCluster.Kubeconfig != "" || len(fromCluster.Namespaces) > 0):
				return usageError{errors.New("--kubeconfig and --namespace need --kubernetes")}
			case kubernetes:
				o.Kubernetes = &fromCluster
			}
			o.StaleDeny = staleAction == "deny"
			if managed.Announce = announceLink(s); managed.Listen != "" {
				o.Manage = &managed
			}
			return serve(o)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.Manifests, "manifests", nil, "`directory` of manifests, read recursively; may repeat")
	f.BoolVar(&kubernetes, "kubernetes", false, "follow the objects of a Kubernetes cluster, beside or instead of directories")
	f.StringVar(&fromCluster.Kubeconfig, "kubeconfig", "", "`file` that says where the cluster is (default $KUBECONFIG, the pod's service account)")
	f.StringArrayVar(&fromCluster.Namespaces, "namespace", nil, "`namespace` whose objects count; may repeat (default all)")
	f.DurationVar(&o.MaxStale, "max-stale", 0, "after how long without a sign of the cluster patgate is not ready (default never)")
	f.StringVar(&staleAction, "stale-action", "unready", "what becomes of it then: unready, or deny (every request)")
	f.StringVar(&o.LastGood, "last-good", "", "`directory` that keeps the last good manifests, for a start beside bad ones")
	f.Int64Var(&o.MaxManifests, "manifests-max-bytes", dir.MaxBytes, "how much a load reads at most")
	f.StringVar(&o.Listen, "listen", "127.0.0.1:9191", "`address` of checks: host:port or unix:///path (mode 0660)")
	f.StringVar(&o.HTTPListen, "http-listen", "", "`address` for checks over HTTP, of a proxy other than Envoy")
	f.StringVar(&o.HTTPFront, "http-front", "", "`kind` of that proxy, such as nginx (front-config lists them)")
	f.BoolVar(&o.InsecureListen, "insecure-listen", false, "allow an address beyond loopback without mTLS")
	f.StringVar(&o.StatusListen, "status-listen", "127.0.0.1:9192", "`address` of /livez, /readyz, /metrics, /revision, /usage")
	f.StringVar(&o.TLSCert, "tls-cert", "", "`file` of the certificate for checks, reloaded when it changes")
	f.StringVar(&o.TLSKey, "tls-key", "", "`file` of its key")
	f.StringVar(&o.TLSClientCA, "tls-client-ca", "", "`file` of the authority whose clients may ask (mTLS)")
	f.StringArrayVar(&o.TLSClientNames, "tls-client-name", nil, "`name` in the certificates of clients that may ask: DNS, SPIFFE URI or IP; may repeat")
	f.StringVar(&overflow, "audit-overflow", "deny", "what becomes of an allow whose event can't be written: deny or drop")
	f.StringVar(&auditFormat, "audit-format", "auto", "form of the audit: json, text, or auto (text on a terminal)")
	f.StringVar(&chainFile, "audit-chain", "", "`file` with the key that seals each line, which `patgate audit key` makes")
	f.DurationVar(&o.AuditWait, "audit-wait", 200*time.Millisecond, "how long an allow waits for its event")
	f.IntVar(&o.MaxBody, "max-body-bytes", 1<<20, "largest body that Envoy sends; no less than its max_request_bytes")
	f.IntVar(&o.MaxHeader, "max-header-bytes", 16<<10, "largest headers of a check's own call (gRPC metadata)")
	f.Int64Var(&o.MaxReceive, "max-receive-bytes", 0, "how much all connections of checks may hold (default a quarter of the memory limit)")
	f.StringVar(&o.Transport, "transport", extauthz.TransportH2, "how checks are served: h2 (our own), or grpc (grpc-go, slower)")
	f.IntVar(&o.MaxInFlight, "max-in-flight", 0, "checks at a time, beyond which they are refused (default 256 a CPU)")
	f.DurationVar(&o.DrainDelay, "drain-delay", 2*time.Second, "how long SIGTERM says NOT_SERVING before it stops listening")
	f.DurationVar(&o.DrainGrace, "drain-grace", 20*time.Second, "how long checks under way may take then")
	f.StringVar(&logFormat, "log-format", "auto", "form of the logs: text, json, or auto (text on a terminal)")
	f.StringVar(&logLevel, "log-level", "info", "least level of the logs: debug, info, warn or error")
	manageFlags(f, "manage-", &managed)
	_ = cmd.RegisterFlagCompletionFunc("http-front", fixed(httpfront.Names()...))
	return cmd
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
				o.Logger.Info("SIGHUP: the manifests are read again")
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
		l.Warn("stdout is closed or " + os.DevNull + ": every audit event is thrown away")
	}
}
