{{/* What the operator may do with the objects that it watches: in the whole cluster, or in each watched namespace. */}}
{{- define "memorybank-operator.rules" -}}
# What people declare. The operator reads it and never changes a spec.
- apiGroups: [memorybank.dev]
  resources: [memorybanks, maintenancepolicies, integritychecks, securityaudits]
  verbs: [get, list, watch]
# Recoveries are made for damage where a policy has a rule for it, and the old ones of those deleted. None is changed.
- apiGroups: [memorybank.dev]
  resources: [recoveries]
  verbs: [get, list, watch, create, delete]
# Runs are made for slots, checks, audits and recoveries, and deleted by the history limits.
- apiGroups: [memorybank.dev]
  resources: [maintenanceruns]
  verbs: [get, list, watch, create, delete]
# Conditions, findings and schedules are told in the status.
- apiGroups: [memorybank.dev]
  resources:
  - memorybanks/status
  - maintenancepolicies/status
  - maintenanceruns/status
  - integritychecks/status
  - securityaudits/status
  - recoveries/status
  verbs: [patch]
# Owner references with blockOwnerDeletion, where the cluster enforces permission for them (OpenShift does).
- apiGroups: [memorybank.dev]
  resources:
  - memorybanks/finalizers
  - maintenanceruns/finalizers
  - integritychecks/finalizers
  - securityaudits/finalizers
  - recoveries/finalizers
  verbs: [update]
# One Job for each run; a run that is cancelled or replaced takes its Job with it.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
# Why a run does not start or has ended: the pod's state. And the pod that has a claim says which node a Job goes to.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
# Whether a bank's claims exist, are bound, and how they may be shared.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch]
# What happened is told at the object; an event that repeats is counted up, so the earlier ones are looked for.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [list, create, patch]
{{- end }}

{{/* What scales the workload of a bank, and nothing else of it. */}}
{{- define "memorybank-operator.scale" -}}
# Which workloads have pods with the labels that a bank's spec.workload.selector names.
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [list]
# How many replicas each has; to none while a recovery changes the bank, and back. Nothing else of it can be changed.
- apiGroups: [apps]
  resources: [deployments/scale, statefulsets/scale]
  verbs: [get, patch]
{{- end }}
