{{/*
The values in force: defaults, then the profile, then what the user says. Every template begins with
  {{- $v := include "mesh.values" . | fromYaml }}
The same text stands in every chart. Nothing is changed in place, so any renderer of Go templates can do it.
*/}}
{{- define "mesh.values" -}}
{{- $profile := dict -}}
{{- with .Values.profile -}}
{{- $text := $.Files.Get (printf "files/profile-%s.yaml" .) -}}
{{- if not $text -}}
{{- fail (printf "profile %q is not known; use default, demo, minimal, empty, preview or remote" .) -}}
{{- end -}}
{{- $profile = $text | fromYaml -}}
{{- end -}}
{{- $own := omit .Values "_internal_defaults_do_not_set" "pilot" -}}
{{- mustMergeOverwrite (deepCopy .Values._internal_defaults_do_not_set) $profile (deepCopy (.Values.pilot | default dict)) (deepCopy $own) | toYaml -}}
{{- end -}}

{{/* What the user says that the chart does not know: lines of names. In: given, known, prefix (where
given stands), path, free (paths with any keys). */}}
{{- define "mesh.unknown" -}}
{{- range $key, $value := .given -}}
{{- $path := list $.path $key | join "." | trimPrefix "." -}}
{{- if not (hasKey $.known $key) }}
value {{ $.prefix }}{{ $path }} is not known
{{- else if and (kindIs "map" $value) (kindIs "map" (get $.known $key)) -}}
{{- if and (get $.known $key) (not (has $path $.free)) -}}
{{- include "mesh.unknown" (dict "given" $value "known" (get $.known $key) "prefix" $.prefix "path" $path "free" $.free) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Values that are not honoured: lines of names with reasons. In: values, list (from files/unhonoured.yaml). */}}
{{- define "mesh.unhonoured" -}}
{{- range $rule := .list -}}
{{- $at := $.values -}}
{{- range splitList "." $rule.value -}}
{{- if kindIs "map" $at -}}{{- $at = get $at . -}}{{- end -}}
{{- end -}}
{{- $allowed := false -}}
{{- range $rule.only -}}{{- if eq (toJson .) (toJson $at) -}}{{- $allowed = true -}}{{- end -}}{{- end -}}
{{- if not $allowed }}
value {{ $rule.value }} is not honoured: {{ $rule.why }}; leave it out
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
Fails with the names of all values that are unknown or not honoured. Values of the other charts may stand beside, so
that one file serves all of them. In: root (the chart's dot), others (names of values of other charts), free (paths
of values below which any key may stand), shared (`global` may hold values of other charts).
*/}}
{{- define "mesh.check" -}}
{{- $v := include "mesh.values" .root | fromYaml -}}
{{- $known := .root.Values._internal_defaults_do_not_set -}}
{{- $own := omit .root.Values "_internal_defaults_do_not_set" "pilot" -}}
{{- $pilot := .root.Values.pilot | default dict -}}
{{- range .others -}}{{- if not (hasKey $known .) -}}{{- $own = omit $own . -}}{{- $pilot = omit $pilot . -}}{{- end -}}{{- end -}}
{{- if .shared -}}{{- $own = omit $own "global" -}}{{- $pilot = omit $pilot "global" -}}{{- end -}}
{{- $wrong := include "mesh.unknown" (dict "given" $own "known" $known "prefix" "" "path" "" "free" .free) -}}
{{- $wrong = printf "%s%s" $wrong (include "mesh.unknown" (dict "given" $pilot "known" $known "prefix" "pilot." "path" "" "free" .free)) -}}
{{- $list := .root.Files.Get "files/unhonoured.yaml" | fromYamlArray -}}
{{- $wrong = printf "%s%s" $wrong (include "mesh.unhonoured" (dict "values" $v "list" $list)) -}}
{{- if $wrong -}}
{{- fail (printf "chart %s:%s" .root.Chart.Name $wrong) -}}
{{- end -}}
{{- end -}}
