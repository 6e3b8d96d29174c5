{{/* Parts of istiod's pod: environment, volumes. In: v (values), root (the chart's dot). */}}

{{- define "istiod.env" -}}
- name: REVISION
  value: {{ include "istiod.rev" . | quote }}
- name: PILOT_CERT_PROVIDER
  value: {{ .v.global.pilotCertProvider }}
- name: POD_NAME
  valueFrom: {fieldRef: {apiVersion: v1, fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {apiVersion: v1, fieldPath: metadata.namespace}}
- name: SERVICE_ACCOUNT
  valueFrom: {fieldRef: {apiVersion: v1, fieldPath: spec.serviceAccountName}}
- name: KUBECONFIG
  value: /var/run/secrets/remote/config
- name: CLUSTER_ID
  value: {{ .v.global.multiCluster.clusterName | default "Kubernetes" | quote }}
- name: PILOT_TRACE_SAMPLING
  value: {{ .v.traceSampling | quote }}
- name: PILOT_ENABLE_ANALYSIS
  value: {{ .v.global.istiod.enableAnalysis | quote }}
{{- if ne (include "istiod.suffix" .) "" }}
- name: INJECTION_WEBHOOK_CONFIG_NAME
  value: istio-sidecar-injector{{ include "istiod.suffix" . }}{{ include "istiod.namespaced" . }}
{{- end }}
- name: VALIDATION_WEBHOOK_CONFIG_NAME
  value: istio-validator{{ include "istiod.suffix" . }}-{{ .root.Release.Namespace }}
- name: PLATFORM
  value: {{ .v.global.platform | quote }}
{{- if ne .v.global.sds.token.aud "istio-ca" }}
- name: AUDIENCE
  value: {{ .v.global.sds.token.aud | quote }}
{{- end }}
{{- range $name, $value := .v.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- with .v.envVarFrom }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "istiod.mounts" -}}
- {name: istio-token, mountPath: /var/run/secrets/tokens, readOnly: true}
- {name: local-certs, mountPath: /var/run/secrets/istio-dns}
- {name: cacerts, mountPath: /etc/cacerts, readOnly: true}
- {name: istio-kubeconfig, mountPath: /var/run/secrets/remote, readOnly: true}
{{- if .v.jwksResolverExtraRootCA }}
- {name: extracacerts, mountPath: /cacerts, readOnly: true}
{{- end }}
{{- with .v.volumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "istiod.volumes" -}}
# Keys stay in memory.
- name: local-certs
  emptyDir: {medium: Memory}
- name: istio-token
  projected:
    sources:
    - serviceAccountToken:
        audience: {{ .v.global.sds.token.aud }}
        expirationSeconds: 43200
        path: istio-token
# The user's own authority.
- name: cacerts
  secret: {secretName: cacerts, optional: true}
- name: istio-kubeconfig
  secret: {secretName: istio-kubeconfig, optional: true}
{{- if .v.jwksResolverExtraRootCA }}
- name: extracacerts
  configMap:
    name: pilot-jwks-extra-cacerts{{ include "istiod.suffix" . }}
{{- end }}
{{- with .v.volumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
