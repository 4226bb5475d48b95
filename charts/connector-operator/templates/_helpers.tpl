{{- define "connector-operator.labels" -}}
app.kubernetes.io/part-of: connector-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- /* A setting as the operator reads it: lists with commas, whole numbers without an exponent. */ -}}
{{- define "connector-operator.text" -}}
{{- if kindIs "slice" . }}{{ join "," . }}{{ else if kindIs "float64" . }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}

{{- /* Of all that the Job for the custom resource definitions needs; only a Job that failed is left, for its log. */ -}}
{{- define "connector-operator.crds-hook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{- define "connector-operator.crds-role" -}}
{{ printf "connector-operator-crds-%s" .Release.Namespace | trunc 200 }}
{{- end -}}
