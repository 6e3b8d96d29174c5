{{/* Names and labels, which are Istio's. In: v (values), root (the chart's dot). */}}

{{/* `-canary` of revision canary. */}}
{{- define "istiod.suffix" -}}
{{- if not (has .v.revision (list "" "default")) }}-{{ .v.revision }}{{ end -}}
{{- end -}}

{{/* Cluster-wide names that carry the namespace where it is not the usual one. */}}
{{- define "istiod.namespaced" -}}
{{- if ne .root.Release.Namespace "istio-system" }}-{{ .root.Release.Namespace }}{{ end -}}
{{- end -}}

{{- define "istiod.rev" -}}
{{- .v.revision | default "default" -}}
{{- end -}}

{{- define "istiod.labels" -}}
app.kubernetes.io/name: istiod
app.kubernetes.io/managed-by: {{ .root.Release.Service | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/part-of: istio
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | quote }}
istio.io/rev: {{ include "istiod.rev" . | quote }}
install.operator.istio.io/owning-resource: {{ .v.ownerName | default "unknown" | quote }}
operator.istio.io/component: Pilot
release: {{ .root.Release.Name | quote }}
{{- end -}}

{{/* Which pods are this revision's istiod. */}}
{{- define "istiod.selector" -}}
app: istiod
{{- if ne .v.revision "" }}
istio.io/rev: {{ include "istiod.rev" . | quote }}
{{- else }}
istio: pilot
{{- end }}
{{- end -}}

{{/* Whether istiod itself runs here; with istiodRemote only webhooks do. */}}
{{- define "istiod.local" -}}
{{- if and (has .v.global.resourceScope (list "all" "namespace")) (or (not .v.istiodRemote.enabled) .v.istiodRemote.enabledLocalInjectorIstiod) }}yes{{ end -}}
{{- end -}}

{{/* Whether objects of the whole cluster are wanted. */}}
{{- define "istiod.cluster" -}}
{{- if has .v.global.resourceScope (list "all" "cluster") }}yes{{ end -}}
{{- end -}}

{{/* Whether objects of the namespace are wanted. */}}
{{- define "istiod.inNamespace" -}}
{{- if has .v.global.resourceScope (list "all" "namespace") }}yes{{ end -}}
{{- end -}}

{{- define "istiod.ports" -}}
# xDS and the certificate authority, without and with TLS.
- {name: grpc-xds, port: 15010, protocol: TCP}
- {name: https-dns, port: 15012, protocol: TCP}
# Injection and validation.
- {name: https-webhook, port: 443, targetPort: 15017, protocol: TCP}
- {name: http-monitoring, port: 15014, protocol: TCP}
{{- end -}}
