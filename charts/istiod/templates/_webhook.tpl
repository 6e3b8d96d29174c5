{{/*
Injection webhooks. The API server asks about a pod when one of them selects both its namespace and its labels; they
never overlap, so that a pod is asked about once. In: v, root, and rev: what stands in the label istio.io/rev.
*/}}
{{- define "istiod.injection" -}}
{{- $inject := "sidecar.istio.io/inject" -}}
# Namespaces that name the revision, and pods in them that do not say no.
{{ include "istiod.injector" (merge (dict "name" "rev.namespace") .) }}
  namespaceSelector:
    matchExpressions:
    - {key: istio.io/rev, operator: In, values: [{{ .rev | quote }}]}
    - {key: istio-injection, operator: DoesNotExist}
  objectSelector:
    matchExpressions:
    - {key: {{ $inject }}, operator: NotIn, values: ["false"]}
# Pods that name the revision in namespaces that say nothing.
{{ include "istiod.injector" (merge (dict "name" "rev.object") .) }}
  namespaceSelector:
    matchExpressions:
    - {key: istio.io/rev, operator: DoesNotExist}
    - {key: istio-injection, operator: DoesNotExist}
  objectSelector:
    matchExpressions:
    - {key: {{ $inject }}, operator: NotIn, values: ["false"]}
    - {key: istio.io/rev, operator: In, values: [{{ .rev | quote }}]}
{{- if eq .rev "default" }}
# Namespaces with istio-injection=enabled.
{{ include "istiod.injector" (merge (dict "name" "namespace") .) }}
  namespaceSelector:
    matchExpressions:
    - {key: istio-injection, operator: In, values: [enabled]}
  objectSelector:
    matchExpressions:
    - {key: {{ $inject }}, operator: NotIn, values: ["false"]}
# Pods that say yes in namespaces that say nothing.
{{ include "istiod.injector" (merge (dict "name" "object") .) }}
  namespaceSelector:
    matchExpressions:
    - {key: istio-injection, operator: DoesNotExist}
    - {key: istio.io/rev, operator: DoesNotExist}
  objectSelector:
    matchExpressions:
    - {key: {{ $inject }}, operator: In, values: ["true"]}
    - {key: istio.io/rev, operator: DoesNotExist}
{{- if .v.sidecarInjectorWebhook.enableNamespacesByDefault }}
# Everything that says nothing at all.
{{ include "istiod.injector" (merge (dict "name" "auto") .) }}
  namespaceSelector:
    matchExpressions:
    - {key: istio-injection, operator: DoesNotExist}
    - {key: istio.io/rev, operator: DoesNotExist}
    - {key: kubernetes.io/metadata.name, operator: NotIn, values: [kube-system, kube-public, kube-node-lease, local-path-storage]}
  objectSelector:
    matchExpressions:
    - {key: {{ $inject }}, operator: DoesNotExist}
    - {key: istio.io/rev, operator: DoesNotExist}
{{- end }}
{{- end }}
{{- end -}}

{{- define "istiod.injector" -}}
- name: {{ .name }}.sidecar-injector.istio.io
  clientConfig:
    {{- with .v.istiodRemote.injectionURL }}
    url: {{ . | quote }}
    {{- else }}
    service:
      name: istiod{{ include "istiod.suffix" . }}
      namespace: {{ .root.Release.Namespace }}
      path: {{ .v.istiodRemote.injectionPath | quote }}
      port: 443
    {{- end }}
    {{- with .v.istiodRemote.injectionCABundle }}
    caBundle: {{ . | quote }}
    {{- end }}
  admissionReviewVersions: [v1]
  failurePolicy: Fail
  sideEffects: None
  reinvocationPolicy: {{ .v.sidecarInjectorWebhook.reinvocationPolicy | quote }}
  rules:
  - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}
{{- end -}}
