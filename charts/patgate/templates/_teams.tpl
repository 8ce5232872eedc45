{{- /* A team's directory, as --manifests takes it. */ -}}
{{- define "patgate.teamDirectory" -}}
/etc/patgate/teams/{{ .name }},kinds={{ join "|" .kinds }}{{ with .names }},names={{ join "|" . }}{{ end }}
{{- end -}}

{{- define "patgate.teamVolumes" -}}
{{- range $i, $team := .Values.teams }}
- name: team-{{ $i }}
  configMap:
    name: {{ $team.name }}
    defaultMode: 0444
{{- end }}
{{- end -}}

{{- define "patgate.teamMounts" -}}
{{- range $i, $team := .Values.teams }}
- name: team-{{ $i }}
  mountPath: /etc/patgate/teams/{{ $team.name }}
  readOnly: true
{{- end }}
{{- end -}}

{{- define "patgate.lastGoodVolume" -}}
- name: last-good
  {{- if .Values.lastGood.existingClaim }}
  persistentVolumeClaim:
    claimName: {{ .Values.lastGood.existingClaim }}
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- end -}}
