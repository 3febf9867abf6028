{{/* What each scale means. The memory is for the cache, of which every replica has its own. */}}
{{- define "nfo.scales" -}}
small:
  replicas: 1
  pollsPerSecond: 5
  resources: {requests: {cpu: 50m, memory: 64Mi}, limits: {memory: 256Mi}}
medium:
  replicas: 2
  pollsPerSecond: 10
  resources: {requests: {cpu: 200m, memory: 256Mi}, limits: {memory: 1Gi}}
large:
  replicas: 2
  pollsPerSecond: 20
  resources: {requests: {cpu: 500m, memory: 1Gi}, limits: {memory: 4Gi}}
{{- end }}

{{/* A value that goes before the scale's, by its name, as JSON. */}}
{{- define "nfo.scaled" -}}
{{- $scale := index (include "nfo.scales" .root | fromYaml) .root.Values.scale }}
{{- index .root.Values .name | default (index $scale .name) | toJson }}
{{- end }}

{{- define "nfo.image" -}}
{{- $image := .Values.image }}
{{- if not $image.repository }}
{{- fail "\n\nimage.repository is not set: there is no public image. Build it with `make image`, push it where your nodes can pull it, and say where:\n  --set image.repository=registry.example.com/nfo\n" }}
{{- end }}
{{- if regexMatch ":[^/]*$|@" $image.repository }}
{{- fail (printf "\n\nimage.repository is %q, which has a tag or a digest in it: give these as image.tag or image.digest.\n" $image.repository) }}
{{- end }}
{{- $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}
{{- with $image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* The labels by which Services, budgets and policies find the manager's pods. They never change: a Deployment's selector cannot. */}}
{{- define "nfo.selector" -}}
app.kubernetes.io/name: nfo
app.kubernetes.io/component: manager
{{- end }}

{{- define "nfo.labels" -}}
{{- $ours := dict
  "app.kubernetes.io/name" "nfo"
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_")
}}
{{- merge $ours .Values.commonLabels | toYaml }}
{{- end }}

{{- define "nfo.managerLabels" -}}
{{- merge (include "nfo.selector" . | fromYaml) (include "nfo.labels" . | fromYaml) | toYaml }}
{{- end }}

{{/*
The objects of a file that `make generate` copied from config, as a JSON array: in the release's
namespace, with the chart's labels. It takes the root and the file.
*/}}
{{- define "nfo.objects" -}}
{{- $objects := list }}
{{- $text := .root.Files.Get .file | required (printf "%s is not in the chart" .file) | replace "nfo-system" .root.Release.Namespace }}
{{- range regexSplit "(?m)^---$" $text -1 }}
{{- with fromYaml . }}
{{- $labels := merge (include "nfo.labels" $.root | fromYaml) (.metadata.labels | default dict) }}
{{- $objects = append $objects (set . "metadata" (set .metadata "labels" $labels)) }}
{{- end }}
{{- end }}
{{- $objects | toJson }}
{{- end }}

{{/* The restricted Pod Security Standard. */}}
{{- define "nfo.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "nfo.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* The Secret that cert-manager writes; the operator's own is nfo-webhook-certificate. */}}
{{- define "nfo.issuedSecret" -}}nfo-webhook-issued{{- end }}
