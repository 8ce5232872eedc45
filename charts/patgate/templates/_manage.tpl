{{- /* What selects the pods of the page. */ -}}
{{- define "patgate.manageSelectorLabels" -}}
app.kubernetes.io/name: {{ include "patgate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: manage
{{- end -}}

{{- /* The claim with the tokens of the page. */ -}}
{{- define "patgate.storeClaim" -}}
{{- .Values.manage.store.existingClaim | default (printf "%s-tokens" (include "patgate.fullname" .)) -}}
{{- end -}}

{{- /* Where the ConfigMaps are mounted. Beside the tokens of the page they are a directory of the manifests: both are one part, of which
the tokens may be absent. */ -}}
{{- define "patgate.manifestsPath" -}}
/etc/patgate/manifests{{ if include "patgate.managesFiles" . }}/config{{ end }}
{{- end -}}


{{- /* Whether the page writes files, in a volume that the gates mount too. */ -}}
{{- define "patgate.managesFiles" -}}
{{- if and .Values.manage.enabled (not .Values.manage.kubernetes.enabled) }}true{{ end -}}
{{- end -}}

{{- /* The namespace of the APITokens that the page manages. */ -}}
{{- define "patgate.managedNamespace" -}}
{{- .Values.manage.kubernetes.namespace | default .Release.Namespace -}}
{{- end -}}

{{- define "patgate.storeMount" -}}
name: tokens
mountPath: /etc/patgate/manifests/managed
{{- with .Values.manage.store.subPath }}
subPath: {{ . }}
{{- end }}
{{- end -}}

{{- define "patgate.storeVolume" -}}
name: tokens
persistentVolumeClaim:
  claimName: {{ include "patgate.storeClaim" . }}
{{- end -}}

{{- /* One key of a Secret. Context: dict "name" "secret" "key". */ -}}
{{- define "patgate.secretVolume" -}}
name: {{ .name }}
secret:
  secretName: {{ .secret }}
  defaultMode: 0440
  items:
    - {key: {{ .key | quote }}, path: {{ .key | quote }}}
{{- end -}}

{{- /* The page's secrets, each a volume of its own: a list of name, secret and key. */ -}}
{{- define "patgate.manageSecrets" -}}
{{- $m := .Values.manage -}}
{{- $all := list -}}
{{- with $m.oidc.existingSecret }}{{ $all = append $all (dict "name" "oidc" "secret" . "key" $m.oidc.key) }}{{ end -}}
{{- with $m.sessionKey.existingSecret }}{{ $all = append $all (dict "name" "session" "secret" . "key" $m.sessionKey.key) }}{{ end -}}
{{- with $m.tls.clientCA.existingSecret }}{{ $all = append $all (dict "name" "client-ca" "secret" . "key" $m.tls.clientCA.key) }}{{ end -}}
{{- with $m.notify.existingSecret }}{{ $all = append $all (dict "name" "notify" "secret" . "key" $m.notify.key) }}{{ end -}}
{{- with $m.auditChainSecret }}{{ $all = append $all (dict "name" "audit" "secret" . "key" $.Values.audit.chainKey) }}{{ end -}}
{{- dict "list" $all | toYaml -}}
{{- end -}}

{{- /* URLs of the gates' status ports. The name of a headless Service is that of its pods. */ -}}
{{- define "patgate.gateStatus" -}}
{{- $urls := .Values.manage.gateStatus -}}
{{- if and (not $urls) .Values.service.headless (or .Values.manage.kubernetes.enabled (not .Values.kubernetes.enabled)) -}}
{{- $urls = list (printf "http://%s.%s.svc.%s:%d" (include "patgate.fullname" .) .Release.Namespace .Values.clusterDomain (int64 .Values.ports.status)) -}}
{{- end -}}
{{- dict "list" $urls | toYaml -}}
{{- end -}}

{{- define "patgate.manageArgs" -}}
{{- $m := .Values.manage -}}
- manage
{{- if $m.kubernetes.enabled }}
- --kubernetes
- --into={{ include "patgate.managedNamespace" . }}
{{- range $m.kubernetes.gateNamespaces }}
- --namespace={{ . }}
{{- end }}
{{- else }}
- --manifests=/etc/patgate/manifests
{{- range .Values.teams }}
- {{ printf "--manifests=%s" (include "patgate.teamDirectory" .) | quote }}
{{- end }}
- --into=/etc/patgate/manifests/managed
{{- end }}
- --listen=:{{ $m.port | int64 }}
{{- if $m.tls.existingSecret }}
- --tls-cert=/etc/patgate/tls/tls.crt
- --tls-key=/etc/patgate/tls/tls.key
{{- with $m.tls.clientCA.existingSecret }}
- --client-ca=/etc/patgate/client-ca/{{ $m.tls.clientCA.key }}
{{- end }}
{{- else }}
- --insecure-listen
{{- end }}
{{- with $m.oidc.issuer }}
- {{ printf "--oidc-issuer=%s" . | quote }}
- {{ printf "--oidc-client-id=%s" $m.oidc.clientID | quote }}
{{- if $m.oidc.existingSecret }}
- --oidc-client-secret-file=/etc/patgate/oidc/{{ $m.oidc.key }}
{{- end }}
- {{ printf "--oidc-user-claim=%s" $m.oidc.userClaim | quote }}
{{- with $m.oidc.redirectURL }}
- {{ printf "--oidc-redirect-url=%s" . | quote }}
{{- end }}
{{- end }}
{{- if $m.sessionKey.existingSecret }}
- --session-key-file=/etc/patgate/session/{{ $m.sessionKey.key }}
{{- end }}
{{- with $m.userHeader }}
- --user-header={{ . }}
{{- end }}
{{- with $m.gate }}
- --gate={{ . }}
{{- end }}
{{- range (include "patgate.gateStatus" . | fromYaml).list }}
- {{ printf "--gate-status=%s" . | quote }}
{{- end }}
{{- with $m.notify.url }}
- {{ printf "--notify-url=%s" . | quote }}
- --notify-secret-file=/etc/patgate/notify/{{ $m.notify.key }}
{{- end }}
{{- if $m.secureMode }}
- --secure-mode
{{- end }}
{{- if $m.auditChainSecret }}
- --audit-chain=/etc/patgate/audit/{{ .Values.audit.chainKey }}
{{- end }}
- --log-format=json
- --log-level={{ .Values.logLevel }}
{{- range $m.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{- /* A probe of the page. Context: list, $, the field's name and the chart's numbers. Where clients must show a certificate, which
the kubelet can't, the port alone. */ -}}
{{- define "patgate.manageProbe" -}}
{{- $m := (index . 0).Values.manage -}}
{{- $handler := "httpGet: {path: /api/v1/openapi.json, port: manage}" -}}
{{- if $m.tls.clientCA.existingSecret -}}
{{- $handler = "tcpSocket: {port: manage}" -}}
{{- else if $m.tls.existingSecret -}}
{{- $handler = "httpGet: {path: /api/v1/openapi.json, port: manage, scheme: HTTPS}" -}}
{{- end -}}
{{- include "patgate.probe" (list (printf "manage.%s" (index . 1)) (index $m (index . 1)) (printf "{%s, %s}" $handler (index . 2))) -}}
{{- end -}}

{{- /* Contradictions in the values of the page. */ -}}
{{- define "patgate.validateManage" -}}
{{- $m := .Values.manage -}}
{{- if $m.enabled -}}
{{- if and $m.kubernetes.enabled (not .Values.kubernetes.enabled) -}}
{{- fail "manage.kubernetes.enabled needs kubernetes.enabled: the gates would not read the tokens." -}}
{{- end -}}
{{- if and $m.kubernetes.enabled .Values.kubernetes.namespaces (not (has (include "patgate.managedNamespace" .) .Values.kubernetes.namespaces)) -}}
{{- fail (printf "The gates do not read the namespace of manage.kubernetes.namespace (%s): add it to kubernetes.namespaces." (include "patgate.managedNamespace" .)) -}}
{{- end -}}
{{- if not (or $m.kubernetes.enabled (include "patgate.hasFiles" .)) -}}
{{- fail "manage.enabled needs `manifests` or `existingConfigMaps`, the files with Gates and UserGroups, or manage.kubernetes.enabled." -}}
{{- end -}}
{{- if and $m.tls.existingSecret $m.insecureListen -}}
{{- fail "Both manage.tls.existingSecret and manage.insecureListen are set: choose one." -}}
{{- end -}}
{{- if and $m.tls.clientCA.existingSecret (not $m.tls.existingSecret) -}}
{{- fail "manage.tls.clientCA.existingSecret requires manage.tls.existingSecret, the certificate of the page: without TLS no client presents a certificate." -}}
{{- end -}}
{{- if not (or $m.tls.existingSecret $m.insecureListen) -}}
{{- fail "manage.enabled requires manage.tls.existingSecret, the certificate of the page; or manage.insecureListen: true where a proxy in front ends TLS and the network between is private." -}}
{{- end -}}
{{- if not (or $m.oidc.issuer $m.userHeader $m.gate) -}}
{{- fail "How do people sign in to manage tokens? Set manage.oidc.issuer (an identity provider), manage.userHeader (a proxy in front), or manage.gate (tokens, for programs)." -}}
{{- end -}}
{{- if and $m.userHeader (not $m.tls.clientCA.existingSecret) -}}
{{- fail "manage.userHeader requires manage.tls.clientCA.existingSecret, the authority of the proxy in front: otherwise anybody who reaches the page could say who they are." -}}
{{- end -}}
{{- if and $m.oidc.issuer (not $m.oidc.clientID) -}}
{{- fail "manage.oidc.issuer requires manage.oidc.clientID, the name of the client at the identity provider." -}}
{{- end -}}
{{- if and $m.oidc.issuer (not $m.oidc.existingSecret) -}}
{{- fail "manage.oidc.issuer requires manage.oidc.existingSecret, the Secret with the client's secret." -}}
{{- end -}}
{{- if and (not $m.oidc.issuer) (or $m.oidc.clientID $m.oidc.existingSecret $m.oidc.redirectURL) -}}
{{- fail "manage.oidc has values without manage.oidc.issuer, the URL of the identity provider." -}}
{{- end -}}
{{- if ne (empty $m.notify.url) (empty $m.notify.existingSecret) -}}
{{- fail "manage.notify requires both url, the webhook, and existingSecret, the Secret with the key that signs its messages." -}}
{{- end -}}
{{- if and (gt (int64 $m.replicas) 1) (not $m.kubernetes.enabled) (not $m.store.existingClaim) (not (has "ReadWriteMany" $m.store.accessModes)) -}}
{{- fail (printf "manage.replicas (%d) requires ReadWriteMany in manage.store.accessModes: they write to one volume." (int64 $m.replicas)) -}}
{{- end -}}
{{- if and (gt (int64 $m.replicas) 1) $m.oidc.issuer (not $m.sessionKey.existingSecret) -}}
{{- fail (printf "manage.replicas (%d) with manage.oidc requires manage.sessionKey.existingSecret: without a shared key each replica refuses the sessions of the others." (int64 $m.replicas)) -}}
{{- end -}}
{{- if and .Values.networkPolicy.enabled (not $m.networkPolicy.clients) -}}
{{- fail "networkPolicy.enabled with manage.enabled requires manage.networkPolicy.clients, who may open the page: without any, no client can." -}}
{{- end -}}
{{- end -}}
{{- end -}}
