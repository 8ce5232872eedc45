{{- /* The chart's name. */ -}}
{{- define "patgate.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* The name of objects: 50 characters, so that what is appended fits a DNS label. */ -}}
{{- define "patgate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "patgate.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "patgate.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* What selects the server's pods. It never changes: a Deployment's selector can't. */ -}}
{{- define "patgate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "patgate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end -}}

{{- /* The labels of every object. Context: dict "root" $ "component" … "labels" … */ -}}
{{- define "patgate.labels" -}}
{{- $chart := printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- $own := dict
  "helm.sh/chart" $chart
  "app.kubernetes.io/name" (include "patgate.name" .root)
  "app.kubernetes.io/instance" .root.Release.Name
  "app.kubernetes.io/component" (.component | default "server")
  "app.kubernetes.io/version" .root.Chart.AppVersion
  "app.kubernetes.io/part-of" "patgate"
  "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- mergeOverwrite (dict) .root.Values.commonLabels (.labels | default dict) $own | toYaml -}}
{{- end -}}

{{- /* An object's metadata. Context: dict "root" $ "suffix" … "component" … "labels" … "annotations" … */ -}}
{{- define "patgate.metadata" -}}
name: {{ include "patgate.fullname" .root }}{{ .suffix }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "patgate.labels" . | nindent 2 }}
{{- with mergeOverwrite (dict) .root.Values.commonAnnotations (.annotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* A number as it was written, or a text such as 50%: numbers of values are floats, and large ones print as 1e+06. */ -}}
{{- define "patgate.number" -}}
{{- kindIs "string" . | ternary . (int64 .) -}}
{{- end -}}

{{- /* A probe. Context: list, its name, the value and the chart's own. Nothing where it is left out. */ -}}
{{- define "patgate.probe" -}}
{{- $own := index . 1 -}}
{{- if and (kindIs "map" $own) (ne (toString $own.enabled) "false") -}}
{{- $handlers := list -}}
{{- range list "exec" "httpGet" "grpc" "tcpSocket" }}{{ if hasKey $own . }}{{ $handlers = append $handlers . }}{{ end }}{{ end -}}
{{- if gt (len $handlers) 1 -}}
{{- fail (printf "%s has %s: choose one." (index . 0) (join " and " $handlers)) -}}
{{- end -}}
{{- if $handlers -}}
{{- omit $own "enabled" | toYaml -}}
{{- else -}}
{{- mergeOverwrite (index . 2 | fromYaml) (omit $own "enabled") | toYaml -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* A security context, without what OpenShift assigns. Context: list, $ and the value. */ -}}
{{- define "patgate.security" -}}
{{- $context := index . 1 | default dict -}}
{{- if (index . 0).Values.openshift -}}
{{- $context = omit $context "runAsUser" "runAsGroup" "fsGroup" -}}
{{- end -}}
{{- if $context }}{{ toYaml $context }}{{ end -}}
{{- end -}}

{{- define "patgate.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "patgate.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- /* The image. A registry takes the place of the host in the repository, if it has one. */ -}}
{{- define "patgate.image" -}}
{{- $image := .Values.image -}}
{{- $repository := $image.repository -}}
{{- with (.Values.global).imageRegistry | default $image.registry -}}
{{- $host := splitList "/" $repository | first -}}
{{- if and (contains "/" $repository) (or (contains "." $host) (contains ":" $host) (eq $host "localhost")) -}}
{{- $repository = trimPrefix (printf "%s/" $host) $repository -}}
{{- end -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) $repository -}}
{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository ($image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- /* The Secrets for the registry: those of all charts, and the chart's own. */ -}}
{{- define "patgate.imagePullSecrets" -}}
{{- $all := list -}}
{{- range concat ((.Values.global).imagePullSecrets | default list) .Values.imagePullSecrets -}}
{{- $all = append $all (kindIs "string" . | ternary (dict "name" .) .) -}}
{{- end -}}
{{- if $all }}{{ uniq $all | toYaml }}{{ end -}}
{{- end -}}

{{- /* The replicas that there are at least. */ -}}
{{- define "patgate.replicas" -}}
{{- ternary .Values.autoscaling.minReplicas .Values.replicaCount .Values.autoscaling.enabled | int64 -}}
{{- end -}}

{{- /* The Secret with the server's certificate; empty without TLS. */ -}}
{{- define "patgate.tlsSecret" -}}
{{- if .Values.tls.certManager.enabled -}}
{{- include "patgate.fullname" . }}-tls
{{- else -}}
{{- .Values.tls.existingSecret -}}
{{- end -}}
{{- end -}}

{{- /* "true" where callers must show a client certificate. */ -}}
{{- define "patgate.mtls" -}}
{{- if and (include "patgate.tlsSecret" .) .Values.tls.clientCA.enabled -}}true{{- end -}}
{{- end -}}

{{- define "patgate.appProtocol" -}}
{{- .Values.service.appProtocol | default (ternary "https" "kubernetes.io/h2c" (ne (include "patgate.tlsSecret" .) "")) -}}
{{- end -}}

{{- /* Nine tenths of a quantity of memory, in KiB as Go writes it. */ -}}
{{- define "patgate.goMemoryLimit" -}}
{{- $quantity := kindIs "float64" . | ternary (int64 . | toString) (toString .) -}}
{{- $number := regexFind "^[0-9.]+" $quantity -}}
{{- $factors := dict "" 1.0 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 -}}
{{- $unit := trimPrefix $number $quantity -}}
{{- if or (not $number) (not (hasKey $factors $unit)) -}}
{{- fail (printf "resources.limits.memory: %s: expected a number with Ki, Mi, Gi, Ti, k, M, G, T or nothing after it, such as 256Mi" $quantity) -}}
{{- else -}}
{{- divf (mulf (float64 $number) (get $factors $unit) 0.9) 1024 | floor | int64 -}}KiB
{{- end -}}
{{- end -}}
