{{/* The values of each scale. The memory is for the replica's own cache and for the process that reads a chart, which may use chartMemory of it. */}}
{{- define "nfo.scales" -}}
small:
  replicas: 1
  pollsPerSecond: 5
  mirrorBlobs: 2
  mirrorRequests: 20
  chartSeconds: 10
  chartMemory: 384Mi
  resources: {requests: {cpu: 50m, memory: 96Mi}, limits: {memory: 768Mi}}
medium:
  replicas: 2
  pollsPerSecond: 10
  mirrorBlobs: 4
  mirrorRequests: 40
  chartSeconds: 30
  chartMemory: 448Mi
  resources: {requests: {cpu: 200m, memory: 256Mi}, limits: {memory: 1Gi}}
large:
  replicas: 2
  pollsPerSecond: 20
  mirrorBlobs: 8
  mirrorRequests: 80
  chartSeconds: 60
  chartMemory: 1Gi
  resources: {requests: {cpu: 500m, memory: 1Gi}, limits: {memory: 4Gi}}
{{- end }}

{{/* The value with this name if it is set, otherwise the scale's, as JSON. */}}
{{- define "nfo.scaled" -}}
{{- $scale := index (include "nfo.scales" .root | fromYaml) .root.Values.scale }}
{{- index .root.Values .name | default (index $scale .name) | toJson }}
{{- end }}

{{/* Requests or limits in the form of the manager's flags: cpu=1,memory=512Mi, sorted by name. */}}
{{- define "nfo.resourceList" -}}
{{- $parts := list }}
{{- range $name, $quantity := . }}
{{- $parts = append $parts (printf "%s=%v" $name $quantity) }}
{{- end }}
{{- join "," $parts }}
{{- end }}

{{/* The environment variables of the proxy. Without the exceptions of the chart, the programs would ask the proxy for the API server and for the cluster's own registry. */}}
{{- define "nfo.proxy" -}}
{{- $proxy := .Values.proxy }}
{{- if or $proxy.httpsProxy $proxy.httpProxy }}
{{- $direct := list "$(KUBERNETES_SERVICE_HOST)" ".svc" ".cluster.local" }}
{{- if .Values.registry.enabled }}
{{- $direct = append $direct (include "nfo.registryHost" . | include "nfo.hostOnly") }}
{{- end }}
{{- with $proxy.httpsProxy }}
- name: HTTPS_PROXY
  value: {{ . | quote }}
{{- end }}
{{- with $proxy.httpProxy }}
- name: HTTP_PROXY
  value: {{ . | quote }}
{{- end }}
- name: NO_PROXY
  value: {{ concat $direct $proxy.noProxy | uniq | join "," | quote }}
{{- end }}
{{- end }}

{{/* The list of places as the manager reads it; empty if every namespace may use every place. */}}
{{- define "nfo.places" -}}
{{- $list := .Values.places.list }}
{{- if .Values.mirror.enabled }}
{{- $list = append $list (dict "registry" "cluster-registry.nfo.dev/mirror.nfo.dev" "namespaces" (list .Release.Namespace)) }}
{{- end }}
{{- if or $list (eq .Values.places.default "Deny") }}
{{- dict "default" .Values.places.default "places" $list | toYaml }}
{{- end }}
{{- end }}

{{/* The namespaces that the manager acts in, as JSON: watchNamespaces, and its own for the mirror's store. Empty: all. */}}
{{- define "nfo.watched" -}}
{{- $watched := .Values.watchNamespaces }}
{{- if and $watched .Values.mirror.enabled }}
{{- $watched = append $watched .Release.Namespace | uniq }}
{{- end }}
{{- $watched | toJson }}
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

{{/* The labels with which Services, budgets and policies select the manager's pods. They never change, because a Deployment's selector cannot change. */}}
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

{{/* The values of each scale of the registry. */}}
{{- define "nfo.registryScales" -}}
small:
  requests: 64
  resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {memory: 512Mi}}
medium:
  requests: 256
  resources: {requests: {cpu: 250m, memory: 512Mi}, limits: {memory: 1Gi}}
large:
  requests: 1024
  resources: {requests: {cpu: "1", memory: 1Gi}, limits: {memory: 4Gi}}
{{- end }}

{{/* The registry's value with this name if it is set, otherwise its scale's, as JSON. */}}
{{- define "nfo.registryScaled" -}}
{{- $registry := .root.Values.registry }}
{{- index $registry .name | default (index (include "nfo.registryScales" .root | fromYaml) $registry.scale .name) | toJson }}
{{- end }}

{{/* "true" if more than one replica of the registry may run, otherwise empty. */}}
{{- define "nfo.registryMany" -}}
{{- if or (gt (int .Values.registry.replicas) 1) .Values.registry.autoscaling.enabled }}true{{ end }}
{{- end }}

{{/* The labels with which Services, budgets and policies select the registry's pods. They never change. */}}
{{- define "nfo.registrySelector" -}}
app.kubernetes.io/name: nfo
app.kubernetes.io/component: registry
{{- end }}

{{- define "nfo.registryLabels" -}}
{{- merge (include "nfo.registrySelector" . | fromYaml) (include "nfo.labels" . | fromYaml) | toYaml }}
{{- end }}

{{/* The host and port by which the registry is reached. */}}
{{- define "nfo.registryHost" -}}
{{- .Values.registry.host | default (printf "nfo-registry.%s.svc" .Release.Namespace) }}
{{- end }}

{{/* A host without its port and without the brackets of an IPv6 address. */}}
{{- define "nfo.hostOnly" -}}
{{- regexReplaceAll ":[0-9]+$" . "" | trimPrefix "[" | trimSuffix "]" }}
{{- end }}

{{/* The names in the registry's certificate in addition to the Service's, separated by commas. */}}
{{- define "nfo.registryNames" -}}
{{- $names := .Values.registry.certificate.names }}
{{- if and .Values.mirror.enabled (eq .Values.mirror.nodeAccess "ClusterIP") }}
{{- $names = append $names .Values.registry.service.clusterIP }}
{{- end }}
{{- with .Values.registry.host }}
{{- $names = append $names (include "nfo.hostOnly" .) }}
{{- end }}
{{- join "," (uniq $names) }}
{{- end }}

{{/* "true" if nodes have an agent, otherwise empty. */}}
{{- define "nfo.agents" -}}
{{- if and .Values.mirror.enabled (ne .Values.mirror.nodeAccess "NodePort") }}true{{ end }}
{{- end }}

{{/* The fixed address of the registry's Service in the form of image names. */}}
{{- define "nfo.registryAddress" -}}
{{- with .Values.registry.service.clusterIP }}{{ ternary (printf "[%s]" .) . (contains ":" .) }}{{ end }}
{{- end }}

{{/* The labels with which the agents are selected. They never change. */}}
{{- define "nfo.agentSelector" -}}
app.kubernetes.io/name: nfo
app.kubernetes.io/component: agent
{{- end }}

{{- define "nfo.agentLabels" -}}
{{- merge (include "nfo.agentSelector" . | fromYaml) (include "nfo.labels" . | fromYaml) | toYaml }}
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

{{/* The annotations of a hook's object. It takes the hook and the weight: lower comes first. */}}
{{- define "nfo.hook" -}}
helm.sh/hook: {{ .hook }}
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
helm.sh/hook-output-log-policy: hook-succeeded,hook-failed
{{- end }}

{{/*
The ServiceAccount of a hook's pod, with the roles of a file and a binding for each of them. They
exist only while the hook runs. It takes the root, the file, the name and the hook.
*/}}
{{- define "nfo.hookIdentity" -}}
{{- $annotations := include "nfo.hook" (dict "hook" .hook "weight" -1) | fromYaml }}
{{- $subject := dict "kind" "ServiceAccount" "namespace" .root.Release.Namespace "name" .name }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "nfo.labels" .root | nindent 4 }}
  annotations:
    {{- toYaml $annotations | nindent 4 }}
{{- range include "nfo.objects" (dict "root" .root "file" .file) | fromJsonArray }}
{{- $metadata := merge (dict "annotations" $annotations) .metadata }}
---
{{ set . "metadata" $metadata | toYaml }}
---
apiVersion: {{ .apiVersion }}
kind: {{ .kind }}Binding
metadata:
  {{- toYaml $metadata | nindent 2 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: {{ .kind }}, name: {{ .metadata.name }}}
subjects: [{{ toJson $subject }}]
{{- end }}
{{- end }}

{{/* The common part of the pods of hooks. It takes the root, the name and the command's arguments. */}}
{{- define "nfo.hookPod" -}}
serviceAccountName: {{ .name }}
restartPolicy: Never
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "nfo.podSecurityContext" . | nindent 2 }}
containers:
- name: {{ .name }}
  image: {{ include "nfo.image" .root }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  args:
    {{- toYaml .args | nindent 4 }}
  resources:
    requests: {cpu: 50m, memory: 64Mi}
    limits: {memory: 256Mi}
  securityContext:
    {{- include "nfo.securityContext" . | nindent 4 }}
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
