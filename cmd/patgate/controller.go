package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/controller"
)

func newController(s streams) *cobra.Command {
	var o controller.Options
	var chainFile, logFormat, logLevel string
	cmd := &cobra.Command{
		Use:   "controller --gate-status URL",
		Short: "Write the status of a cluster's objects, and values into Secrets",
		Long: "Controller follows the Gates, APITokens, UserGroups and TokenPolicies of a Kubernetes\n" +
			"cluster, and says in their status whether they are accepted, and in force on every gate.\n" +
			"For a token with spec.secret it makes the value: once every gate knows its digest, it\n" +
			"writes the value into the Secret, and replaces it in time. It never changes a spec.\n" +
			"Of several controllers, the one that holds a Lease writes. Audit events go to stdout,\n" +
			"logs to stderr. Every flag can be given as an environment variable too: --gate-status\n" +
			"is " + envPrefix + "GATE_STATUS.",
		Example: "  patgate controller --gate-status http://patgate.patgate.svc:9192\n" +
			"  patgate controller --kubeconfig admin.conf --namespace team-a --gate-status http://127.0.0.1:9192",
		Args: args(cobra.NoArgs, "takes flags alone"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd.Flags(), os.LookupEnv); err != nil {
				return err
			}
			var err error
			if o.Logger, err = newLogger(s, logFormat, logLevel); err != nil {
				return err
			}
			chain, err := readPrivateChainKey(chainFile)
			if err != nil {
				return err
			}
			switch {
			case len(o.GateStatus) == 0:
				return usageError{errors.New("--gate-status is missing, expected the URL of the gates' status ports, such as http://patgate:9192: a value is handed out once every gate knows it")}
			case o.Lease.Duration < time.Second:
				return usageError{fmt.Errorf("--lease-duration %s: expected at least 1s", o.Lease.Duration)}
			}
			return runController(o, chain)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Kubeconfig, "kubeconfig", "", "`file` that says where the cluster is (default $KUBECONFIG, the pod's service account)")
	f.StringArrayVar(&o.Namespaces, "namespace", nil, "`namespace` whose objects count; may repeat (default all)")
	f.StringArrayVar(&o.GateStatus, "gate-status", nil, "`URL` of the gates' status ports: each address of its name is a gate; may repeat")
	f.StringVar(&o.StatusListen, "status-listen", "127.0.0.1:9194", "`address` of /livez and /readyz; empty for none")
	f.StringVar(&o.Lease.Namespace, "lease-namespace", "", "`namespace` of the Lease (default the pod's, or default)")
	f.StringVar(&o.Lease.Name, "lease-name", "patgate-controller", "`name` of the Lease for which controllers compete")
	f.DurationVar(&o.Lease.Duration, "lease-duration", 15*time.Second, "after how long another controller takes over from one that is gone")
	f.StringVar(&chainFile, "audit-chain", "", "`file` with the key that seals each line, which `patgate audit key` makes")
	f.StringVar(&logFormat, "log-format", "auto", "form of the logs: text, json, or auto (text on a terminal)")
	f.StringVar(&logLevel, "log-level", "info", "least level of the logs: debug, info, warn or error")
	return cmd
}

// podNamespace is the file with the name of a pod's namespace.
const podNamespace = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// runController runs a controller until a signal ends it.
func runController(o controller.Options, chain *audit.ChainKey) error {
	signal.Ignore(syscall.SIGPIPE)
	sink, err := audit.NewFile(os.Stdout)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	o.Lease.Identity = fmt.Sprintf("%s/%d-%d", host, os.Getpid(), time.Now().UnixNano()%1_000_000)
	if o.Lease.Namespace == "" {
		text, _ := os.ReadFile(podNamespace) // outside of a pod there is none
		o.Lease.Namespace = cmp.Or(strings.TrimSpace(string(text)), "default")
	}
	log := audit.New(sink, audit.Options{Instance: o.Lease.Identity, Logger: o.Logger, Chain: chain})
	o.Audit = log
	c, err := controller.New(o)
	if err != nil {
		return usageError{err}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	err = c.Run(ctx)
	end, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(err, log.Close(end))
}
