{{- define "gvList" -}}
{{- range . -}}
{{- $gv := . -}}
{{- $kind := index $gv.SortedKinds 0 -}}
# {{ $kind }}

<!-- Written by make generate from the Go sources in api. -->

`apiVersion: {{ $gv.GroupVersionString }}`, `kind: {{ $kind }}`

{{ template "type" ($gv.TypeForKind $kind) }}

{{ range $gv.SortedTypes }}
{{- if ne .Name $kind }}
## {{ .Name }}

{{ template "type" . }}
{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
