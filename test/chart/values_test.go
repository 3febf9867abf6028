package chart

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/jsonpath"
	"sigs.k8s.io/yaml"
)

// expect is the text at a JSONPath of an object, as kubectl prints it. An empty path expects that the object does not exist.
type expect struct{ object, path, text string }

// row has some values of the chart, and what is expected of their rendering.
type row struct {
	reason, values string
	want           []expect
}

const (
	manager = "Deployment/nfo-manager"
	// container is the JSONPath of a Deployment's container, without the brace at its end.
	container = "{.spec.template.spec.containers[0]"
)

// placesSum is the checksum of the list of places in the row Places.
const placesSum = "9c6623f305acb5afb27c0feb5ea5354a8e9a3185c8d35fcf6681223d68bfe1e0"

func TestValues(t *testing.T) {
	t.Parallel()
	undescribed := documented(t)
	rows := map[string]row{
		"Small": {"one replica needs neither a budget nor a node of its own", "", []expect{
			{manager, "{.spec.replicas}", "1"},
			{manager, container + ".resources}", `{"limits":{"memory":"768Mi"},"requests":{"cpu":"50m","memory":"96Mi"}}`},
			{manager, container + ".env}", `[{"name":"NFO_CONTAINER_MEMORY","valueFrom":{"resourceFieldRef":{"resource":"limits.memory"}}}]`},
			{manager, container + ".args}", `["manager","--namespace=operators","--leader-election-namespace=operators","--purger-image=registry.example.com:5000/nfo:0.1.0","--purger-requests=cpu=50m,memory=64Mi","--purger-limits=cpu=1,memory=512Mi","--registry-polls-per-second=5","--chart-cpu=10s","--chart-memory=384Mi"]`},
			{manager, "{.spec.template.spec.affinity}{.spec.template.spec.topologySpreadConstraints}", ""},
			{"PodDisruptionBudget/nfo-manager", "", ""},
			{"NetworkPolicy/nfo-manager", "", ""},
			{registry, "", ""},
			{"PersistentVolumeClaim/nfo-registry", "", ""},
			{"ClusterRole/nfo-registry", "", ""},
			{"ServiceMonitor/nfo-manager", "", ""},
			{"PrometheusRule/nfo-manager", "", ""},
			{"Certificate/nfo-webhooks", "", ""},
			{"Namespace/nfo-system", "", ""},
		}},
		"Medium": {"a node and a zone can go", "scale: medium", []expect{
			{manager, "{.spec.replicas}", "2"},
			{manager, container + ".resources}", `{"limits":{"memory":"1Gi"},"requests":{"cpu":"200m","memory":"256Mi"}}`},
			{manager, container + ".args[6]}", "--registry-polls-per-second=10"},
			{manager, container + ".args[7]} {" + container[1:] + ".args[8]}", "--chart-cpu=30s --chart-memory=448Mi"},
			{manager, "{.spec.template.spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.topologyKey}", "kubernetes.io/hostname"},
			{manager, "{.spec.template.spec.topologySpreadConstraints[0].topologyKey}", "topology.kubernetes.io/zone"},
			{"PodDisruptionBudget/nfo-manager", "{.spec.maxUnavailable}", "1"},
		}},
		"Loopback": {"the manager hands it to purges", "allowLoopbackRegistries: true", []expect{
			{manager, container + ".args[9]}", "--allow-loopback-registries"},
		}},
		"Proxy": {"the API server and Services are not behind it", "proxy: {httpsProxy: \"http://proxy.example.com:3128\", noProxy: [.example.com, 10.0.0.0/8]}", []expect{
			{manager, container + ".env[1:]}", `{"name":"HTTPS_PROXY","value":"http://proxy.example.com:3128"} {"name":"NO_PROXY","value":"$(KUBERNETES_SERVICE_HOST),.svc,.cluster.local,.example.com,10.0.0.0/8"}`},
		}},
		"ProxyOfAll": {"the cluster's own registry is not behind it", "{proxy: {httpProxy: \"http://p:1\"}, registry: {enabled: true, host: \"[fd00::1]:5000\"}, mirror: {enabled: true}}", []expect{
			{manager, container + ".env[1:]}", `{"name":"HTTP_PROXY","value":"http://p:1"} {"name":"NO_PROXY","value":"$(KUBERNETES_SERVICE_HOST),.svc,.cluster.local,fd00::1"}`},
			{registry, container + ".env[1:].name}", "HTTP_PROXY NO_PROXY"},
			{"DaemonSet/nfo-agent", container + ".env[1:].name}", "HTTP_PROXY NO_PROXY"},
		}},
		"Watched": {"the manager acts in them alone", "watchNamespaces: [default]", []expect{
			{manager, container + ".args[9]}", "--watch-namespaces=default"},
			{"RoleBinding/nfo-manager-watched", "{.roleRef.kind} {.roleRef.name} {.subjects[0].namespace} {.subjects[0].name}", "ClusterRole nfo-manager-watched operators nfo-manager"},
			{"ClusterRoleBinding/nfo-manager-watched", "", ""},
			{"ClusterRoleBinding/nfo-manager", "{.roleRef.name}", "nfo-manager"},
		}},
		"NoWorkloads": {"nobody reads what runs by itself", "", []expect{
			{"ClusterRole/nfo-workloads", "{.metadata.name}", "nfo-workloads"},
			{"ClusterRoleBinding/nfo-workloads", "", ""},
			{"ClusterRoleBinding/nfo-workloads-scope", "", ""},
		}},
		"Workloads": {"the manager, and the purges of named stores", "workloads: {enabled: true, purgers: [{namespace: publisher, store: acme}]}", []expect{
			{"ClusterRoleBinding/nfo-workloads", "{.roleRef.name} {.subjects[*].namespace} {.subjects[*].name}", "nfo-workloads operators publisher nfo-manager acme-purge"},
			{"ClusterRoleBinding/nfo-workloads-scope", "{.roleRef.name} {.subjects[*].name}", "nfo-workloads-scope nfo-manager acme-purge"},
		}},
		"WorkloadsOfSome": {"in some namespaces, and Helm's records in others", "workloads: {enabled: true, namespaces: [default], helmReleases: [default]}", []expect{
			{"ClusterRoleBinding/nfo-workloads", "", ""},
			{"ClusterRoleBinding/nfo-workloads-scope", "{.subjects[*].name}", "nfo-manager"},
			{"RoleBinding/nfo-workloads", "{.roleRef.kind} {.roleRef.name} {.subjects[*].name}", "ClusterRole nfo-workloads nfo-manager"},
			{"RoleBinding/nfo-workloads-helm", "{.roleRef.name} {.subjects[*].namespace}", "nfo-workloads-helm operators"},
		}},
		"NoMirrorPurger": {"nobody reads what runs, or deletes Artifacts", "", []expect{
			{"ClusterRole/nfo-mirror-purger", "", ""},
			{"ClusterRoleBinding/nfo-mirror-purger", "", ""},
			{"ClusterRoleBinding/nfo-mirror-workloads", "", ""},
		}},
		"MirrorPurger": {"the manager reads which images are used, and so does the purge of the mirror, which alone deletes Artifacts", "mirror: {enabled: true}\nregistry: {enabled: true}", []expect{
			{"ClusterRole/nfo-mirror-purger", "{.rules[*].resources}", `["artifacts"] ["artifacts/status"]`},
			{"ClusterRoleBinding/nfo-mirror-purger", "{.roleRef.name} {.subjects[*].namespace} {.subjects[*].name}", "nfo-mirror-purger operators mirror-purge"},
			{"ClusterRoleBinding/nfo-mirror-workloads", "{.roleRef.name} {.subjects[*].name}", "nfo-workloads nfo-manager mirror-purge"},
			{"ClusterRoleBinding/nfo-mirror-workloads-scope", "{.roleRef.name} {.subjects[*].name}", "nfo-workloads-scope nfo-manager mirror-purge"},
		}},
		"PlainPaths": {"for tools that undo changes", "webhooks: {secretPaths: false}", []expect{
			{manager, container + ".args[9]}", "--webhook-secret-paths=false"},
		}},
		"NoPlaces": {"every namespace may use every place", "", []expect{
			{"ConfigMap/nfo-places", "", ""},
			{manager, "{.spec.template.metadata.annotations}{.spec.template.spec.volumes}", ""},
		}},
		"Places": {"a list, and a manager that starts anew when it changes", "places: {list: [{registry: registry.example.com/acme, namespaces: [acme]}, {registry: closed.example.com}]}\npodAnnotations: {note: here}", []expect{
			{"ConfigMap/nfo-places", `{.data.places\.yaml}`, "default: Allow\nplaces:\n- namespaces:\n  - acme\n  registry: registry.example.com/acme\n- registry: closed.example.com\n"},
			{manager, container + ".args[9]}", "--places=/places/places.yaml"},
			{manager, container + ".volumeMounts}", `[{"mountPath":"/places","name":"places","readOnly":true}]`},
			{manager, "{.spec.template.spec.volumes}", `[{"configMap":{"name":"nfo-places"},"name":"places"}]`},
			{manager, `{.spec.template.metadata.annotations.note} {.spec.template.metadata.annotations.nfo\.dev/places}`, "here " + placesSum},
		}},
		"PlacesDenied": {"only what is listed", "places: {default: Deny}\ncertificate: {mode: certManager}", []expect{
			{"ConfigMap/nfo-places", `{.data.places\.yaml}`, "default: Deny\nplaces: []\n"},
			{manager, container + ".volumeMounts[*].name} {.spec.template.spec.volumes[*].name}", "certificate places certificate places"},
		}},
		"Large": {"more of all", "scale: large", []expect{
			{manager, "{.spec.replicas}", "2"},
			{manager, container + ".resources}", `{"limits":{"memory":"4Gi"},"requests":{"cpu":"500m","memory":"1Gi"}}`},
			{manager, container + ".args[6]}", "--registry-polls-per-second=20"},
			{manager, container + ".args[7]} {" + container[1:] + ".args[8]}", "--chart-cpu=60s --chart-memory=1Gi"},
		}},
		"OverScale": {"what is said goes before the scale", "scale: large\nreplicas: 1\nresources: {limits: {memory: 300Mi}}\npollsPerSecond: 0.5\nchartSeconds: 25\nchartMemory: 2Gi", []expect{
			{manager, "{.spec.replicas}", "1"},
			{manager, container + ".resources}", `{"limits":{"memory":"300Mi"}}`},
			{manager, container + ".args[6]}", "--registry-polls-per-second=0.5"},
			{manager, container + ".args[7]} {" + container[1:] + ".args[8]}", "--chart-cpu=25s --chart-memory=2Gi"},
			{"PodDisruptionBudget/nfo-manager", "", ""},
		}},
		"NoBudget": {"somebody else has one", "replicas: 3\npodDisruptionBudget: {enabled: false}", []expect{
			{manager, "{.spec.replicas}", "3"},
			{"PodDisruptionBudget/nfo-manager", "", ""},
		}},
		"Image": {"the purge jobs and the hooks run the manager's", "image: {tag: v2, digest: sha256:" + digest + ", pullPolicy: Always}\nimagePullSecrets: [{name: login}]", []expect{
			{manager, container + ".image}", "registry.example.com:5000/nfo:v2@sha256:" + digest},
			{manager, container + ".args[3]}", "--purger-image=registry.example.com:5000/nfo:v2@sha256:" + digest},
			{manager, container + ".imagePullPolicy}", "Always"},
			{manager, "{.spec.template.spec.imagePullSecrets[*].name}", "login"},
			{"Job/nfo-remover", container + ".image}", "registry.example.com:5000/nfo:v2@sha256:" + digest},
			{"Job/nfo-remover", "{.spec.template.spec.imagePullSecrets[*].name}", "login"},
			{"Pod/nfo-checker", "{.spec.containers[0].image}", "registry.example.com:5000/nfo:v2@sha256:" + digest},
			{"Pod/nfo-checker", "{.spec.containers[0].imagePullPolicy}", "Always"},
		}},
		"PurgeResources": {"what a ResourceQuota of the stores' namespaces asks for", "purge: {resources: {requests: {memory: 32Mi, cpu: null}, limits: {cpu: 0.5, memory: 1073741824, ephemeral-storage: 1Gi}}}", []expect{
			{manager, container + ".args[4]}", "--purger-requests=memory=32Mi"},
			{manager, container + ".args[5]}", "--purger-limits=cpu=0.5,ephemeral-storage=1Gi,memory=1.073741824e+09"},
		}},
		"NoPurgeResources": {"purges take what they get", "purge: {resources: {requests: null, limits: {cpu: null, memory: null}}}", []expect{
			{manager, container + ".args[4]}", "--purger-requests="},
			{manager, container + ".args[5]}", "--purger-limits="},
		}},
		"Placement": {"nodes for what a cluster needs", "nodeSelector: {pool: control}\ntolerations: [{key: control, operator: Exists}]\npriorityClassName: system-cluster-critical\nreplicas: 2\n" +
			"affinity: {nodeAffinity: {}}\ntopologySpreadConstraints: [{maxSkew: 2, topologyKey: rack, whenUnsatisfiable: DoNotSchedule}]", []expect{
			{manager, "{.spec.template.spec.nodeSelector}", `{"kubernetes.io/os":"linux","pool":"control"}`},
			{manager, "{.spec.template.spec.tolerations}", `[{"key":"control","operator":"Exists"}]`},
			{manager, "{.spec.template.spec.priorityClassName}", "system-cluster-critical"},
			{manager, "{.spec.template.spec.affinity}", `{"nodeAffinity":{}}`},
			{manager, "{.spec.template.spec.topologySpreadConstraints[*].topologyKey}", "rack"},
			{"Job/nfo-remover", "{.spec.template.spec.nodeSelector.pool}{.spec.template.spec.tolerations[0].key}", "controlcontrol"},
			{"Pod/nfo-checker", "{.spec.nodeSelector.pool}{.spec.tolerations[0].key}", "controlcontrol"},
		}},
		"Labels": {"ours are not overwritten, for by them all is found", "commonLabels: {team: core, app.kubernetes.io/name: other}\npodLabels: {mesh: none, app.kubernetes.io/component: other}\npodAnnotations: {note: here}", []expect{
			{manager, `{.metadata.labels.team} {.metadata.labels.app\.kubernetes\.io/name}`, "core nfo"},
			{manager, `{.spec.template.metadata.labels.team} {.spec.template.metadata.labels.mesh} {.spec.template.metadata.labels.app\.kubernetes\.io/component}`, "core none manager"},
			{manager, "{.spec.template.metadata.annotations.note}", "here"},
			{manager, "{.spec.selector.matchLabels}", `{"app.kubernetes.io/component":"manager","app.kubernetes.io/name":"nfo"}`},
			{"CustomResourceDefinition/tombstones.nfo.dev", "{.metadata.labels.team}", "core"},
			{"ClusterRole/nfo-manager", "{.metadata.labels.team}", "core"},
			{"ValidatingWebhookConfiguration/nfo-validating", "{.metadata.labels.team}", "core"},
		}},
		"NoCRDs": {"somebody else installs them", "crds: {install: false}", []expect{
			{"CustomResourceDefinition/artifactstores.nfo.dev", "", ""},
			{"CustomResourceDefinition/tombstones.nfo.dev", "", ""},
		}},
		"CRDs": {"with them objects would go that people made", "", []expect{
			{"CustomResourceDefinition/artifactstores.nfo.dev", `{.metadata.annotations.helm\.sh/resource-policy}`, "keep"},
			{"CustomResourceDefinition/tombstones.nfo.dev", `{.metadata.annotations.helm\.sh/resource-policy}`, "keep"},
		}},
		"SelfCertificate": {"the manager makes it and tells the API server", "", []expect{
			{manager, "{.spec.template.spec.volumes}", ""},
			{"ValidatingWebhookConfiguration/nfo-validating", "{.metadata.annotations}", ""},
		}},
		"CertManager": {"the authority stays when the leaf is renewed", "certificate: {mode: certManager}", []expect{
			{manager, container + ".args[9]}", "--webhook-cert-dir=/certificate"},
			{manager, container + ".volumeMounts[0].mountPath} {.spec.template.spec.volumes[0].name}", "/certificate certificate"},
			{manager, "{.spec.template.spec.volumes[0].secret.secretName}", "nfo-webhook-issued"},
			{"Certificate/nfo-webhooks", "{.spec.secretName} {.spec.dnsNames[0]}", "nfo-webhook-issued nfo-webhooks.operators.svc"},
			{"Certificate/nfo-webhooks", "{.spec.issuerRef}", `{"kind":"Issuer","name":"nfo-webhook-authority"}`},
			{"Issuer/nfo-webhook-authority", "{.spec.ca.secretName}", "nfo-webhook-authority"},
			{"Certificate/nfo-webhook-authority", "{.spec.isCA} {.spec.secretName} {.spec.issuerRef.name}", "true nfo-webhook-authority nfo-selfsigned"},
			{"Issuer/nfo-selfsigned", "{.spec.selfSigned}", "{}"},
			{"ValidatingWebhookConfiguration/nfo-validating", `{.metadata.annotations.cert-manager\.io/inject-ca-from}`, "operators/nfo-webhooks"},
		}},
		"Issuer": {"the authority is the company's", "certificate: {mode: certManager, issuerRef: {name: ca, kind: ClusterIssuer}}", []expect{
			{"Certificate/nfo-webhooks", "{.spec.issuerRef}", `{"kind":"ClusterIssuer","name":"ca"}`},
			{"Certificate/nfo-webhook-authority", "", ""},
			{"Issuer/nfo-selfsigned", "", ""},
		}},
		"WebhookTimeout": {"a slow network", "webhooks: {timeoutSeconds: 9}", []expect{
			{"ValidatingWebhookConfiguration/nfo-validating", "{.webhooks[*].timeoutSeconds}", "9 9 9 9 9"},
			{"ValidatingWebhookConfiguration/nfo-validating", "{.webhooks[*].failurePolicy}", "Fail Fail Fail Fail Fail"},
			{"ValidatingWebhookConfiguration/nfo-validating", "{.webhooks[*].clientConfig.service.namespace}", "operators operators operators operators operators"},
		}},
		"ServiceMonitor": {"the namespace of a metric is its store's", "metrics: {serviceMonitor: {enabled: true, interval: 1m, labels: {release: prometheus}}}", []expect{
			{"ServiceMonitor/nfo-manager", "{.metadata.labels.release} {.spec.endpoints[0].port} {.spec.endpoints[0].interval} {.spec.endpoints[0].honorLabels}", "prometheus metrics 1m true"},
			{"Service/nfo-metrics", "{.spec.ports[0].name}", "metrics"},
			{"PrometheusRule/nfo-manager", "", ""},
		}},
		"Alerts": {"each has a number of its own", "metrics: {prometheusRule: {enabled: true, purgeOverdueHours: 200, storeFullPercent: 70, labels: {release: prometheus}}}", []expect{
			{"PrometheusRule/nfo-manager", "{.metadata.labels.release}", "prometheus"},
			{"PrometheusRule/nfo-manager", "{.spec.groups[0].rules[*].alert}", "NfoNotWorking NfoWebhooksFail NfoReconcileErrors NfoStoreNotReady NfoReleasesFail NfoUndoLost NfoPurgeFailed NfoPurgeUnhealthy NfoPurgeOverdue NfoStoreFull"},
			{"PrometheusRule/nfo-manager", `{.spec.groups[0].rules[?(@.alert=="NfoPurgeOverdue")].expr}`, "time() - nfo_purge_last_success_timestamp_seconds > 200 * 3600"},
			{"PrometheusRule/nfo-manager", `{.spec.groups[0].rules[?(@.alert=="NfoStoreFull")].expr}`, "100 * nfo_store_used_bytes / nfo_store_capacity_bytes > 70"},
			{"PrometheusRule/nfo-manager", `{.spec.groups[0].rules[?(@.alert=="NfoPurgeFailed")].annotations.summary}`, "The last purge of the store {{ $labels.namespace }}/{{ $labels.store }} ended as {{ $labels.outcome }}. " +
				"The condition PurgeHealthy in `kubectl describe artifactstore -n {{ $labels.namespace }} {{ $labels.store }}` says why and what to do."},
		}},
		"FewerAlerts": {"some stores are purged by hand, and others are always full", "metrics: {prometheusRule: {enabled: true, purgeOverdueHours: 0, storeFullPercent: 0}}", []expect{
			{"PrometheusRule/nfo-manager", "{.spec.groups[0].rules[*].alert}", "NfoNotWorking NfoWebhooksFail NfoReconcileErrors NfoStoreNotReady NfoReleasesFail NfoUndoLost NfoPurgeFailed NfoPurgeUnhealthy"},
		}},
		"NoDashboard": {"Grafana may not be there", "", []expect{{"ConfigMap/nfo-dashboard", "", ""}}},
		"Dashboard": {"Grafana's sidecar finds it", "metrics: {dashboard: {enabled: true, labels: {team: core}}}", []expect{
			{"ConfigMap/nfo-dashboard", "{.metadata.namespace} {.metadata.labels.grafana_dashboard} {.metadata.labels.team}", "operators 1 core"},
		}},
		"NetworkPolicy": {"DNS is needed to reach anything", "networkPolicy: {enabled: true, egressPorts: [443, 30500], metricsFrom: [{namespaceSelector: {matchLabels: {name: monitoring}}}]}", []expect{
			{"NetworkPolicy/nfo-manager", "{.spec.podSelector.matchLabels}", `{"app.kubernetes.io/component":"manager","app.kubernetes.io/name":"nfo"}`},
			{"NetworkPolicy/nfo-manager", "{.spec.policyTypes}", `["Ingress","Egress"]`},
			{"NetworkPolicy/nfo-manager", "{.spec.egress[0].ports[*].port}", "53 53 443 30500"},
			{"NetworkPolicy/nfo-manager", "{.spec.egress[0].to}{.spec.ingress[0].from}", ""},
			{"NetworkPolicy/nfo-manager", "{.spec.ingress[0].ports[*].port}", "webhooks probes"},
			{"NetworkPolicy/nfo-manager", "{.spec.ingress[1]}", `{"from":[{"namespaceSelector":{"matchLabels":{"name":"monitoring"}}}],"ports":[{"port":"metrics","protocol":"TCP"}]}`},
		}},
		"Rolling": {"a replica serves before another one ends", "", []expect{
			{manager, "{.spec.strategy}", `{"rollingUpdate":{"maxSurge":1,"maxUnavailable":0},"type":"RollingUpdate"}`},
			{manager, container + ".lifecycle.preStop.sleep.seconds}", "5"},
		}},
		"Remover": {"it comes before anything is deleted, and says why it failed", "", []expect{
			{"Job/nfo-remover", container + ".args}", `["remove","--namespace=operators","--timeout=4m"]`},
			{"Job/nfo-remover", `{.metadata.annotations.helm\.sh/hook} {.metadata.annotations.helm\.sh/hook-weight}`, "pre-delete 0"},
			{"Job/nfo-remover", `{.metadata.annotations.helm\.sh/hook-delete-policy}`, "before-hook-creation,hook-succeeded"},
			{"Job/nfo-remover", "{.spec.activeDeadlineSeconds} {.spec.backoffLimit} {.spec.ttlSecondsAfterFinished} {.spec.template.spec.serviceAccountName}", "600 2 86400 nfo-remover"},
			{"ClusterRoleBinding/nfo-remover", `{.metadata.annotations.helm\.sh/hook} {.metadata.annotations.helm\.sh/hook-weight}`, "pre-delete -1"},
			{"ClusterRoleBinding/nfo-remover", "{.roleRef.kind} {.roleRef.name} {.subjects[0].namespace} {.subjects[0].name}", "ClusterRole nfo-remover operators nfo-remover"},
			{"RoleBinding/nfo-remover", "{.metadata.namespace} {.roleRef.kind} {.roleRef.name} {.subjects[0].name}", "operators Role nfo-remover nfo-remover"},
			{"ServiceAccount/nfo-remover", `{.metadata.namespace} {.metadata.annotations.helm\.sh/hook}`, "operators pre-delete"},
		}},
		"Checker": {"it has rights of its own, while it runs", "", []expect{
			{"Pod/nfo-checker", "{.spec.containers[0].args}", `["check","--namespace=operators","--timeout=1m"]`},
			{"Pod/nfo-checker", `{.metadata.annotations.helm\.sh/hook} {.spec.serviceAccountName}`, "test nfo-checker"},
			{"RoleBinding/nfo-checker", `{.metadata.annotations.helm\.sh/hook} {.roleRef.name} {.subjects[0].name}`, "test nfo-checker nfo-checker"},
			{"ClusterRoleBinding/nfo-checker", `{.metadata.annotations.helm\.sh/hook} {.roleRef.kind} {.roleRef.name} {.subjects[0].namespace} {.subjects[0].name}`, "test ClusterRole nfo-checker operators nfo-checker"},
		}},
		"PartOfAnother": {"the chart above gives global values to all", "global: {registry: example.com}", []expect{{manager, "{.spec.replicas}", "1"}}},
	}
	for _, more := range []map[string]row{registryRows, agentRows, mirrorStoreRows, podRows} {
		for name, tc := range more {
			if _, used := rows[name]; used {
				t.Errorf("two rows have the name %s, and only one of them runs", name)
			}
			rows[name] = tc
		}
	}
	for name, tc := range rows {
		var values map[string]any
		if err := yaml.Unmarshal([]byte(tc.values), &values); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		maps.DeleteFunc(undescribed, func(path string, _ bool) bool {
			// No error: a path through a value that is not a mapping is not found.
			_, found, _ := unstructured.NestedFieldNoCopy(values, strings.Split(path, ".")...)
			return found
		})
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := render(t, tc.values)
			for _, e := range tc.want {
				if got := all.read(t, e); got != e.text {
					t.Errorf("%s: %s has %q at %s, want %q", tc.reason, e.object, got, e.path, e.text)
				}
			}
		})
	}
	delete(undescribed, "image.repository") // every row sets it
	if len(undescribed) > 0 {
		t.Errorf("no row says what these values do: %v", slices.Sorted(maps.Keys(undescribed)))
	}
}

// documented returns the values in the table of the chart's README.md.
func documented(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(folder + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllSubmatch(text, -1) {
		all[string(row[1])] = true
	}
	return all
}

const digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// read returns the text at the path of e. A missing field is read as "".
func (all objects) read(t *testing.T, e expect) string {
	t.Helper()
	o := all[e.object]
	if (o != nil) != (e.path != "") {
		t.Fatalf("%s is there: %t", e.object, o != nil)
	}
	if o == nil {
		return ""
	}
	path := jsonpath.New(e.object).AllowMissingKeys(true)
	if err := path.Parse(e.path); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := path.Execute(&text, o.Object); err != nil {
		t.Fatal(err)
	}
	return text.String()
}
