{{- /* What the server's pod and the test's share: manifests in one directory, changed as one. */ -}}
{{- define "patgate.manifestsVolume" -}}
name: manifests
projected:
  defaultMode: 0444
  sources:
    {{- if .Values.manifests }}
    - configMap:
        name: {{ include "patgate.fullname" . }}-manifests
    {{- end }}
    {{- range .Values.existingConfigMaps }}
    - configMap:
        name: {{ .name }}
        {{- with .items }}
        items:
          {{- toYaml . | nindent 10 }}
        {{- end }}
    {{- end }}
{{- end -}}

{{- /* Certificate, key and the callers' authority, in one volume: they change as one too. */ -}}
{{- define "patgate.tlsVolume" -}}
{{- $ca := .Values.tls.clientCA -}}
name: tls
projected:
  defaultMode: 0440
  sources:
    - secret:
        name: {{ include "patgate.tlsSecret" . }}
        items:
          - {key: tls.crt, path: tls.crt}
          - {key: tls.key, path: tls.key}
    {{- if $ca.enabled }}
    {{- if $ca.existingConfigMap }}
    - configMap:
        name: {{ $ca.existingConfigMap }}
    {{- else }}
    - secret:
        name: {{ $ca.existingSecret | default (include "patgate.tlsSecret" .) }}
    {{- end }}
        items:
          - {key: {{ $ca.key | quote }}, path: ca.crt}
    {{- end }}
{{- end -}}

{{- /* Whether there are files with manifests. */ -}}
{{- define "patgate.hasFiles" -}}
{{- if or .Values.manifests .Values.existingConfigMaps }}true{{ end -}}
{{- end -}}

{{- define "patgate.args" -}}
- serve
{{- if include "patgate.hasFiles" . }}
- --manifests=/etc/patgate/manifests
{{- end }}
{{- range .Values.teams }}
- {{ printf "--manifests=%s" (include "patgate.teamDirectory" .) | quote }}
{{- end }}
{{- if .Values.kubernetes.enabled }}
- --kubernetes
{{- range .Values.kubernetes.namespaces }}
- --namespace={{ . }}
{{- end }}
{{- with .Values.kubernetes.maxStale }}
- --max-stale={{ . }}
- --stale-action={{ $.Values.kubernetes.staleAction }}
{{- end }}
{{- end }}
{{- if .Values.lastGood.enabled }}
- --last-good=/var/lib/patgate
{{- end }}
- --listen=:{{ .Values.ports.grpc | int64 }}
{{- if .Values.http.enabled }}
- --http-listen=:{{ .Values.http.port | int64 }}
- --http-front={{ .Values.http.front }}
{{- end }}
- --status-listen=[$(POD_IP)]:{{ .Values.ports.status | int64 }}
{{- if include "patgate.tlsSecret" . }}
- --tls-cert=/etc/patgate/tls/tls.crt
- --tls-key=/etc/patgate/tls/tls.key
{{- end }}
{{- if include "patgate.mtls" . }}
- --tls-client-ca=/etc/patgate/tls/ca.crt
{{- range .Values.tls.clientCA.names }}
- {{ printf "--tls-client-name=%s" . | quote }}
{{- end }}
{{- else if .Values.insecureListen }}
- --insecure-listen
{{- end }}
- --audit-overflow={{ .Values.audit.overflow }}
- --audit-wait={{ .Values.audit.wait }}
- --drain-delay={{ .Values.drain.delaySeconds | int64 }}s
- --drain-grace={{ .Values.drain.graceSeconds | int64 }}s
{{- if .Values.audit.chainSecret }}
- --audit-chain=/etc/patgate/audit/{{ .Values.audit.chainKey }}
{{- end }}
{{- if ne .Values.transport "h2" }}
- --transport={{ .Values.transport }}
{{- end }}
- --max-body-bytes={{ .Values.maxBodyBytes | int64 }}
{{- if gt (int64 .Values.maxInFlight) 0 }}
- --max-in-flight={{ .Values.maxInFlight | int64 }}
{{- end }}
- --log-format=json
- --log-level={{ .Values.logLevel }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "patgate.env" -}}
- name: POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
{{- $own := list -}}
{{- range .Values.extraEnv }}{{ $own = append $own .name }}{{ end }}
{{- $limit := ((.Values.resources.limits).memory) -}}
{{- if and $limit (not (has "GOMEMLIMIT" $own)) }}
- name: GOMEMLIMIT
  value: {{ include "patgate.goMemoryLimit" $limit }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Constraints; one without a selector spreads the replicas of one revision. */ -}}
{{- define "patgate.spread" -}}
{{- $selector := dict "matchLabels" (include "patgate.selectorLabels" . | fromYaml) -}}
{{- $own := dict "labelSelector" $selector "matchLabelKeys" (list "pod-template-hash") -}}
{{- $all := list -}}
{{- range .Values.topologySpreadConstraints -}}
{{- $all = append $all (hasKey . "labelSelector" | ternary . (merge (dict) . $own)) -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}
