// Package promql has Prometheus itself read and evaluate the chart's alerts, and read the
// queries of its dashboard. It is a module of its own: Prometheus is large.
package promql

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"go.yaml.in/yaml/v3"
)

// golden is what the chart makes of its production example; the chart's tests hold it to that.
const golden = "../testdata/chart/production.golden.yaml"

// release are the labels that the series of that release have.
const release = `namespace="patgate",service="patgate-status"`

// object is one of the chart's, as far as it is read here.
type object struct {
	Kind string
	Data map[string]string
	Spec yaml.Node
}

func objects(t *testing.T, kind string) []object {
	t.Helper()
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	var list []object
	for decoder := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var o object
		if err := decoder.Decode(&o); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		if o.Kind == kind {
			list = append(list, o)
		}
	}
}

// alerts are the rules as Prometheus reads them, templates included.
func alerts(t *testing.T) []rulefmt.Rule {
	t.Helper()
	found := objects(t, "PrometheusRule")
	if len(found) != 1 {
		t.Fatalf("%d PrometheusRules", len(found))
	}
	text, err := yaml.Marshal(&found[0].Spec)
	if err != nil {
		t.Fatal(err)
	}
	groups, errs := rulefmt.Parse(text, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return groups.Groups[0].Rules
}

// TestAlerts evaluates each alert on series that fire it and series that don't.
func TestAlerts(t *testing.T) {
	text, err := os.ReadFile("testdata/alerts.promql")
	if err != nil {
		t.Fatal(err)
	}
	script := strings.ReplaceAll(string(text), "ALL", release)
	for _, rule := range alerts(t) {
		evaluated := regexp.MustCompile(`(?m)^(eval instant at \w+) ` + rule.Alert + `$(\n +\S)?`)
		var fires, silent bool
		for _, m := range evaluated.FindAllStringSubmatch(script, -1) {
			fires, silent = fires || m[2] != "", silent || m[2] == ""
		}
		if !fires || !silent {
			t.Errorf("%s is not seen to fire (%t) and to be silent (%t)", rule.Alert, fires, silent)
		}
		line := strings.Join(strings.Fields(rule.Expr), " ")
		script = regexp.MustCompile(`(?m)^(eval instant at \w+) `+rule.Alert+`$`).ReplaceAllString(script, "$1 "+strings.ReplaceAll(line, "$", "$$"))
	}
	engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
	promqltest.RunTest(t, script, engine)
}

// TestAlertsSayWhat checks that each alert has a summary, a description and one of three severities.
func TestAlertsSayWhat(t *testing.T) {
	for _, rule := range alerts(t) {
		if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
			t.Errorf("%s says too little: %v", rule.Alert, rule.Annotations)
		}
		if !slices.Contains([]string{"critical", "warning", "info"}, rule.Labels["severity"]) {
			t.Errorf("%s has severity %q", rule.Alert, rule.Labels["severity"])
		}
	}
}

// TestDashboard has Prometheus read each query, with values for Grafana's variables.
func TestDashboard(t *testing.T) {
	n := 0
	for _, o := range objects(t, "ConfigMap") {
		text, is := o.Data["patgate.json"]
		if !is {
			continue
		}
		var dashboard struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal([]byte(text), &dashboard); err != nil {
			t.Fatal(err)
		}
		for _, p := range dashboard.Panels {
			for _, target := range p.Targets {
				n++
				query := strings.NewReplacer("$__rate_interval", "5m", "$namespace", ".+", "$service", ".+").Replace(target.Expr)
				if _, err := parser.NewParser(parser.Options{}).ParseExpr(query); err != nil {
					t.Errorf("%s: %s: %v", p.Title, query, err)
				}
			}
		}
	}
	if n < 25 {
		t.Errorf("%d queries were read", n)
	}
}
