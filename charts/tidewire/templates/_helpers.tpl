{{- define "tidewire.labels" -}}
app.kubernetes.io/name: tidewire-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: tidewire
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "tidewire.selector" -}}
app.kubernetes.io/name: tidewire-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tidewire.image" -}}
{{- $tag := .image.tag | default .version -}}
{{ .image.repository }}:{{ $tag }}
{{- end }}

{{/* What the operator does in namespaces with clusters, and nothing else. */}}
{{- define "tidewire.rules" -}}
- apiGroups: [realtime.tidewire.dev]
  resources: [realtimeclusters]
  verbs: [get, list, watch]
- apiGroups: [realtime.tidewire.dev]
  resources: [realtimeclusters/status]
  verbs: [patch]
# Children: created and kept current by patch, deleted when no longer wanted.
- apiGroups: [""]
  resources: [configmaps, serviceaccounts, services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# Keys: generated once, read by reference, never deleted.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch]
# Revisions to go back to.
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [list]
# Nodes: counted, and told of new live options by an annotation.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch]
# Volumes of NATS: checked before they are used, grown when asked.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
