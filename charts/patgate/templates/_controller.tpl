{{- /* What selects the pods of the controller. */ -}}
{{- define "patgate.controllerSelectorLabels" -}}
app.kubernetes.io/name: {{ include "patgate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
{{- end -}}

{{- /* The name of its service account, Lease and roles in the release's namespace. */ -}}
{{- define "patgate.controllerName" -}}
{{ include "patgate.fullname" . }}-controller
{{- end -}}

{{- /* The name of its roles elsewhere. */ -}}
{{- define "patgate.controllerRoleName" -}}
{{- printf "%s-%s" .Release.Namespace (include "patgate.controllerName" .) | trunc 253 -}}
{{- end -}}

{{- define "patgate.controllerArgs" -}}
- controller
{{- range .Values.kubernetes.namespaces }}
- --namespace={{ . }}
{{- end }}
- {{ printf "--gate-status=http://%s-gates.%s.svc.%s:%d" (include "patgate.fullname" .) .Release.Namespace .Values.clusterDomain (int64 .Values.ports.status) | quote }}
- --status-listen=:{{ .Values.controller.port | int64 }}
- --lease-namespace={{ .Release.Namespace }}
- --lease-name={{ include "patgate.controllerName" . }}
- --lease-duration={{ .Values.controller.leaseDuration }}
- --log-format=json
- --log-level={{ .Values.logLevel }}
{{- range .Values.controller.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{- /* A probe of the controller. Context: list, $, the field's name and the chart's own. */ -}}
{{- define "patgate.controllerProbe" -}}
{{- include "patgate.probe" (list (printf "controller.%s" (index . 1)) (index (index . 0).Values.controller (index . 1)) (index . 2)) -}}
{{- end -}}

{{- /* The rights on objects: to read them and to write their status, and no right to write the objects themselves. */ -}}
{{- define "patgate.controllerRules" -}}
{{ include "patgate.objectRules" . }}
- apiGroups: [patgate.dev]
  resources: [gates/status, apitokens/status, usergroups/status, tokenpolicies/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end -}}

{{- /* A role and its binding. Context: dict "root" $ "kind" Role|ClusterRole "name" … "namespace" … "rules" … */ -}}
{{- define "patgate.controllerRole" -}}
{{- range $what := list .kind (printf "%sBinding" .kind) }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $what }}
metadata:
  name: {{ $.name }}
  {{- with $.namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "patgate.labels" (dict "root" $.root "component" "controller" "labels" dict) | nindent 4 }}
{{- if eq $what $.kind }}
rules:
  {{- $.rules | nindent 2 }}
{{- else }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $.kind }}
  name: {{ $.name }}
subjects:
  - kind: ServiceAccount
    name: {{ include "patgate.controllerName" $.root }}
    namespace: {{ $.root.Release.Namespace }}
{{- end }}
{{- end }}
{{- end -}}
