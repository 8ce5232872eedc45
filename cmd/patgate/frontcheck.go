package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/patgate/patgate/diag"
	frontcheck "github.com/patgate/patgate/fronts/check"
)

// frontCheckOptions are the flags of front-check.
type frontCheckOptions struct {
	kind      string
	output    string
	strict    bool
	manifests []string
	gates     []string
}

func newFrontCheck(s streams) *cobra.Command {
	var o frontCheckOptions
	cmd := &cobra.Command{
		Use:   "front-check FILE...",
		Short: "Find settings of other proxies that let requests bypass patgate",
		Long: "Front-check reads configurations of proxies that ask patgate over HTTP, and prints the settings that let requests\n" +
			"bypass it, as FILE:LINE:COLUMN: field: what is wrong. Fix: what to write [severity code]. docs/ingress.md describes\n" +
			"each code. A FILE is a configuration of nginx, a Caddyfile or Caddy's JSON, Traefik's YAML or TOML, objects of\n" +
			"Kubernetes for Traefik, HTTPRoutes, a haproxy.cfg or its script; - is stdin. Files of Traefik that are named\n" +
			"together are checked together. What nginx's files include is read too, from the folder of nginx.conf; the output of\n" +
			"nginx -T has it all. For Envoy see envoy-check.\n\n" +
			"With --manifests it asks for the headers that the gates name, otherwise for those that a gate has by default.\n" +
			"The comment `# patgate:ignore CODE reason` on the line or the one above accepts a finding.\n" +
			"It exits with 1 for errors, with --strict for warnings too, and with 2 for what it can't read.",
		Example: "  patgate front-check /etc/nginx/nginx.conf\n  nginx -T | patgate front-check -\n  patgate front-check /etc/caddy/Caddyfile --manifests manifests\n" +
			"  patgate front-check --strict -o json traefik.yaml patgate.yaml",
		Args: args(cobra.MinimumNArgs(1), "expected the files of the configuration"),
		RunE: func(_ *cobra.Command, files []string) error {
			if err := checkOutput(o.output); err != nil {
				return err
			}
			if o.kind != "" && !slices.Contains(frontcheck.Kinds(), o.kind) {
				return usageError{fmt.Errorf("--for %s: %s", o.kind, diag.Suggest(o.kind, frontcheck.Kinds()))}
			}
			o.manifests = manifestsIfAny(o.manifests, nil)
			return frontCheck(s, &o, files)
		},
	}
	outputFlag(cmd, &o.output)
	f := cmd.Flags()
	f.StringVar(&o.kind, "for", "", "`kind` of the files: nginx, caddy, traefik, haproxy or gateway-api (default: by their content)")
	f.BoolVar(&o.strict, "strict", false, "exit with 1 for warnings too")
	f.StringArrayVar(&o.manifests, "manifests", nil, "`directory` with the manifests of the gates that this proxy protects; may repeat")
	f.StringArrayVar(&o.gates, "gate", nil, "`name` of a gate that this proxy protects (default: all); may repeat")
	_ = cmd.RegisterFlagCompletionFunc("for", fixed(frontcheck.Kinds()...))
	return cmd
}

// identityOf lists the identity headers of the gates of manifests, and their hosts.
func identityOf(dirs, names []string) (list, hosts []string, err error) {
	if len(dirs) == 0 {
		if len(names) > 0 {
			return nil, nil, usageError{fmt.Errorf("--gate needs --manifests DIR")}
		}
		return nil, nil, nil
	}
	_, snapshot, err := readGood(dirs, time.Now())
	if err != nil {
		return nil, nil, err
	}
	gates, err := chosenGates(snapshot.Gates(), names)
	for _, g := range gates {
		hosts = append(hosts, g.Hosts...)
		for _, name := range g.IdentityHeaders() {
			if !slices.Contains(list, name) {
				list = append(list, name)
			}
		}
	}
	return list, hosts, err
}

func frontCheck(s streams, o *frontCheckOptions, names []string) error {
	identity, hosts, err := identityOf(o.manifests, o.gates)
	if err != nil {
		return err
	}
	read, err := readFiles(s.in, names)
	if err != nil {
		return usageError{err}
	}
	var files []frontcheck.File
	for _, f := range read {
		files = append(files, frontcheck.File(f))
	}
	findings, err := frontcheck.Check(files, frontcheck.Options{
		Kind: o.kind, Identity: identity, Hosts: hosts, Disk: &frontcheck.Disk{Read: os.ReadFile, Glob: filepath.Glob},
	})
	if err != nil {
		return usageError{err}
	}
	return printChecked(s, findings, o.strict, o.output)
}

// printChecked prints findings, and returns the error of those that count.
func printChecked(s streams, findings []diag.Problem, strict bool, output string) (err error) {
	var open, accepted []diag.Problem
	failures := 0
	for _, f := range findings {
		if f.Suppressed != "" {
			accepted = append(accepted, f)
			continue
		}
		open = append(open, f)
		if strict || f.Severity == diag.Error {
			failures++
		}
	}
	if output == outputJSON {
		err = json.NewEncoder(s.out).Encode(envoyChecked{failures == 0, describeFindings(open), describeFindings(accepted)})
	} else {
		err = printFindings(s, open, failures == 0)
	}
	switch {
	case err != nil:
		return err
	case failures == 0:
		return nil
	case output == outputJSON:
		return errSaid
	}
	return fmt.Errorf("refused: %s", countFindings(open))
}
