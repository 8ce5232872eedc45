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
	"github.com/patgate/patgate/loader/dir"
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
		Long: "Manage serves the API by which people create, see, limit and end their own tokens, and\n" +
			"administrators see and end everybody's. What they change are the manifests of --into;\n" +
			"servers that follow them run it. With --kubernetes they are the APIToken objects of a\n" +
			"namespace, and there is no directory. At least one way to sign in is needed: tokens at a\n" +
			"gate, the header of a proxy in front, OpenID Connect, or a one-time link.\n" +
			"Every flag can be given as an environment variable too: --user-header is " + envPrefix + "USER_HEADER.",
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
	f.BoolVar(&kubernetes, "kubernetes", false, "manage the tokens of a namespace, as objects of a Kubernetes cluster")
	f.StringVar(&cluster.Kubeconfig, "kubeconfig", "", "`file` that says where the cluster is (default $KUBECONFIG, the pod's service account)")
	f.StringArrayVar(&cluster.Namespaces, "namespace", nil, "`namespace` whose Gates count; may repeat. The only one is also --into")
	f.Int64Var(&o.MaxManifests, "manifests-max-bytes", dir.MaxBytes, "how much a load reads at most")
	f.StringVar(&chainFile, "audit-chain", "", "`file` with the key that seals each line, which `patgate audit key` makes")
	manageFlags(f, "", o.Manage)
	f.Lookup("listen").DefValue = "127.0.0.1:9193"
	o.Manage.Listen = "127.0.0.1:9193"
	f.StringArrayVar(&o.Manage.GateStatus, "gate-status", nil, "`URL` of the status port of a server: changes wait for it; may repeat")
	f.StringVar(&logFormat, "log-format", "auto", "form of the logs: text, json, or auto (text on a terminal)")
	f.StringVar(&logLevel, "log-level", "info", "least level of the logs: debug, info, warn or error")
	return cmd
}

// manageFlags adds the flags of the management, whose names begin with a prefix.
func manageFlags(f *pflag.FlagSet, prefix string, o *server.ManageOptions) {
	f.StringVar(&o.Listen, prefix+"listen", "", "`address` of the management of tokens: host:port, or unix:///path")
	f.StringVar(&o.Into, prefix+"into", "", "`directory` of the manifests that gets new tokens; of objects, their namespace")
	f.StringVar(&o.Gate, prefix+"gate", "", "`name` of the Gate at which tokens sign in to manage tokens")
	f.StringVar(&o.UserHeader, prefix+"user-header", "", "`header` with the user, set by the proxy in front (unix socket or mTLS)")
	f.StringVar(&o.TLSCert, prefix+"tls-cert", "", "`file` of the management's certificate, reloaded when it changes")
	f.StringVar(&o.TLSKey, prefix+"tls-key", "", "`file` of its key")
	f.StringVar(&o.ClientCA, prefix+"client-ca", "", "`file` of the authority of the proxy in front (mTLS)")
	f.BoolVar(&o.InsecureListen, prefix+"insecure-listen", false, "allow an address beyond loopback without TLS")
	f.StringVar(&o.OIDC.Issuer, prefix+"oidc-issuer", "", "`URL` of the identity provider with which people sign in (OpenID Connect)")
	f.StringVar(&o.OIDC.ClientID, prefix+"oidc-client-id", "", "`name` of the client there")
	f.StringVar(&o.OIDC.SecretFile, prefix+"oidc-client-secret-file", "", "`file` of its secret")
	f.StringVar(&o.OIDC.UserClaim, prefix+"oidc-user-claim", oidc.DefaultUserClaim, "`claim` that names the user")
	f.StringVar(&o.OIDC.Redirect, prefix+"oidc-redirect-url", "", "`URL` of "+oidc.CallbackPath+" as browsers see it; default by the Host of the request")
	f.StringVar(&o.NotifyURL, prefix+"notify-url", "", "`URL` of a webhook that gets notice of tokens 30, 7 and 1 days before their end")
	f.StringVar(&o.NotifySecret, prefix+"notify-secret-file", "", "`file` of the key that signs its messages: whsec_ and base64")
	f.StringVar(&o.SessionKeyFile, prefix+"session-key-file", "", "`file` of the key of sessions, for replicas to share; default a new one")
	f.StringVar(&o.LoginLink, prefix+"login-link", "", "print a one-time link that signs this `user` in (loopback)")
	f.BoolVar(&o.SecureMode, prefix+"secure-mode", false, "tokens can be created, rotated and revoked, and not changed")
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
