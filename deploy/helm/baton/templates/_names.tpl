{{- define "baton.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end -}}
{{- end }}

{{- define "baton.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "baton.labels" -}}
{{ include "baton.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "baton.secret" -}}
{{- .Values.livekit.existingSecret | default (include "baton.name" .) }}
{{- end }}

{{- define "baton.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "baton.name" .) }}{{ else }}{{ .Values.serviceAccount.name | default "default" }}{{ end -}}
{{- end }}

{{/* The configuration with what the chart's own values say. */}}
{{- define "baton.config" -}}
{{- $config := deepCopy .Values.config }}
{{- $server := merge (dict "drain_grace_secs" (int .Values.drainGraceSecs)) ($config.server | default dict) }}
{{- $_ := set $config "server" $server }}
{{- if .Values.api.enabled }}
{{- $api := dict "bind" "0.0.0.0:8080" }}
{{- if .Values.api.tokenSecret }}{{ $_ := set $api "token_file" (printf "/etc/baton-api/%s" .Values.api.tokenKey) }}{{ end }}
{{- $_ := set $config "api" $api }}
{{- end }}
{{- toYaml $config }}
{{- end }}
