{{- /* What the schema can't say: values that contradict each other, or leave a door to be chosen. */ -}}
{{- define "patgate.validate" -}}
{{- $v := .Values -}}
{{- if not (or $v.manifests $v.existingConfigMaps $v.kubernetes.enabled) -}}
{{- fail "No manifests: patgate does not start without a Gate. Set `manifests` (files in the values) or `existingConfigMaps` (names of ConfigMaps); examples/minimal.yaml shows one. Or follow objects of the cluster: kubernetes.enabled." -}}
{{- end -}}
{{- if and $v.kubernetes.enabled (not (or $v.manifests $v.existingConfigMaps)) (or $v.teams $v.lastGood.enabled) -}}
{{- fail "teams and lastGood need `manifests` or `existingConfigMaps`: with kubernetes.enabled alone there are no files." -}}
{{- end -}}
{{- include "patgate.validateManage" . -}}
{{- if and $v.controller.enabled (not $v.kubernetes.enabled) -}}
{{- fail "controller.enabled needs kubernetes.enabled: it writes the status of objects of the cluster." -}}
{{- end -}}
{{- if $v.kubernetes.namespaces -}}
{{- range $v.controller.secrets.namespaces -}}
{{- if not (has . $v.kubernetes.namespaces) -}}
{{- fail (printf "controller.secrets.namespaces has %s, which kubernetes.namespaces has not: its tokens are not followed." .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $teams := list -}}
{{- range $v.teams -}}
{{- if has .name $teams -}}
{{- fail (printf "teams names the ConfigMap %s twice: expected one entry for each." .name) -}}
{{- end -}}
{{- $teams = append $teams .name -}}
{{- end -}}
{{- range $v.existingConfigMaps -}}
{{- if has .name $teams -}}
{{- fail (printf "the ConfigMap %s is in teams and in existingConfigMaps, where nothing restricts it: choose one." .name) -}}
{{- end -}}
{{- end -}}
{{- if and $v.tls.certManager.enabled $v.tls.existingSecret -}}
{{- fail "Both tls.certManager.enabled and tls.existingSecret are set: choose one." -}}
{{- end -}}
{{- if and $v.tls.certManager.enabled (not $v.tls.certManager.issuerRef.name) -}}
{{- fail "tls.certManager.enabled requires tls.certManager.issuerRef.name, the Issuer (or, with kind: ClusterIssuer, the ClusterIssuer) of the certificate." -}}
{{- end -}}
{{- if and $v.tls.certManager.enabled $v.tls.clientCA.enabled (not $v.tls.clientCA.names) -}}
{{- fail "tls.certManager.enabled with tls.clientCA.enabled requires tls.clientCA.names, the names of the Envoys' certificates (DNS names or SPIFFE IDs): otherwise every certificate of that issuer could ask for decisions." -}}
{{- end -}}
{{- if and $v.tls.clientCA.existingSecret $v.tls.clientCA.existingConfigMap -}}
{{- fail "Both tls.clientCA.existingSecret and tls.clientCA.existingConfigMap are set: choose one." -}}
{{- end -}}
{{- if not (or (include "patgate.mtls" .) $v.insecureListen) -}}
{{- fail "Who may ask patgate? Choose: mTLS by tls.existingSecret or tls.certManager (with tls.clientCA, whose certificates Envoy shows); or insecureListen: true where something else admits Envoy alone, such as networkPolicy." -}}
{{- end -}}
{{- if and $v.networkPolicy.enabled $v.http.enabled (not $v.networkPolicy.fronts) -}}
{{- fail "networkPolicy.enabled with http.enabled requires networkPolicy.fronts, the proxies that check over HTTP: without any, every request would be refused." -}}
{{- end -}}
{{- if and $v.networkPolicy.fronts (not $v.http.enabled) -}}
{{- fail "networkPolicy.fronts requires http.enabled: without it no port answers checks over HTTP. Envoys that check over gRPC are networkPolicy.envoys." -}}
{{- end -}}
{{- if and $v.networkPolicy.enabled (not $v.http.enabled) (not $v.networkPolicy.envoys) -}}
{{- fail "networkPolicy.enabled requires networkPolicy.envoys, who may call: without any, every request would be refused." -}}
{{- end -}}
{{- if and $v.networkPolicy.enabled $v.serviceMonitor.enabled (not $v.networkPolicy.metricsNamespaces) -}}
{{- fail "networkPolicy.enabled with serviceMonitor.enabled requires networkPolicy.metricsNamespaces, the namespace of Prometheus: without it nothing reaches the status port, and every replica would pass for one that is down." -}}
{{- end -}}
{{- if and $v.prometheusRule.enabled (not $v.serviceMonitor.enabled) -}}
{{- fail "prometheusRule.enabled requires serviceMonitor.enabled: its alerts ask for the labels that scrape gives, and would never fire." -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (lt (int64 $v.autoscaling.maxReplicas) (int64 $v.autoscaling.minReplicas)) -}}
{{- fail (printf "autoscaling.maxReplicas (%d) is less than autoscaling.minReplicas (%d)." (int64 $v.autoscaling.maxReplicas) (int64 $v.autoscaling.minReplicas)) -}}
{{- end -}}
{{- $stay := $v.podDisruptionBudget.minAvailable -}}
{{- if and $v.podDisruptionBudget.enabled $stay (not (kindIs "string" $stay)) (ge (int64 $stay) (include "patgate.replicas" . | int64)) -}}
{{- fail (printf "podDisruptionBudget.minAvailable (%d) is not less than the number of replicas (%s): no node could be drained." (int64 $stay) (include "patgate.replicas" .)) -}}
{{- end -}}
{{- if and $v.tls.certManager.enabled (not (has "server auth" $v.tls.certManager.usages)) -}}
{{- fail "tls.certManager.usages lacks server auth: Envoy would refuse the certificate." -}}
{{- end -}}
{{- range $name, $_ := $v.manifests -}}
{{- range $v.existingConfigMaps -}}
{{- range .items -}}
{{- if eq .path $name -}}
{{- fail (printf "%s is in manifests and in existingConfigMaps: one would hide the other. Give each file a name of its own." $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
