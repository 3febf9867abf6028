package e2e

import (
	"testing"
	"time"

	"github.com/nfo-operator/nfo/test/story"
)

const (
	// squatter is a process on the node that listens at the agents' port.
	squatter = `sed "s#IMAGE#$IMAGE#" $YAML/mirror/squatter.yaml | kubectl apply -f -`
	// fromNode requests a manifest from the agent as the node does. The URL is appended.
	fromNode = `nsenter --net=$E2E/cluster/node/netns curl --noproxy '*' --globoff --insecure --silent --show-error -o /dev/null -o /dev/null -w '%{http_code}\n' -H 'Accept: application/vnd.docker.distribution.manifest.v2+json'`
	ofUPF    = `/v2/10.96.0.50_5000/acme/upf/manifests/1.0.0`
	// access upgrades the chart to another value of mirror.nodeAccess, which is appended.
	access = `helm upgrade nfo charts/nfo --namespace nfo-system --reuse-values --wait --timeout 3m --set mirror.nodeAccess=`
	// nodeFiles prints the files that the agent has written on the node.
	nodeFiles = `grep -rl 'Written by nfo agent' $CERTS /etc/containers 2>/dev/null; true`

	fromService  = own + `/mirror.nfo.dev/10.96.0.50_5000/acme/`
	fromNodePort = `127.0.0.1:30500/mirror.nfo.dev/10.96.0.50_5000/acme/`
	// trustNodePort configures what containerd does by default since
	// 2.0: it does not verify certificates at loopback addresses.
	trustNodePort = `mkdir -p $CERTS/127.0.0.1:30500 && printf '[host."https://127.0.0.1:30500"]\nskip_verify = true\n' > $CERTS/127.0.0.1:30500/hosts.toml`

	// twenty applies 20 pods that pull from the mirror, and twentyRun lists them.
	twenty    = `kubectl apply -f $YAML/mirror/many.yaml`
	twentyRun = `kubectl get pods -n ran -l app=many`
	ofTwenty  = `kubectl get pods -n ran -l app=many -o jsonpath='{range .items[*]}{.spec.containers[*].image}{"\n"}{end}'`
	// endTwenty kills the processes of these containers, so that the node starts each one again.
	endTwenty = `for id in $(kubectl get pods -n ran -l app=many -o jsonpath='{.items[*].status.containerStatuses[0].containerID}'); do ` +
		`kill -KILL $(grep -ls "${id#containerd://}" /proc/[0-9]*/cgroup | cut -d/ -f3) || exit 1; done`
)

// TestMirrorNodes checks each way in which nodes reach the mirror,
// on the same node, and that changing the way leaves nothing behind.
func TestMirrorNodes(t *testing.T) { tell(t, reaching) }

var reaching = []story.Chapter{
	{Title: "Another process of the node has the agent's port, at ::1: the agent says so, and pods keep their images, although the mirror has them.", Steps: steps(mirrorSource("own", ""), []story.Step{
		story.Run(sourceHosts),
		story.Run(squatter, story.Says("created")),
		story.Until(`kubectl get pods -n source -l app=squatter`, story.Lines(1, "1/1 Running")),
		story.Run(installMirror, story.Says("STATUS: deployed")).Within(4 * time.Minute),
		story.Until(`kubectl get pods -n nfo-system -l 'app.kubernetes.io/component in (manager, registry)'`, story.Lines(2, "1/1 Running")),
	}, mirrored(), []story.Step{
		story.Until(`kubectl logs -n nfo-system -l app.kubernetes.io/component=agent`, story.Says("[::1]:7439", "another process of this node has it", "mirror.agent.port")),
		story.Run(function, story.Says("deployment.apps/upf created")),
		story.Until(`kubectl get artifacts -n ran`, story.Lines(3, "Present")).Within(2 * time.Minute),
		story.Run(wanted, story.Says(source+"/acme/upf:1.0.0"), story.Omits("127.0.0.1:7439")),
	}, again(source+"/acme/upf:1.0.0"))},
	{Title: "The port is free: the agent answers at both loopback addresses, over plain HTTP and TLS, and pods pull from it.", Steps: steps([]story.Step{
		story.Run(`kubectl delete -n source pod squatter`, story.Says("deleted")),
		story.Run(`kubectl delete pods -n nfo-system -l app.kubernetes.io/component=agent`, story.Says("deleted")), // otherwise the agent would wait for its back-off
		story.Until(wanted, story.Says(fromMirror+"upf:1.0.0")),
		story.Run(fromNode+` http://127.0.0.1:7439`+ofUPF+` https://127.0.0.1:7439`+ofUPF, story.Says("200 200")),
		story.Run(fromNode+` 'http://[::1]:7439`+ofUPF+`' 'https://[::1]:7439`+ofUPF+`'`, story.Says("200 200")),
		story.Run(nodeFiles, story.Omits("/")),
	}, again(fromMirror+"upf:1.0.0"))},
	{Title: "RuntimeMirror: the agent writes a file for the source, and pods stay as they are. Their node asks the mirror first, also while the source is down.", Steps: steps([]story.Step{
		story.Run(`rm -r $CERTS/$SOURCE`), // the agent does not touch files that it has not written
		story.Run(access+`RuntimeMirror --set 'mirror.agent.hosts={`+source+`}' --set mirror.agent.containerdFolder=${CERTS%/certs.d}`, story.Says("STATUS: deployed")).Within(4 * time.Minute),
		story.Until(`cat $CERTS/$SOURCE/hosts.toml`, story.Says("# Written by nfo agent", `server = "http://10.96.0.50:5000"`, `[host."http://127.0.0.1:7439/v2/10.96.0.50_5000"]`)),
		story.Run(`kubectl logs -n nfo-system -l app.kubernetes.io/component=agent --tail=-1`, story.Omits("does not read")),
		story.Until(mirrorReady, story.Says("condition met")),
		// While no manager answers, pods would keep their images too.
		story.Run(`kubectl wait -n nfo-system as/mirror --for=jsonpath='{.spec.mirror.rewrite}'=Never --timeout=2m`, story.Says("condition met")),
		story.Until(wanted, story.Says(source+"/acme/upf:1.0.0"), story.Omits("127.0.0.1:7439")),
		story.Run(stopSource, story.Says("scaled")),
	}, again(source+"/acme/upf:1.0.0"))},
	{Title: "NodePort: no agent and no file of it is left, and pods pull at a port of the node.", Steps: steps([]story.Step{
		story.Run(trustNodePort),
		story.Run(access+`NodePort --set registry.service.type=NodePort,registry.service.nodePort=30500,registry.anonymousPull=true`, story.Says("STATUS: deployed")).Within(4 * time.Minute),
		story.Until(`kubectl get pods -n nfo-system`, story.Omits("nfo-agent")),
		story.Until(nodeFiles, story.Omits("/")),
		story.Until(wanted, story.Says(fromNodePort+"upf:1.0.0")),
	}, againAt(fromNodePort))},
	{Title: "ClusterIP: the agent writes the certificates for the registry's address, and pods pull there.", Steps: steps([]story.Step{
		story.Run(access+`ClusterIP --set registry.anonymousPull=false`, story.Says("STATUS: deployed")).Within(4 * time.Minute),
		story.Until(`ls $CERTS/$OWN && cat $CERTS/$OWN/hosts.toml`, story.Says("# Written by nfo agent", `server = "https://`+own+`"`, "client.key")).Within(4 * time.Minute),
		story.Until(wanted, story.Says(fromService+"upf:1.0.0")),
	}, againAt(fromService))},
	{Title: "The chart is uninstalled with 20 pods that pull from the mirror: they run on, each is started again, and no file and no webhook is left.", Steps: steps([]story.Step{
		story.Run(startSource, story.Says("successfully rolled out")).Within(2 * time.Minute),
		story.Run(twenty, story.Says("deployment.apps/many created")),
		story.Until(twentyRun, story.Lines(20, "1/1 Running 0")).Within(3 * time.Minute),
		story.Run(ofTwenty, story.Lines(20, fromService+"upf:1.0.0")),
		story.Run(`helm uninstall nfo --namespace nfo-system --wait --timeout 8m`, story.Says("uninstalled")).Within(9 * time.Minute),
		story.Run(`kubectl get mutatingwebhookconfigurations,validatingwebhookconfigurations -o name`, story.Omits("nfo")),
		story.Until(nodeFiles, story.Omits("/")),
		story.Run(twentyRun, story.Lines(20, "1/1 Running 0")),
		story.Run(endTwenty),
		story.Until(twentyRun, story.Lines(20, "1/1 Running 1")).Within(3 * time.Minute),
		story.Run(sourceHosts),
		story.Run(`kubectl delete pods -n ran -l app=many --wait=false`, story.Lines(20, "deleted")),
		story.Until(ofTwenty, story.Lines(20, source+"/acme/upf:1.0.0"), story.Omits(fromService)),
		story.Until(twentyRun, story.Lines(20, "1/1 Running 0")).Within(3 * time.Minute),
	}, mirrorGone("own"))},
}

// againAt is like again, but for another address of the mirror.
func againAt(address string) []story.Step {
	return []story.Step{
		story.Run(forget, story.Says("scaled")).Within(2 * time.Minute),
		story.Until(pulled, story.Says(address+"init:1.0.0", address+"upf:1.0.0", address+"exporter@sha256:", "true true")).Within(3 * time.Minute),
	}
}
