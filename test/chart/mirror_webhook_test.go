package chart

const podsWebhook = "MutatingWebhookConfiguration/nfo-pods"

// podRows test the webhook that makes pods pull from the mirror, and the manager's rights for it.
var podRows = map[string]row{
	"NoMirrorWebhook": {"no pod is looked at, and the manager may change none", "registry: {enabled: true}", []expect{
		{podsWebhook, "", ""},
		{"ClusterRole/nfo-mirror", "", ""},
		{"ClusterRoleBinding/nfo-mirror", "", ""},
	}},
	"PodsWebhook": {"it never refuses a pod, and looks at none of the operator's", "registry: {enabled: true}\nmirror: {enabled: true}", []expect{
		{podsWebhook, "{.webhooks[*].name} {.webhooks[0].failurePolicy} {.webhooks[0].timeoutSeconds} {.webhooks[0].reinvocationPolicy} {.webhooks[0].sideEffects}", "pods.nfo.dev Ignore 3 IfNeeded NoneOnDryRun"},
		{podsWebhook, "{.webhooks[0].clientConfig.service.namespace} {.webhooks[0].clientConfig.service.path}", "operators /mutate-pods"},
		{podsWebhook, "{.webhooks[0].rules[*].resources}", `["pods"] ["pods/ephemeralcontainers"]`},
		{podsWebhook, "{.webhooks[0].namespaceSelector}", `{"matchExpressions":[{"key":"kubernetes.io/metadata.name","operator":"NotIn","values":["operators"]}]}`},
		{podsWebhook, "{.webhooks[0].matchConditions[*].name}", "not-a-static-pod not-opted-out not-kube-system"},
		{"ClusterRoleBinding/nfo-mirror", "{.roleRef.name} {.subjects[*].namespace} {.subjects[*].name}", "nfo-mirror operators nfo-manager"},
		{"ClusterRoleBinding/nfo-mirror-namespaces", "{.roleRef.name} {.subjects[*].name}", "nfo-mirror-namespaces nfo-manager"},
		{"RoleBinding/nfo-mirror-agents", "{.metadata.namespace} {.roleRef.name} {.subjects[*].name}", "operators nfo-mirror-agents nfo-manager"},
		{"ClusterRole/nfo-mirror", "{.rules[0].resources} {.rules[0].verbs}", `["pods"] ["list","patch"]`},
	}},
	"PodsOfSome": {"selected namespaces, other conditions", `{registry: {enabled: true}, watchNamespaces: [default], certificate: {mode: certManager}, mirror: {enabled: true, namespaceSelector: {matchLabels: {site: a}, matchExpressions: [{key: tier, operator: Exists}]}, webhook: {timeoutSeconds: 2, failurePolicy: Fail, matchConditions: [{name: some, expression: "object.metadata.name != 'x'"}]}}}`, []expect{
		{podsWebhook, "{.webhooks[0].namespaceSelector.matchLabels}", `{"site":"a"}`},
		{podsWebhook, "{.webhooks[0].namespaceSelector.matchExpressions[*].key}", "kubernetes.io/metadata.name tier kubernetes.io/metadata.name"},
		{podsWebhook, "{.webhooks[0].namespaceSelector.matchExpressions[2]}", `{"key":"kubernetes.io/metadata.name","operator":"In","values":["default"]}`},
		{podsWebhook, "{.webhooks[0].failurePolicy} {.webhooks[0].timeoutSeconds} {.webhooks[0].matchConditions[2].name}", "Fail 2 some"},
		{podsWebhook, `{.metadata.annotations.cert-manager\.io/inject-ca-from}`, "operators/nfo-webhooks"},
		{"ClusterRoleBinding/nfo-mirror", "", ""},
		{"RoleBinding/nfo-mirror", "{.metadata.namespace} {.roleRef.name}", "default nfo-mirror"},
		{"RoleBinding/nfo-mirror-agents", "{.metadata.namespace} {.roleRef.name}", "operators nfo-mirror-agents"},
		{"ClusterRoleBinding/nfo-mirror-namespaces", "{.roleRef.name}", "nfo-mirror-namespaces"},
	}},
}
