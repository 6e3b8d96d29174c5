{{/* Names and labels, which are Istio's. In: v (values), root (the chart's dot). */}}

{{- define "gateway.name" -}}
{{- .v.name | default .root.Release.Name -}}
{{- end -}}

{{- define "gateway.selector" -}}
app: {{ .v.labels.app | default (include "gateway.name" .) | quote }}
istio: {{ .v.labels.istio | default (include "gateway.name" . | trimPrefix "istio-") | quote }}
{{- end -}}

{{- define "gateway.labels" -}}
app.kubernetes.io/name: {{ include "gateway.name" . }}
app.kubernetes.io/managed-by: {{ .root.Release.Service | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/part-of: istio
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | quote }}
{{- with omit .v.labels "app" "istio" }}
{{ toYaml . }}
{{- end }}
{{ include "gateway.selector" . }}
{{- end -}}

{{- define "gateway.account" -}}
{{- .v.serviceAccount.name | default (ternary (include "gateway.name" .) "default" .v.serviceAccount.create) -}}
{{- end -}}

{{- define "gateway.annotations" -}}
{{- with .v.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
