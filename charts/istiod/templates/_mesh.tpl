{{/* Mesh settings that follow from other values. In: v (values), root (the chart's dot). */}}
{{- define "istiod.mesh" -}}
trustDomain: cluster.local
rootNamespace: {{ .v.global.istioNamespace }}
{{- if and .v.telemetry.enabled .v.telemetry.v2.enabled .v.telemetry.v2.prometheus.enabled }}
defaultProviders:
  metrics: [prometheus]
{{- end }}
defaultConfig:
  {{- with .v.global.meshID }}
  meshId: {{ . | quote }}
  {{- end }}
  {{- with .v.global.variant }}
  image:
    imageType: {{ . | quote }}
  {{- end }}
  {{- if eq .v.global.proxy.tracer "zipkin" }}
  tracing:
    zipkin:
      address: {{ .v.global.tracer.zipkin.address | default (printf "zipkin.%s:9411" .v.global.istioNamespace) }}
  {{- end }}
  {{- if .v.global.remotePilotAddress }}
  discoveryAddress: istiod.{{ .root.Release.Namespace }}.svc:15012
  {{- else }}
  discoveryAddress: istiod{{ include "istiod.suffix" . }}.{{ .root.Release.Namespace }}.svc:15012
  {{- end }}
{{- end -}}
