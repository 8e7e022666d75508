{{/* The chart's name. */}}
{{- define "memorybank-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The release's name for objects; that of the chart is not repeated in it. Room is left for suffixes. */}}
{{- define "memorybank-operator.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* The name of what belongs to the cluster: two releases of one name may live in two namespaces. */}}
{{- define "memorybank-operator.clustername" -}}
{{- printf "%s-%s" .Release.Namespace (include "memorybank-operator.fullname" .) }}
{{- end }}

{{- define "memorybank-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "memorybank-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "memorybank-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "memorybank-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "memorybank-operator.serviceAccountName" -}}
{{- default (include "memorybank-operator.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{/* The image, of the operator and of its Jobs: a digest wins over a tag. */}}
{{- define "memorybank-operator.image" -}}
{{- with .Values.image }}
{{- if .digest }}
{{- printf "%s@%s" .repository .digest }}
{{- else }}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) }}
{{- end }}
{{- end }}
{{- end }}

{{/* The claim of the SQLite store. */}}
{{- define "memorybank-operator.claimName" -}}
{{- default (printf "%s-data" (include "memorybank-operator.fullname" .)) .Values.store.persistence.existingClaim }}
{{- end }}

{{/* The Secret in which the operator keeps the certificate of its ingest. */}}
{{- define "memorybank-operator.ingestSecretName" -}}
{{- printf "%s-ingest" (include "memorybank-operator.fullname" .) }}
{{- end }}

{{/* The labels of the pods of Jobs: the operator sets them, the NetworkPolicy and the PodMonitor meet them. */}}
{{- define "memorybank-operator.runnerLabels" -}}
app.kubernetes.io/name: memorybank
app.kubernetes.io/component: runner
{{- end }}

{{- define "memorybank-operator.subject" -}}
- kind: ServiceAccount
  name: {{ include "memorybank-operator.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}
