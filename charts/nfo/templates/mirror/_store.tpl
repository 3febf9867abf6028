{{/* The prefix of image names in pods that pull from the mirror: spec.mirror.pullAddress of its store. */}}
{{- define "nfo.mirrorPullAddress" -}}
{{- $service := .Values.registry.service }}
{{- $access := .Values.mirror.nodeAccess }}
{{- if eq $access "NodePort" }}127.0.0.1:{{ $service.nodePort }}/mirror.nfo.dev
{{- else if eq $access "ClusterIP" }}{{ include "nfo.registryAddress" . }}/mirror.nfo.dev
{{- else }}127.0.0.1:{{ .Values.mirror.agent.port }}
{{- end }}
{{- end }}

{{/*
The settings of the mirror, from which the manager makes the ArtifactStore `mirror`; empty without a mirror. Helm cannot
make the store itself, because its kind and the webhooks do not answer yet during a first installation.
*/}}
{{- define "nfo.mirrorSettings" -}}
{{- if .Values.mirror.enabled }}
{{- $mirror := .Values.mirror }}
{{- if not .Values.registry.enabled }}
{{- fail "\n\nmirror.enabled needs registry.enabled: the mirror is in the registry that the chart installs. Set both:\n  --set registry.enabled=true,mirror.enabled=true\n" }}
{{- end }}
{{- if .Values.registry.collection.untagged }}
{{- fail "\n\nmirror.enabled and registry.collection.untagged cannot both be true: images that pods name by digest have no tag in the mirror, and the collection would delete them.\n" }}
{{- end }}
{{- $runtime := eq $mirror.nodeAccess "RuntimeMirror" }}
{{- $spec := dict "images" $mirror.images "rewrite" (ternary "Never" $mirror.rewrite $runtime) "refreshPeriod" $mirror.refreshPeriod "pullAddress" ($mirror.pullAddress | default (include "nfo.mirrorPullAddress" .)) }}
{{- with $mirror.namespaceSelector }}
{{- $spec = set $spec "namespaceSelector" . }}
{{- end }}
{{- with $mirror.imagePullSecrets }}
{{- $spec = set $spec "imagePullSecrets" . }}
{{- end }}
{{- dict "mirror" $spec "purge" $mirror.purge | toYaml }}
{{- end }}
{{- end }}
