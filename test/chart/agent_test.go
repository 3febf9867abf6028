package chart

const (
	agent = "DaemonSet/nfo-agent"
	// mirrored are the values that a mirror needs, up to its further settings.
	mirrored = "registry: {enabled: true}\nmirror: {enabled: true"
)

// agentRows test the values mirror.nodeAccess and mirror.agent.
var agentRows = map[string]row{
	"Agent": {"it writes nothing on the node, has no right in the cluster, and runs on every node", mirrored + "}", []expect{
		{agent, container + ".args}", `["agent","--port=7439","--registry=nfo-registry-replicas.operators.svc:5000","--registry-name=nfo-registry.operators.svc","--health-probe-bind-address=127.0.0.1:7440","--node-access=Agent"]`},
		{agent, pod + ".hostNetwork} {" + pod[1:] + ".dnsPolicy} {" + pod[1:] + ".tolerations} {" + pod[1:] + ".priorityClassName} {" + pod[1:] + ".nodeSelector}", `true ClusterFirstWithHostNet [{"operator":"Exists"}] system-node-critical {"kubernetes.io/os":"linux"}`},
		{agent, pod + ".securityContext} {" + container[1:] + ".securityContext}", `{"runAsGroup":65532,"runAsNonRoot":true,"runAsUser":65532,"seccompProfile":{"type":"RuntimeDefault"}} {"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]},"readOnlyRootFilesystem":true}`},
		{agent, pod + ".volumes}", `[{"name":"registry","projected":{"sources":[{"configMap":{"items":[{"key":"ca.crt","path":"ca.crt"}],"name":"nfo-registry-ca","optional":true}}]}},{"name":"client","secret":{"optional":true,"secretName":"nfo-agent-certificate"}}]`},
		{agent, container + ".livenessProbe.httpGet} {" + container[1:] + ".readinessProbe.httpGet} {" + container[1:] + ".ports}", `{"host":"127.0.0.1","path":"/healthz","port":7440} {"host":"127.0.0.1","path":"/readyz","port":7440} `},
		{agent, container + ".resources} {.spec.updateStrategy.rollingUpdate.maxUnavailable}", `{"limits":{"memory":"192Mi"},"requests":{"cpu":"20m","memory":"64Mi"}} 10%`},
		{agent, pod + ".serviceAccountName} {" + pod[1:] + ".automountServiceAccountToken}", "nfo-agent false"},
		{"ServiceAccount/nfo-agent", "{.automountServiceAccountToken}", "false"},
		{"Service/nfo-registry-replicas", "{.spec}", `{"clusterIP":"None","ports":[{"name":"registry","port":5000,"targetPort":"registry"}],"selector":{"app.kubernetes.io/component":"registry","app.kubernetes.io/name":"nfo"}}`},
		{"Secret/nfo-agent-certificate", "{.type}{.data}{.stringData}", "Opaque"},
		{registry, container + ".args[-1:]}", "--agents"},
	}},
	"AgentNone": {"without a mirror nodes are left alone", "registry: {enabled: true}", []expect{{agent, "", ""}, {"Secret/nfo-agent-certificate", "", ""}, {"Service/nfo-registry-replicas", "", ""}, {registry, container + ".args[-1:]}", "--scrub-bytes-per-second=20971520"}}},
	"AgentNodePort": {"the runtime needs none", "registry: {enabled: true, anonymousPull: true, service: {type: NodePort, nodePort: 30500}}\nmirror: {enabled: true, nodeAccess: NodePort}", []expect{
		{agent, "", ""}, {"Secret/nfo-agent-certificate", "", ""}, {registry, container + ".args[-1:]}", "--scrub-bytes-per-second=20971520"},
	}},
	"AgentClusterIP": {"the runtime trusts the Service, whose address is in the certificate, by files that only root may write", "registry: {enabled: true, service: {clusterIP: 10.96.0.77}}\nmirror: {enabled: true, nodeAccess: ClusterIP, agent: {containerdFolder: /var/lib/rancher/k3s/agent/etc/containerd}}", []expect{
		{agent, container + ".args[2]} {" + container[1:] + ".args[5]} {" + container[1:] + ".args[6]} {" + container[1:] + ".args[7]} {" + container[1:] + ".args[8]}", "--registry=nfo-registry-replicas.operators.svc:5000,10.96.0.77:443 --node-access=ClusterIP --clean-up --containerd-dir=/var/lib/rancher/k3s/agent/etc/containerd --service-address=10.96.0.77"},
		{agent, pod + ".securityContext.runAsUser} {" + pod[1:] + ".securityContext.runAsNonRoot} {" + container[1:] + ".securityContext.readOnlyRootFilesystem} {" + container[1:] + ".securityContext.capabilities.drop}", `0  true ["ALL"]`},
		{agent, pod + ".volumes[2]} {" + pod[1:] + ".volumes[3]}", `{"hostPath":{"path":"/var/lib/rancher/k3s/agent/etc/containerd","type":"DirectoryOrCreate"},"name":"containerd"} {"hostPath":{"path":"/etc/containers","type":"DirectoryOrCreate"},"name":"containers"}`},
		{agent, container + ".volumeMounts[2]} {" + container[1:] + ".volumeMounts[3]}", `{"mountPath":"/var/lib/rancher/k3s/agent/etc/containerd","name":"containerd"} {"mountPath":"/etc/containers","name":"containers"}`},
		{registry, container + ".args[11]} {" + container[1:] + ".args[-1:]}", "--certificate-names=10.96.0.77 --agents"},
	}},
	"AgentRuntimeMirror": {"the runtime asks the agent first", mirrored + ", nodeAccess: RuntimeMirror, agent: {port: 7000, probePort: 7001, hosts: [docker.io, \"registry.example.com:5000\"]}}", []expect{
		{agent, container + ".args[1]} {" + container[1:] + ".args[4]} {" + container[1:] + ".args[8]}", "--port=7000 --health-probe-bind-address=127.0.0.1:7001 --mirror-hosts=docker.io,registry.example.com:5000"},
	}},
	"AgentOptions": {"private registries, and everything around", "allowLoopbackRegistries: true\n" + mirrored + ", agent: {metricsPort: 7441, plainHTTP: [\"10.0.0.1:5000\"], authorities: registries, resources: {limits: {memory: 1Gi}}, priorityClassName: system-cluster-critical, nodeSelector: {edge: \"1\"}, tolerations: []}}", []expect{
		{agent, container + ".args[6]} {" + container[1:] + ".args[7]} {" + container[1:] + ".args[8]} {" + container[1:] + ".args[9]}", "--metrics-bind-address=:7441 --plain-http=10.0.0.1:5000 --origin-ca-dir=/authorities --allow-loopback-registries"},
		{agent, pod + ".volumes[2]} {" + container[1:] + ".ports}", `{"configMap":{"name":"registries","optional":true},"name":"authorities"} [{"containerPort":7441,"name":"metrics"}]`},
		{agent, container + ".resources} {" + pod[1:] + ".priorityClassName} {" + pod[1:] + ".nodeSelector} {" + pod[1:] + ".tolerations}", `{"limits":{"memory":"1Gi"},"requests":{"cpu":"20m","memory":"64Mi"}} system-cluster-critical {"edge":"1","kubernetes.io/os":"linux"} `},
	}},
	"AgentForeignCertificate": {"the certificate of the registry is somebody else's, and those of the agents are not", "registry: {enabled: true, host: \"registry.example.com:8443\", certificate: {secretName: issued}}\nmirror: {enabled: true}", []expect{
		{agent, pod + ".volumes[0].projected.sources[0]} {" + container[1:] + ".args[3]}", `{"secret":{"items":[{"key":"ca.crt","path":"ca.crt"}],"name":"issued","optional":true}} --registry-name=registry.example.com`},
		{registry, container + ".args[11]} {" + container[1:] + ".args[-1:]}", "--cert-dir=/certificate --agents"},
		{"Secret/nfo-registry-certificate", "{.type}", "Opaque"},
		{"Secret/nfo-agent-certificate", "{.type}", "Opaque"},
		{"ConfigMap/nfo-registry-ca", "", ""},
	}},
}
