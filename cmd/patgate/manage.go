package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/patgate/patgate/admin/oidc"
	"github.com/patgate/patgate/server"
)

func newManage(s streams) *cobra.Command {
	o := server.Options{Manage: &server.ManageOptions{Flags: "--"}}
	var chainFile, logFormat, logLevel string
	var kubernetes bool
	var cluster server.KubernetesOptions
	cmd := &cobra.Command{
		Use:   "manage {--manifests DIR --into DIR | --kubernetes}",
		Short: "Let people manage their tokens over HTTP",
		Long: "Manage serves the API and page with which people create, see, limit and end their own tokens, and\n" +
			"administrators see and end all tokens. It writes manifests to the directory --into; servers that\n" +
			"read this directory apply them. With --kubernetes it writes APIToken objects of one namespace\n" +
			"instead. At least one way to sign in is needed: tokens of a gate, a header of\n" +
			"the proxy in front, OpenID Connect, or a one-time link.\n" +
			"Every flag can also be an environment variable: --user-header is " + envPrefix + "USER_HEADER.",
		Example: "  patgate manage --manifests manifests --into manifests/tokens --login-link alice\n" +
			"  patgate manage --manifests manifests --into manifests/tokens --gate tokens --gate-status http://127.0.0.1:9192\n" +
			"  patgate manage --manifests m --into m/tokens --listen unix:///run/patgate/manage.sock --user-header x-forwarded-user\n" +
			"  patgate manage --kubernetes --namespace tokens --gate-status http://patgate:9192 --login-link alice",
		Args: args(cobra.NoArgs, "takes flags alone: the directory goes to --manifests"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd.Flags(), os.LookupEnv); err != nil {
				return err
			}
			logger, err := newLogger(s, logFormat, logLevel)
			if err != nil {
				return err
			}
			switch {
			case kubernetes:
				o.Kubernetes = &cluster
			case cluster.Kubeconfig != "" || len(cluster.Namespaces) > 0:
				return usageError{errors.New("--kubeconfig and --namespace need --kubernetes")}
			}
			if o.AuditChain, err = readPrivateChainKey(chainFile); err != nil {
				return err
			}
			o.Logger, o.Version = logger, thisBuild().Version
			o.Manage.Announce = announceLink(s)
			return manage(o)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.Manifests, "manifests", nil, "`directory` of manifests, read recursively; may repeat")
	f.BoolVar(&kubernetes, "kubernetes", false, "manage the APIToken objects of a Kubernetes namespace")
	f.StringVar(&cluster.Kubeconfig, "kubeconfig", "", "`file` that names the cluster (default $KUBECONFIG, then the pod's account)")
	f.StringArrayVar(&cluster.Namespaces, "namespace", nil, "`namespace` whose Gates count; may repeat. The only one is also --into")
	manifestsSizeFlag(f, &o.MaxManifests)
	f.StringVar(&chainFile, "audit-chain", "", "`file` with the key that seals each audit line; `patgate audit key` makes one")
	manageFlags(f, "", o.Manage)
	f.Lookup("listen").DefValue = "127.0.0.1:9193"
	o.Manage.Listen = "127.0.0.1:9193"
	f.StringArrayVar(&o.Manage.GateStatus, "gate-status", nil, "`URL` of the status port of a server: changes wait for it; may repeat")
	f.StringVar(&logFormat, "log-format", "auto", "`format` of logs: text, json, or auto (text on a terminal)")
	f.StringVar(&logLevel, "log-level", "info", "minimum `level` of logs: debug, info, warn or error")
	return cmd
}

// manageFlags adds the flags of the management, whose names begin with a prefix.
func manageFlags(f *pflag.FlagSet, prefix string, o *server.ManageOptions) {
	f.StringVar(&o.Listen, prefix+"listen", "", "`address` for the API and page: host:port or unix:///path")
	f.StringVar(&o.Into, prefix+"into", "", "`directory` under the manifests for new tokens, or their namespace")
	f.StringVar(&o.Gate, prefix+"gate", "", "`name` of the Gate whose tokens may call the management API")
	f.StringVar(&o.UserHeader, prefix+"user-header", "", "`header` in which the proxy in front names the user (needs a unix socket or mTLS)")
	f.StringVar(&o.TLSCert, prefix+"tls-cert", "", "`file` with the certificate for the API and page, reloaded when it changes")
	f.StringVar(&o.TLSKey, prefix+"tls-key", "", "`file` with the key of --"+prefix+"tls-cert")
	f.StringVar(&o.ClientCA, prefix+"client-ca", "", "`file` with the CA certificates of the proxy in front (mTLS)")
	f.BoolVar(&o.InsecureListen, prefix+"insecure-listen", false, "allow the API and page on an address other than loopback without TLS")
	f.StringVar(&o.OIDC.Issuer, prefix+"oidc-issuer", "", "`URL` of the OpenID Connect provider with which people sign in")
	f.StringVar(&o.OIDC.ClientID, prefix+"oidc-client-id", "", "`id` of patgate as a client of the OpenID Connect provider")
	f.StringVar(&o.OIDC.SecretFile, prefix+"oidc-client-secret-file", "", "`file` with the client secret of patgate at the OpenID Connect provider")
	f.StringVar(&o.OIDC.UserClaim, prefix+"oidc-user-claim", oidc.DefaultUserClaim, "`claim` of the ID token or UserInfo that names the user")
	f.StringVar(&o.OIDC.Redirect, prefix+"oidc-redirect-url", "", "`URL` of "+oidc.CallbackPath+" as browsers see it (default: from the request's Host)")
	f.StringVar(&o.NotifyURL, prefix+"notify-url", "", "`URL` of a webhook that is called 30, 7 and 1 days before a token ends")
	f.StringVar(&o.NotifySecret, prefix+"notify-secret-file", "", "`file` with the key that signs webhook messages: whsec_ and base64")
	f.StringVar(&o.SessionKeyFile, prefix+"session-key-file", "", "`file` with the key of session cookies, for replicas to share (default: a new key)")
	f.StringVar(&o.LoginLink, prefix+"login-link", "", "print a one-time link that signs this `user` in (loopback)")
	f.BoolVar(&o.SecureMode, prefix+"secure-mode", false, "refuse changes of tokens; create, rotate and revoke still work")
}

// announceLink prints a login link for the person who started the process.
func announceLink(s streams) func(string) {
	return func(link string) { _, _ = fmt.Fprintf(s.err, "Sign in once, within 10 minutes: %s\n", link) }
}

// manage runs the management until a signal ends it.
func manage(o server.Options) error {
	signal.Ignore(syscall.SIGPIPE)
	m, err := server.NewManage(o)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP)
	defer signal.Stop(again)
	go func() {
		for range again {
			m.Reload()
		}
	}()
	return m.Run(ctx)
}
