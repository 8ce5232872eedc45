//go:build kube

package kube

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// TestChartRefuses checks that bad values are refused before anything is installed, with a
// word that points to the mistake. Values are added to those of the minimal example.
func TestChartRefuses(t *testing.T) {
	for _, tt := range []struct{ values, want string }{
		// By the schema.
		{`{replicas: 3}`, "property replicas"},
		{`{tls: {secretName: x}}`, "property secretName"},
		{`{tls: {certManager: {issuerRef: {name: a, knd: Issuer}}}}`, "property knd"},
		{`{replicaCount: two}`, "replicaCount"},
		{`{replicaCount: -1}`, "replicaCount"},
		{`{fullnameOverride: gates.example}`, "fullnameOverride"},
		{`{nameOverride: Patgate}`, "nameOverride"},
		{`{insecureListen: "yes"}`, "insecureListen"},
		{`{ports: {grpc: 91910}}`, "ports.grpc"},
		{`{ports: {grpc: 443}}`, "ports.grpc"},
		{`{controller: {secrets: {namespaces: all}}}`, "controller.secrets.namespaces"},
		{`{insecureListen: true, manifests: {g.yaml: "kind: Gate"}, controller: {enabled: true}}`, "controller.enabled needs kubernetes.enabled"},
		{`{insecureListen: true, kubernetes: {enabled: true, namespaces: [a]}, controller: {enabled: true, secrets: {namespaces: [b]}}}`, "controller.secrets.namespaces has b, which kubernetes.namespaces has not"},
		{`{image: {digest: latest}}`, "image.digest"},
		{`{image: {pullPolicy: Sometimes}}`, "image.pullPolicy"},
		{`{audit: {overflow: allow}}`, "audit.overflow"},
		{`{audit: {wait: 200}}`, "audit.wait"},
		{`{drain: {delaySeconds: 15s}}`, "drain.delaySeconds"},
		{`{logLevel: trace}`, "logLevel"},
		{`{extraArgs: [insecure-listen]}`, "extraArgs.0"},
		{`{manifests: {gate.txt: "kind: Gate"}}`, "gate.txt"},
		{`{manifests: {kustomization.yaml: "kind: Gate"}}`, "kustomization.yaml"},
		{`{manifests: {.hidden.yaml: "kind: Gate"}}`, ".hidden.yaml"},
		{`{manifests: {empty.yaml: ""}}`, "manifests.empty.yaml"},
		{`{manifests: {g.yaml: {kind: Gate, metadata: {name: g}, spec: {}}}}`, "manifests.g.yaml"},
		{`{manifests: {g.yaml: {apiVersion: patgate.dev/v1, kind: Gate, metadata: {name: g}, spec: {}}}}`, "manifests.g.yaml"},
		{`{existingConfigMaps: [policies]}`, "existingConfigMaps.0"},
		{`{teams: [{name: a}]}`, "teams.0"},
		{`{teams: [{name: a, kinds: [Token]}]}`, "teams.0.kinds.0"},
		{`{teams: [{name: a, kinds: [APIToken], names: ["a,kinds=Gate"]}]}`, "teams.0.names.0"},
		{`{existingConfigMaps: [{name: policies, optional: true}]}`, "property optional"},
		{`{existingConfigMaps: [{name: p, items: [{key: a, path: ../a.yaml}]}]}`, "existingConfigMaps.0.items.0.path"},
		{`{networkPolicy: {envoys: [{}]}}`, "networkPolicy.envoys.0"},
		{`{networkPolicy: {envoys: [{podselector: {}}]}}`, "property podselector"},
		{`{podDisruptionBudget: {maxUnavailable: 0}}`, "podDisruptionBudget.maxUnavailable"},
		{`{prometheusRule: {disabled: [PatgateDwn]}}`, "prometheusRule.disabled.0"},
		{`{podDisruptionBudget: {minAvailable: 100%}}`, "podDisruptionBudget.minAvailable"},
		{`{podDisruptionBudget: {unhealthyPodEvictionPolicy: Never}}`, "unhealthyPodEvictionPolicy"},
		{`{extraEnv: [{name: A, value: 1}]}`, "extraEnv.0.value"},
		{`{extraEnv: [{name: A, vlaue: "1"}]}`, "property vlaue"},
		{`{extraEnvFrom: [{configMap: {name: a}}]}`, "property configMap"},
		{`{dnsPolicy: Host}`, "dnsPolicy"},
		{`{service: {trafficDistribution: Near}}`, "service.trafficDistribution"},
		{`{image: {registry: "https://mirror.example.com"}}`, "image.registry"},
		{`{global: {imageRegistry: 1}}`, "global.imageRegistry"},
		{`{global: {imagePullSecrets: a}}`, "global.imagePullSecrets"},
		{`{openshift: auto}`, "openshift"},
		{`{deploymentAnnotations: {a: true}}`, "deploymentAnnotations.a"},
		{`{tls: {certManager: {privateKey: {algorithm: DSA}}}}`, "tls.certManager.privateKey.algorithm"},
		{`{tls: {certManager: {secretTemplate: {type: Opaque}}}}`, "property type"},
		{`{dashboard: {labels: {grafana_dashboard: 1}}}`, "dashboard.labels.grafana_dashboard"},
		{`{transport: h3}`, "transport"},
		{`{manage: {enable: true}}`, "property enable"},
		{`{manage: {port: 443}}`, "manage.port"},
		{`{manage: {store: {accessModes: [ReadOnlyMany]}}}`, "manage.store.accessModes.0"},
		{`{manage: {store: {subPath: ../up}}}`, "manage.store.subPath"},
		{`{manage: {store: {size: much}}}`, "manage.store.size"},
		{`{manage: {oidc: {issuer: id.example.com}}}`, "manage.oidc.issuer"},
		{`{manage: {oidc: {clientSecret: abc}}}`, "property clientSecret"},
		{`{manage: {userHeader: "x user"}}`, "manage.userHeader"},
		{`{manage: {gateStatus: ["patgate:9192"]}}`, "manage.gateStatus.0"},
		{`{manage: {networkPolicy: {clients: [{}]}}}`, "manage.networkPolicy.clients.0"},
		// By the templates.
		{`{manage: {enabled: true}}`, "manage.enabled requires manage.tls.existingSecret"},
		{`{manage: {enabled: true, gate: g, insecureListen: true, tls: {existingSecret: s}}}`, "choose one"},
		{`{manage: {enabled: true, gate: g, insecureListen: true, tls: {clientCA: {existingSecret: s}}}}`, "manage.tls.clientCA.existingSecret requires manage.tls.existingSecret"},
		{`{manage: {enabled: true, insecureListen: true}}`, "How do people sign in"},
		{`{manage: {enabled: true, insecureListen: true, userHeader: x-user}}`, "manage.userHeader requires manage.tls.clientCA.existingSecret"},
		{`{manage: {enabled: true, tls: {existingSecret: s}, userHeader: x-user}}`, "manage.userHeader requires manage.tls.clientCA.existingSecret"},
		{`{manage: {enabled: true, insecureListen: true, oidc: {issuer: "https://id"}}}`, "manage.oidc.clientID"},
		{`{manage: {enabled: true, insecureListen: true, oidc: {issuer: "https://id", clientID: p}}}`, "manage.oidc.existingSecret"},
		{`{manage: {enabled: true, insecureListen: true, gate: g, oidc: {clientID: p}}}`, "manage.oidc has values without manage.oidc.issuer"},
		{`{manage: {notify: {url: hooks.example.com}}}`, "manage.notify.url"},
		{`{manage: {enabled: true, insecureListen: true, gate: g, notify: {url: "https://hooks.example.com"}}}`, "manage.notify requires both"},
		{`{manage: {enabled: true, insecureListen: true, gate: g, notify: {existingSecret: s}}}`, "manage.notify requires both"},
		{`{manage: {enabled: true, insecureListen: true, gate: g, replicas: 2, store: {accessModes: [ReadWriteOnce]}}}`, "manage.replicas (2) requires ReadWriteMany"},
		{`{manage: {enabled: true, insecureListen: true, replicas: 2, oidc: {issuer: "https://id", clientID: p, existingSecret: s}}}`, "manage.sessionKey.existingSecret"},
		{`{manage: {enabled: true, insecureListen: true, gate: g}}`, "manage.networkPolicy.clients"},
		{`{manifests: {gate.yaml: null}}`, "manifests.gate.yaml"},
		{`{insecureListen: false}`, "Who may ask patgate?"},
		{`{insecureListen: false, tls: {existingSecret: s, clientCA: {enabled: false}}}`, "Who may ask patgate?"},
		{`{tls: {existingSecret: s, certManager: {enabled: true, issuerRef: {name: i}}}}`, "choose one"},
		{`{tls: {certManager: {enabled: true}}}`, "tls.certManager.issuerRef.name"},
		{`{tls: {certManager: {enabled: true, issuerRef: {name: i}}}}`, "tls.clientCA.names"},
		{`{tls: {existingSecret: s, clientCA: {existingSecret: a, existingConfigMap: b}}}`, "choose one"},
		{`{networkPolicy: {enabled: true, envoys: []}}`, "networkPolicy.envoys"},
		{`{http: {enabled: true}, networkPolicy: {enabled: true, envoys: [{podSelector: {}}]}}`, "networkPolicy.fronts"},
		{`{networkPolicy: {enabled: true, envoys: [{podSelector: {}}], fronts: [{podSelector: {}}]}}`, "http.enabled"},
		{`{serviceMonitor: {enabled: true}}`, "networkPolicy.metricsNamespaces"},
		{`{prometheusRule: {enabled: true}}`, "serviceMonitor.enabled"},
		{`{autoscaling: {enabled: true, minReplicas: 5, maxReplicas: 3}}`, "autoscaling.maxReplicas (3)"},
		{`{teams: [{name: a, kinds: [APIToken]}, {name: a, kinds: [Gate]}]}`, "teams names the ConfigMap a twice"},
		{`{teams: [{name: a, kinds: [APIToken]}], existingConfigMaps: [{name: a}]}`, "the ConfigMap a is in teams and in existingConfigMaps"},
		{`{existingConfigMaps: [{name: p, items: [{key: a, path: gate.yaml}]}]}`, "gate.yaml is in manifests and in existingConfigMaps"},
		{`{podDisruptionBudget: {minAvailable: 2}}`, "no node could be drained"},
		{`{livenessProbe: {exec: {command: [a]}, httpGet: {path: /, port: 1}}}`, "livenessProbe has exec and httpGet"},
		{`{tls: {clientCA: {names: [e]}, certManager: {enabled: true, issuerRef: {name: i}, usages: [client auth]}}}`, "lacks server auth"},
		{`{manifests: {large.yaml: "` + strings.Repeat("# of 16 bytes..\n", 1<<16) + `"}}`, "1 MiB"},
		{`{resources: {limits: {memory: lots}}}`, "resources.limits.memory: lots"},
		{`{resources: {limits: {memory: 1e9B}}}`, "resources.limits.memory: 1e9B"},
	} {
		file := filepath.Join(t.TempDir(), "values.yaml")
		if err := os.WriteFile(file, []byte(tt.values), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, helm := range helms {
			out, err := chartRun(t, helm, "template", "patgate", chart, "--values", filepath.Join(chart, "examples/minimal.yaml"), "--values", file)
			switch {
			case err == nil:
				t.Errorf("%s takes %s", helm, tt.values)
			case !strings.Contains(oneForm(err.Error()), tt.want):
				t.Errorf("%s, %s: expected %q in: %s", helm, tt.values, tt.want, out)
			}
		}
	}
	for _, helm := range helms {
		if _, err := chartRun(t, helm, "template", "patgate", chart, "--set", "insecureListen=true"); err == nil || !strings.Contains(err.Error(), "No manifests") {
			t.Errorf("%s, without manifests: %v", helm, err)
		}
		objects := "insecureListen=true,kubernetes.enabled=true,manage.enabled=true,manage.insecureListen=true,manage.gate=g"
		if _, err := chartRun(t, helm, "template", "patgate", chart, "--set", objects); err == nil || !strings.Contains(err.Error(), "manage.enabled needs `manifests`") {
			t.Errorf("%s, a page with objects alone: %v", helm, err)
		}
	}
}

// oneForm brings the messages of the two helms' validators into one form: helm 4 has a JSON
// Pointer for a place, helm 3 dots.
func oneForm(text string) string {
	text = additional.ReplaceAllString(text, "property $1")
	return place.ReplaceAllStringFunc(text, func(p string) string {
		return strings.ReplaceAll(strings.Trim(p, "'/"), "/", ".")
	})
}

var (
	additional = regexp.MustCompile(`(?i)additional propert(?:y|ies) '?([a-zA-Z]+)'?`)
	place      = regexp.MustCompile(`'/[^']*'`)
)

// schemaNode is the part of JSON Schema that the chart's schema uses.
type schemaNode struct {
	Ref                  string `json:"$ref"`
	Type                 string
	Properties           map[string]*schemaNode
	AdditionalProperties any
	Items                *schemaNode
	AnyOf                []*schemaNode
	Description          string
	Definitions          map[string]*schemaNode
}

// openObjects are the values that the API server checks, and maps whose keys are the user's.
var openObjects = []string{"global", "admission.maxLifetime.groups", "admission.namespaceSelector", "manifests", "podSecurityContext", "securityContext", "resources", "startupProbe", "livenessProbe",
	"readinessProbe", "strategy", "affinity", "autoscaling.behavior", "commonLabels", "podAnnotations", "podLabels", "nodeSelector",
	"service.annotations", "service.labels", "serviceAccount.annotations", "serviceAccount.labels", "commonAnnotations",
	"deploymentAnnotations", "dnsConfig", "tls.certManager.privateKey", "tls.certManager.secretTemplate", "serviceMonitor.labels", "serviceMonitor.annotations",
	"controller.resources", "controller.startupProbe", "controller.livenessProbe", "controller.readinessProbe", "manage.store.annotations", "manage.service.annotations", "manage.service.labels", "manage.resources", "manage.startupProbe", "manage.livenessProbe",
	"manage.readinessProbe", "prometheusRule.labels", "prometheusRule.annotations", "prometheusRule.alertLabels", "dashboard.labels", "dashboard.annotations"}

// TestChartSchema checks that the schema has exactly the keys of values.yaml, and is closed wherever
// keys are the chart's.
func TestChartSchema(t *testing.T) {
	var schema schemaNode
	text, err := os.ReadFile(filepath.Join(chart, "values.schema.json"))
	if err == nil {
		err = json.Unmarshal(text, &schema)
	}
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	text, err = os.ReadFile(filepath.Join(chart, "values.yaml"))
	if err == nil {
		err = yaml.Unmarshal(text, &values)
	}
	if err != nil {
		t.Fatal(err)
	}
	var compare func(path string, node *schemaNode, values map[string]any)
	compare = func(path string, node *schemaNode, values map[string]any) {
		if node.AdditionalProperties != false {
			t.Errorf("the schema is open at %q", path)
		}
		for _, key := range slices.Sorted(maps.Keys(values)) {
			full := strings.TrimPrefix(path+"."+key, ".")
			child, known := node.Properties[key]
			if !known {
				t.Errorf("the schema does not know %s", full)
				continue
			}
			if m, isMap := values[key].(map[string]any); isMap && !slices.Contains(openObjects, full) && child.Properties != nil && full != "tls.certManager.issuerRef" {
				compare(full, child, m)
			} else if isMap && child.Properties == nil && !slices.Contains(openObjects, full) {
				t.Errorf("the schema is open at %s, which is not listed as open", full)
			}
		}
		for _, key := range slices.Sorted(maps.Keys(node.Properties)) {
			if _, known := values[key]; !known {
				t.Errorf("the schema knows %s.%s, values.yaml does not", path, key)
			}
		}
	}
	compare("", &schema, values)
}
