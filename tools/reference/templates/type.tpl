{{- define "type" -}}
{{- $type := . -}}
{{ $type.Doc }}

{{ with $type.Markers -}}
{{- with index . "kubebuilder:validation:XValidation" }}
Rules:
{{ range . }}
- {{ .Message }}
{{- end }}
{{- end }}
{{- end }}

{{ if $type.Members -}}
| field | type | description | default | validation |
|---|---|---|---|---|
{{ range $type.Members -}}
| `{{ .Name }}` | {{ markdownRenderType .Type | replace "integer array" "string (base64)" }} | {{ template "description" . }} | {{ with .Default }}`{{ . | replace "{  }" "{}" }}`{{ end }} | {{ template "validation" .Validation }} |
{{ end -}}
{{- else if $type.EnumValues -}}
| value | meaning |
|---|---|
{{ range $type.EnumValues -}}
| `{{ .Name }}` | {{ regexReplaceAll "^[A-Za-z0-9]+: +" (markdownRenderFieldDoc .Doc | replace "<br />" " ") "" | trim }} |
{{ end -}}
{{- else -}}
{{ with $type.UnderlyingType }}Type: {{ markdownRenderType . }}{{ end }}

{{ range $type.Validation }}
- {{ . }}
{{- end }}
{{- end -}}
{{- end -}}

{{- define "description" -}}
{{- if eq .Name "metadata" -}}
As of every object in Kubernetes.
{{- else -}}
{{ markdownRenderFieldDoc .Doc | replace "<br />" " " }}
{{- end -}}
{{- end -}}

{{- define "validation" -}}
{{- $first := true -}}
{{- range . -}}
{{- if ne . "Optional: {}" -}}
{{- if not $first }}<br />{{ end -}}
{{- $first = false -}}
{{- if eq . "Required: {}" -}}required{{- else -}}`{{ . | replace "`" "" | replace "|" "\\|" }}`{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
