package chart

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	registry = "Deployment/nfo-registry"
	pod      = "{.spec.template.spec"
	volume   = "PersistentVolumeClaim/nfo-registry"
	// many are the values that more than one replica needs.
	many = "registry: {enabled: true, replicas: 3, persistence: {accessMode: ReadWriteMany, storageClassName: nfs}}"
)

// registryRows test the values of registry.
var registryRows = map[string]row{
	"Registry": {"nothing but a volume is needed", "registry: {enabled: true}", []expect{
		{registry, "{.spec.replicas} {.spec.strategy}", `1 {"type":"Recreate"}`},
		{registry, container + ".args}", `["registry","--root=/var/lib/registry","--bind-address=:5000","--health-probe-bind-address=:8081","--metrics-bind-address=:8080","--namespace=operators","--operators=system:serviceaccount:operators:nfo-manager","--requests=64","--high-water=95","--min-free=1Gi","--grace=1h","--scrub-period=720h","--scrub-bytes-per-second=20971520"]`},
		{registry, container + ".resources}", `{"limits":{"memory":"512Mi"},"requests":{"cpu":"100m","memory":"128Mi"}}`},
		{registry, container + ".env}", `[{"name":"NFO_CONTAINER_MEMORY","valueFrom":{"resourceFieldRef":{"resource":"limits.memory"}}}]`},
		{registry, container + ".startupProbe.httpGet} {" + container[1:] + ".livenessProbe.httpGet} {" + container[1:] + ".readinessProbe.httpGet}", `{"path":"/healthz","port":"probes"} {"path":"/healthz","port":"probes"} {"path":"/readyz","port":"probes"}`},
		{registry, container + ".securityContext}", `{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]},"readOnlyRootFilesystem":true}`},
		{registry, pod + ".securityContext.runAsNonRoot} {" + pod[1:] + ".securityContext.fsGroup} {" + pod[1:] + ".securityContext.fsGroupChangePolicy}", "true 65532 OnRootMismatch"},
		{registry, pod + ".terminationGracePeriodSeconds} {" + pod[1:] + ".serviceAccountName}", "330 nfo-registry"},
		{registry, pod + ".volumes} {" + container[1:] + ".volumeMounts}", `[{"name":"data","persistentVolumeClaim":{"claimName":"nfo-registry"}}] [{"mountPath":"/var/lib/registry","name":"data"}]`},
		{registry, pod + ".affinity}" + pod + ".priorityClassName}" + pod + ".tolerations}", ""},
		{registry, pod + ".nodeSelector}", `{"kubernetes.io/os":"linux"}`},
		{volume, "{.spec}", `{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"20Gi"}}}`},
		{volume, `{.metadata.annotations.helm\.sh/resource-policy}`, "keep"},
		{"Service/nfo-registry", "{.spec}", `{"ports":[{"name":"registry","port":443,"targetPort":"registry"}],"selector":{"app.kubernetes.io/component":"registry","app.kubernetes.io/name":"nfo"},"type":"ClusterIP"}`},
		{"Secret/nfo-registry-uploads", "{.type}{.data}{.stringData}", "Opaque"},
		{"Secret/nfo-registry-certificate", "{.type}{.data}{.stringData}", "Opaque"},
		{"ConfigMap/nfo-registry-ca", "{.metadata.namespace}{.data}", "operators"},
		{"PodDisruptionBudget/nfo-registry", "", ""},
		{"HorizontalPodAutoscaler/nfo-registry", "", ""},
		{"Secret/nfo-registry-storage", "", ""},
		{"Pod/nfo-checker", "{.spec.containers[0].args}", `["check","--namespace=operators","--timeout=1m","--registry"]`},
		{"NetworkPolicy/nfo-registry", "", ""},
		{"ServiceMonitor/nfo-registry", "", ""},
	}},
	"RegistryRights": {"it may create no Secret, since that right cannot be limited by name", "registry: {enabled: true}", []expect{
		{"Role/nfo-registry", "{.metadata.namespace} {.rules[*].resources} {.rules[*].resourceNames} {.rules[*].verbs}", `operators ["configmaps"] ["secrets"] ["nfo-registry-ca"] ["nfo-agent-certificate","nfo-registry-certificate","nfo-registry-uploads"] ["get","patch"] ["get","update"]`},
		{"ClusterRole/nfo-registry", "{.rules[*].resources} {.rules[*].verbs}", `["tokenreviews"] ["subjectaccessreviews"] ["artifactmanifests","artifactstores"] ["create"] ["create"] ["list","watch"]`},
		{"RoleBinding/nfo-registry", "{.roleRef.kind} {.roleRef.name} {.subjects}", `Role nfo-registry [{"kind":"ServiceAccount","name":"nfo-registry","namespace":"operators"}]`},
		{"ClusterRoleBinding/nfo-registry", "{.roleRef.kind} {.roleRef.name} {.subjects}", `ClusterRole nfo-registry [{"kind":"ServiceAccount","name":"nfo-registry","namespace":"operators"}]`},
		{"ServiceAccount/nfo-registry", "{.metadata.namespace}", "operators"},
	}},
	"RegistryOfTheManager": {"it reaches the registry with a token for it alone, and trusts the registry's authority", "registry: {enabled: true}", []expect{
		{manager, container + ".args[9]} {" + container[1:] + ".args[10]} {" + container[1:] + ".args[11]}", "--cluster-registry=nfo-registry.operators.svc --cluster-registry-ca=/registry/ca.crt --cluster-registry-token=/registry/token"},
		{manager, container + ".volumeMounts}", `[{"mountPath":"/registry","name":"registry","readOnly":true}]`},
		{manager, pod + ".volumes}", `[{"name":"registry","projected":{"sources":[{"serviceAccountToken":{"audience":"nfo-registry","expirationSeconds":3600,"path":"token"}},{"configMap":{"items":[{"key":"ca.crt","path":"ca.crt"}],"name":"nfo-registry-ca","optional":true}}]}}]`},
	}},
	"RegistryMedium": {"requests, limits and concurrency go together", "registry: {enabled: true, scale: medium}", []expect{
		{registry, container + ".args[7]} {" + container[1:] + ".resources}", `--requests=256 {"limits":{"memory":"1Gi"},"requests":{"cpu":"250m","memory":"512Mi"}}`},
	}},
	"RegistryLarge": {"the same", "registry: {enabled: true, scale: large}", []expect{
		{registry, container + ".args[7]} {" + container[1:] + ".resources}", `--requests=1024 {"limits":{"memory":"4Gi"},"requests":{"cpu":"1","memory":"1Gi"}}`},
	}},
	"RegistryOverScale": {"what is set goes before the scale", "registry: {enabled: true, scale: large, requests: 16, resources: {limits: {memory: 2Gi}}}", []expect{
		{registry, container + ".args[7]} {" + container[1:] + ".resources}", `--requests=16 {"limits":{"memory":"2Gi"}}`},
	}},
	"RegistryReplicas": {"a node can go, and an upgrade interrupts nothing", many, []expect{
		{registry, "{.spec.replicas} {.spec.strategy}", `3 {"rollingUpdate":{"maxSurge":1,"maxUnavailable":0},"type":"RollingUpdate"}`},
		{registry, pod + ".affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm}", `{"labelSelector":{"matchLabels":{"app.kubernetes.io/component":"registry","app.kubernetes.io/name":"nfo"}},"topologyKey":"kubernetes.io/hostname"}`},
		{"PodDisruptionBudget/nfo-registry", "{.spec.maxUnavailable} {.spec.unhealthyPodEvictionPolicy} {.spec.selector.matchLabels}", `1 AlwaysAllow {"app.kubernetes.io/component":"registry","app.kubernetes.io/name":"nfo"}`},
		{"Service/nfo-registry", "{.spec.sessionAffinity}", "ClientIP"},
		{volume, "{.spec.accessModes} {.spec.storageClassName}", `["ReadWriteMany"] nfs`},
	}},
	"RegistryAutoscaling": {"replicas are the fewest, and Helm does not set their number", strings.TrimSuffix(many, "}") + ", autoscaling: {enabled: true, maxReplicas: 8, cpuPercent: 70}}", []expect{
		{registry, "{.spec.replicas}", ""},
		{"HorizontalPodAutoscaler/nfo-registry", "{.spec.scaleTargetRef.name} {.spec.minReplicas} {.spec.maxReplicas} {.spec.metrics[0].resource.target.averageUtilization}", "nfo-registry 3 8 70"},
		{"PodDisruptionBudget/nfo-registry", "{.spec.maxUnavailable}", "1"},
	}},
	"RegistryAutoscalingOfOne": {"what more than one replica needs is there before there is one", "registry: {enabled: true, persistence: {accessMode: ReadWriteMany}, autoscaling: {enabled: true}}", []expect{
		{"HorizontalPodAutoscaler/nfo-registry", "{.spec.minReplicas}", "1"},
		{"Service/nfo-registry", "{.spec.sessionAffinity}", "ClientIP"},
		{"PodDisruptionBudget/nfo-registry", "{.spec.maxUnavailable}", "1"},
	}},
	"RegistryStorage": {"a driver of distribution needs no volume, and any number of replicas", "registry: {enabled: true, replicas: 2, storage: {s3: {bucket: acme, secretkey: hidden}}}", []expect{
		{volume, "", ""},
		{"Secret/nfo-registry-storage", `{.stringData.storage\.yaml}`, "storage:\n  s3:\n    bucket: acme\n    secretkey: hidden\n"},
		{registry, container + ".args}", `["registry","--storage-config=/storage/storage.yaml","--bind-address=:5000","--health-probe-bind-address=:8081","--metrics-bind-address=:8080","--namespace=operators","--operators=system:serviceaccount:operators:nfo-manager","--requests=64"]`},
		{registry, pod + ".volumes} {" + container[1:] + ".volumeMounts}", `[{"name":"storage","secret":{"secretName":"nfo-registry-storage"}}] [{"mountPath":"/storage","name":"storage","readOnly":true}]`},
		{registry, "{.spec.strategy.type}", "RollingUpdate"},
	}},
	"RegistryScrub": {"never, or slowly", "registry: {enabled: true, scrub: {period: \"\", bytesPerSecond: 1000000}}", []expect{
		{registry, container + ".args[11]} {" + container[1:] + ".args[12]}", "--scrub-period=-1s --scrub-bytes-per-second=1000000"},
	}},
	"RegistryAlerts": {"the volume is full, content is corrupt, and nobody serves", "registry: {enabled: true, guard: {highWater: 90}}\nmetrics: {prometheusRule: {enabled: true}}", []expect{
		{"PrometheusRule/nfo-manager", `{.spec.groups[0].rules[?(@.alert=="NfoRegistryNotReady")].expr}`, "absent(nfo_registry_volume_ready == 1)"},
		{"PrometheusRule/nfo-manager", `{.spec.groups[0].rules[?(@.alert=="NfoRegistryFull")].expr}`, "100 * (1 - max(nfo_registry_volume_free_bytes) / max(nfo_registry_volume_bytes)) > 90 or sum(increase(nfo_registry_uploads_refused_total[15m])) > 0"},
		{"PrometheusRule/nfo-manager", `{.spec.groups[0].rules[?(@.alert=="NfoRegistryCorrupt")].expr}`, "sum(increase(nfo_registry_scrub_corrupt_total[6h])) > 0"},
		{"PrometheusRule/nfo-manager", `{.spec.groups[0].rules[?(@.alert=="NfoRegistryUnreadable")].labels.severity}`, "warning"},
	}},
	"MirrorAlerts": {"images cannot be copied", "{" + mirrorOn + "}, metrics: {prometheusRule: {enabled: true}}}", []expect{
		{"PrometheusRule/nfo-manager", `{.spec.groups[0].rules[?(@.alert=="NfoMirrorFails")].expr}`, `nfo_store_artifacts{state="Failed"} > 0`},
	}},
	"RegistryNoBudget": {"somebody else has one", many + "\npodDisruptionBudget: {enabled: false}", []expect{{"PodDisruptionBudget/nfo-registry", "", ""}}},
	"RegistryVolume": {"Helm deletes it", "registry: {enabled: true, persistence: {size: 1.5Ti, retain: false, accessMode: ReadWriteOncePod}}", []expect{
		{volume, "{.spec.resources.requests.storage} {.spec.accessModes}{.metadata.annotations}", `1.5Ti ["ReadWriteOncePod"]`},
	}},
	"RegistryClaim": {"the volume is somebody else's", "registry: {enabled: true, persistence: {existingClaim: data}}", []expect{
		{volume, "", ""},
		{registry, pod + ".volumes[0].persistentVolumeClaim.claimName}", "data"},
	}},
	"RegistryGuard": {"a small volume, and pushes that take long", "registry: {enabled: true, guard: {highWater: 80.5, minFree: 100Mi}, collection: {grace: 4h30m, untagged: true}, anonymousPull: true}", []expect{
		{registry, container + ".args[8]} {" + container[1:] + ".args[9]} {" + container[1:] + ".args[10]} {" + container[1:] + ".args[11]} {" + container[1:] + ".args[12]}", "--high-water=80.5 --min-free=100Mi --grace=4h30m --collect-untagged --anonymous-pull"},
	}},
	"RegistryHost": {"publishers reach it from outside of the cluster", "registry: {enabled: true, host: \"registry.example.com:8443\", certificate: {names: [192.0.2.7]}, service: {type: LoadBalancer, annotations: {lb: internal}}}", []expect{
		{manager, container + ".args[9]}", "--cluster-registry=registry.example.com:8443"},
		{registry, container + ".args[11]}", "--certificate-names=192.0.2.7,registry.example.com"},
		{"Service/nfo-registry", "{.spec.type} {.metadata.annotations.lb}", "LoadBalancer internal"},
	}},
	"RegistryHostIPv6": {"the brackets are no part of the address", "registry: {enabled: true, host: \"[2001:db8::7]:8443\"}", []expect{
		{registry, container + ".args[11]}", "--certificate-names=2001:db8::7"},
	}},
	"RegistryNodePort": {"a cluster without load balancers", "registry: {enabled: true, service: {type: NodePort, nodePort: 30443, clusterIP: 10.96.0.77}}", []expect{
		{"Service/nfo-registry", "{.spec.type} {.spec.clusterIP} {.spec.ports[0].nodePort}", "NodePort 10.96.0.77 30443"},
	}},
	"RegistryCertificate": {"somebody else renews it, and the manager gets its authority alone", "registry: {enabled: true, certificate: {secretName: issued}}", []expect{
		{registry, container + ".args[11]} {" + container[1:] + ".volumeMounts[1].mountPath} {" + pod[1:] + ".volumes[1].secret.secretName}", "--cert-dir=/certificate /certificate issued"},
		{manager, pod + ".volumes[0].projected.sources[1]}", `{"secret":{"items":[{"key":"ca.crt","path":"ca.crt"}],"name":"issued","optional":true}}`},
		{"Secret/nfo-registry-certificate", "", ""},
		{"ConfigMap/nfo-registry-ca", "", ""},
		{"Secret/nfo-registry-uploads", "{.type}", "Opaque"},
	}},
	"RegistryPlacement": {"nodes with fast disks", "registry: {enabled: true, priorityClassName: system-cluster-critical, nodeSelector: {disk: fast}, tolerations: [{key: disk, operator: Exists}], affinity: {nodeAffinity: {}}}", []expect{
		{registry, pod + ".priorityClassName} {" + pod[1:] + ".nodeSelector} {" + pod[1:] + ".tolerations} {" + pod[1:] + ".affinity}", `system-cluster-critical {"disk":"fast","kubernetes.io/os":"linux"} [{"key":"disk","operator":"Exists"}] {"nodeAffinity":{}}`},
	}},
	"RegistryPolicy": {"publishers and purges reach it alone, and the operator reaches it", "registry: {enabled: true}\nnetworkPolicy: {enabled: true, egressPorts: [443], registryFrom: [{namespaceSelector: {}}], metricsFrom: [{podSelector: {}}]}", []expect{
		{"NetworkPolicy/nfo-registry", "{.spec.podSelector.matchLabels} {.spec.policyTypes}", `{"app.kubernetes.io/component":"registry","app.kubernetes.io/name":"nfo"} ["Ingress","Egress"]`},
		{"NetworkPolicy/nfo-registry", "{.spec.ingress}", `[{"ports":[{"port":"probes","protocol":"TCP"}]},{"from":[{"namespaceSelector":{}}],"ports":[{"port":"registry","protocol":"TCP"}]},{"from":[{"podSelector":{}}],"ports":[{"port":"metrics","protocol":"TCP"}]}]`},
		{"NetworkPolicy/nfo-registry", "{.spec.egress[*].ports[*].port}", "53 53 443"},
		{"NetworkPolicy/nfo-manager", "{.spec.egress[1]}", `{"ports":[{"port":"registry","protocol":"TCP"}],"to":[{"podSelector":{"matchLabels":{"app.kubernetes.io/component":"registry","app.kubernetes.io/name":"nfo"}}}]}`},
	}},
	"RegistryMonitor": {"it has metrics of its own, which the Service that clients reach has not", "registry: {enabled: true}\nmetrics: {serviceMonitor: {enabled: true, labels: {release: prometheus}}}", []expect{
		{"ServiceMonitor/nfo-registry", "{.spec.selector.matchLabels} {.metadata.labels.release}", `{"app.kubernetes.io/component":"registry-metrics","app.kubernetes.io/name":"nfo"} prometheus`},
		{"Service/nfo-registry-metrics", "{.spec.selector} {.spec.ports[0].name}", `{"app.kubernetes.io/component":"registry","app.kubernetes.io/name":"nfo"} metrics`},
	}},
}

// TestRegistryChangesNothingElse compares every object with and without
// the registry. Only the manager's Deployment and the check may differ.
func TestRegistryChangesNothingElse(t *testing.T) {
	t.Parallel()
	without, with := render(t, ""), render(t, many)
	for name, want := range without {
		if name == manager || name == "Pod/nfo-checker" { // the check includes the registry
			continue
		}
		if diff := cmp.Diff(want, with[name]); diff != "" {
			t.Errorf("%s (-without +with):\n%s", name, diff)
		}
	}
	maps.DeleteFunc(with, func(name string, _ *unstructured.Unstructured) bool { return without[name] != nil })
	want := []string{
		"ClusterRole/nfo-registry", "ClusterRoleBinding/nfo-registry", "ConfigMap/nfo-registry-ca", registry, volume, "PodDisruptionBudget/nfo-registry",
		"Role/nfo-registry", "RoleBinding/nfo-registry", "Secret/nfo-registry-certificate", "Secret/nfo-registry-uploads",
		"Service/nfo-registry", "Service/nfo-registry-metrics", "ServiceAccount/nfo-registry",
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(with))); diff != "" {
		t.Errorf("what comes with the registry (-want +got):\n%s", diff)
	}
	for name, o := range with {
		if labels := o.GetLabels(); labels["app.kubernetes.io/name"] != "nfo" || labels["app.kubernetes.io/managed-by"] != "Helm" {
			t.Errorf("%s has the labels %v", name, labels)
		}
	}
}
