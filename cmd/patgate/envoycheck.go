package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/patgate/patgate/diag"
	envoycheck "github.com/patgate/patgate/envoy/check"
	frontcheck "github.com/patgate/patgate/fronts/check"
	"github.com/patgate/patgate/token"
)

// envoyCheckOptions are the flags of envoy-check.
type envoyCheckOptions struct {
	output    string
	strict    bool
	manifests []string
	gates     []string
	open      []string
}

func newEnvoyCheck(s streams) *cobra.Command {
	var o envoyCheckOptions
	cmd := &cobra.Command{
		Use:   "envoy-check FILE...",
		Short: "Find Envoy settings that let requests bypass patgate",
		Long: "Envoy-check reads configurations of Envoy and prints the settings that let requests bypass patgate, or weaken what\n" +
			"it promises, as FILE:LINE:COLUMN: field: what is wrong. Fix: what to write [severity code]. docs/envoy-checks.md\n" +
			"describes each code. A FILE is a bootstrap (YAML or JSON), an answer of the admin's /config_dump, what istioctl, egctl\n" +
			"or kumactl print of it, resources of xDS, or Kubernetes objects for Istio and Envoy Gateway; - is stdin. Files that are\n" +
			"named together are checked together.\n\n" +
			"With --manifests it compares Envoy with the gates: trusted hops, headers, bodies, and the gates that routes name.\n" +
			"The comment `# patgate:ignore CODE reason` on the line or the one above accepts a finding.\n" +
			"It exits with 1 for errors, with --strict for warnings too, and with 2 for what it can't read.",
		Example: "  patgate envoy-check envoy.yaml --manifests manifests\n  patgate envoy-check --strict -o json bootstrap.yaml routes.yaml\n" +
			"  curl -s 'http://127.0.0.1:9901/config_dump?include_eds' | patgate envoy-check -",
		Args: args(cobra.MinimumNArgs(1), "expected the files of the configuration"),
		RunE: func(_ *cobra.Command, files []string) error {
			if err := checkOutput(o.output); err != nil {
				return err
			}
			o.manifests = manifestsIfAny(o.manifests, nil)
			return envoyCheck(s, &o, files)
		},
	}
	outputFlag(cmd, &o.output)
	f := cmd.Flags()
	f.BoolVar(&o.strict, "strict", false, "exit with 1 for warnings too")
	f.StringArrayVar(&o.manifests, "manifests", nil, "`directory` of the manifests whose gates Envoy serves; may repeat")
	f.StringArrayVar(&o.gates, "gate", nil, "`name` of a gate that this Envoy protects (default: all); may repeat")
	f.StringArrayVar(&o.open, "open-listener", nil, "`name` or ADDRESS:PORT of a listener that is open on purpose, such as one for metrics; may repeat")
	return cmd
}

func envoyCheck(s streams, o *envoyCheckOptions, names []string) error {
	var gates *envoycheck.Gates
	if len(o.manifests) > 0 {
		m, snapshot, err := readGood(o.manifests, time.Now())
		if err != nil {
			return err
		}
		chosen, err := chosenGates(snapshot.Gates(), o.gates)
		if err != nil {
			return err
		}
		gates = envoycheck.NewGates(m.Rows, chosen)
	} else if len(o.gates) > 0 {
		return usageError{errors.New("--gate needs --manifests DIR")}
	}
	files, err := readFiles(s.in, names)
	if err != nil {
		return usageError{err}
	}
	findings, err := envoycheck.Check(files, envoycheck.Options{Gates: gates, Open: o.open})
	if err != nil {
		return usageError{errors.Join(err, otherProxies(files))}
	}
	return printChecked(s, findings, o.strict, o.output)
}

// otherProxies names the files that look like configurations of proxies which front-check reads.
func otherProxies(files []envoycheck.File) error {
	var errs []error
	for _, f := range files {
		switch kind := frontcheck.KindOf(&frontcheck.File{Name: f.Name, Data: f.Data}); kind {
		case frontcheck.Nginx, frontcheck.Caddy, frontcheck.HAProxy, frontcheck.Traefik:
			errs = append(errs, fmt.Errorf("%s looks like a configuration of %s: `patgate front-check` checks those", f.Name, kind))
		}
	}
	return errors.Join(errs...)
}

// countFindings counts errors and warnings apart, as in `2 errors, 1 warning`.
func countFindings(findings []diag.Problem) string {
	var counts []string
	for _, severity := range []diag.Severity{diag.Error, diag.Warning} {
		n := 0
		for _, f := range findings {
			if f.Severity == severity {
				n++
			}
		}
		if n > 0 {
			counts = append(counts, count(n, severity.String()))
		}
	}
	return strings.Join(counts, ", ")
}

// readFiles reads files, of which `-` is stdin.
func readFiles(in io.Reader, names []string) ([]envoycheck.File, error) {
	var files []envoycheck.File
	var errs []error
	for _, name := range names {
		var data []byte
		var err error
		if name == "-" {
			name = "stdin"
			data, err = io.ReadAll(in)
		} else {
			data, err = os.ReadFile(name)
		}
		if err != nil {
			errs = append(errs, err)
		}
		files = append(files, envoycheck.File{Name: name, Data: data})
	}
	return files, errors.Join(errs...)
}

// printFindings prints for people: findings on stderr.
func printFindings(s streams, findings []diag.Problem, ok bool) error {
	for _, f := range findings {
		if _, err := fmt.Fprintln(s.err, token.Mask(f.CodeLast())); err != nil {
			return err
		}
	}
	if !ok {
		return nil
	}
	_, err := fmt.Fprintf(s.out, "ok: %s\n", count(len(findings), "warning"))
	return err
}

// envoyChecked is the JSON output of envoy-check.
type envoyChecked struct {
	OK       bool          `json:"ok"` // the exit code is 0
	Findings []diag.Report `json:"findings"`
	Accepted []diag.Report `json:"accepted,omitempty"` // those that a comment accepts
}

// describeFindings returns findings in the form for JSON. A message may repeat what looks like a token.
func describeFindings(findings []diag.Problem) []diag.Report {
	list := diag.Reports(findings)
	for i := range list {
		list[i].Message = token.Mask(list[i].Message)
	}
	return list
}
