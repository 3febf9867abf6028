{{/* upf.name is the release's name for a part of it: (list . "datapath"). */}}
{{- define "upf.name" -}}
{{- $top := index . 0 -}}
{{- printf "%s-%s" $top.Release.Name (index . 1) | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* upf.labels select the pods of a part: (list . "datapath"). */}}
{{- define "upf.labels" -}}
{{- $top := index . 0 -}}
app.kubernetes.io/name: {{ $top.Chart.Name }}
app.kubernetes.io/instance: {{ $top.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* upf.image is the whole reference of an image of the values: (list . .Values.init.image). */}}
{{- define "upf.image" -}}
{{- $top := index . 0 -}}
{{- $image := index . 1 -}}
{{- printf "%s/%s:%s" (required "global.registry is required" $top.Values.global.registry) $image.name $image.tag -}}
{{- end -}}

{{/* upf.pullSecrets is the part of a pod that names the secrets, if there are any. */}}
{{- define "upf.pullSecrets" -}}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
{{ toYaml . }}
{{- end }}
{{- end -}}
