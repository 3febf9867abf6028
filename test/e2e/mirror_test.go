package e2e

import (
	"testing"
	"time"

	"github.com/nfo-operator/nfo/test/story"
)

const (
	// source is the address of a private registry that images are mirrored from.
	source = `10.96.0.50:5000`
	// installMirror looks at everything more often than the default.
	installMirror = `helm install nfo charts/nfo --namespace nfo-system --set image.repository=$IMAGE,image.tag=e2e,pollsPerSecond=200 ` +
		`--set registry.enabled=true,registry.host=$OWN,registry.service.clusterIP=$OWN,registry.collection.grace=1m ` +
		`--set registry.persistence.size=64Mi,registry.persistence.storageClassName=own ` +
		`--set mirror.enabled=true,mirror.refreshPeriod=1m,mirror.purge.gracePeriod=1s --set 'mirror.agent.plainHTTP={10.96.0.50:5000}' --wait --timeout 3m`
	// images pushes images of one small program to the source, through a port of it that this host reaches.
	images = `crane auth login $SOURCE --username ran --password right && mkdir -p $E2E/program && cp test/cluster/bin/pause $E2E/program/ && tar cf $E2E/program.tar -C $E2E/program pause && ` +
		`for name in init upf exporter; do crane append --insecure --new_layer $E2E/program.tar --new_tag $SOURCE/acme/$name:1.0.0 && ` +
		`crane mutate --insecure --set-platform linux/amd64 --entrypoint /pause --label name=$name --tag $SOURCE/acme/$name:1.0.0 $SOURCE/acme/$name:1.0.0 || exit 1; done`
	// function applies the network function.
	function = `sed "s/DIGEST/$(crane digest --insecure $SOURCE/acme/exporter:1.0.0)/" $YAML/mirror/upf.yaml | kubectl apply -f -`
	// running prints the images of the function's pods, and how many of them are ready.
	pulled = `kubectl get pods -n ran -o jsonpath='{range .items[*]}{.spec.initContainers[*].image}{" "}{.spec.containers[*].image}{" "}{.status.containerStatuses[*].ready}{"\n"}{end}'`
	// forget removes the function's pods, and what the node has of their images.
	forget = `kubectl delete pods -n ran --all --wait && for i in $(ctr -a $E2E/cluster/node/containerd.sock -n k8s.io images ls -q | grep acme/); do ctr -a $E2E/cluster/node/containerd.sock -n k8s.io images rm $i; done`
	// fromMirror is what images are called that come from the mirror.
	fromMirror = `127.0.0.1:7439/10.96.0.50_5000/acme/`
)

// TestMirror is the life of images that a site pulls from its mirror.
func TestMirror(t *testing.T) { tell(t, mirroring) }

var mirroring = []story.Chapter{
	{Title: "A private registry, and the operator with a registry and a mirror.", Steps: []story.Step{
		story.Run(`export OWN=` + own),
		story.Run(`export SOURCE=` + source),
		story.Run(`kubectl create namespace nfo-system --dry-run=client -o yaml | kubectl apply -f -`, story.Says("namespace/nfo-system")),
		story.Run(`kubectl label namespace nfo-system --overwrite pod-security.kubernetes.io/enforce=privileged`, story.Says("namespace/nfo-system")),
		story.Run(`rm -rf $E2E/registry/* && install -d -o 65532 -g 65532 $E2E/registry/own $E2E/registry/source && sed "s#E2E#$E2E#" $YAML/own/volume.yaml | kubectl apply -f -`, story.Says("created")),
		story.Run(`mkdir -p $E2E/cluster/node/certs.d/$SOURCE && cp $YAML/mirror/hosts.toml $E2E/cluster/node/certs.d/$SOURCE/`),
		story.Run(`sed "s#E2E#$E2E#;s#IMAGE#$IMAGE#;s#PEERS#$PWD/bin/peers#" $YAML/mirror/source.yaml | kubectl apply -f -`, story.Says("deployment.apps/registry created")),
		story.Run(`kubectl rollout status -n source deployment/registry --timeout=60s`, story.Says("successfully rolled out")),
		story.Refused(installMirror+` --set registry.enabled=false`, story.Says("registry.enabled")),
		story.Run(installMirror, story.Says("STATUS: deployed")).Within(4 * time.Minute),
		story.Until(`kubectl get pods -n nfo-system`, story.Lines(3, "1/1 Running")),
		story.Until(images, story.Says("exporter")),
		story.Until(`kubectl apply -f $YAML/mirror/store.yaml`, story.Omits("Error")),
		story.Run(`kubectl wait -n source as/acme --for=condition=Ready --timeout=2m`, story.Says("condition met")).Within(3 * time.Minute),
		story.Until(`kubectl wait -n nfo-system as/mirror --for=condition=Ready --timeout=2m`, story.Says("condition met")).Within(3 * time.Minute),
	}},
	{Title: "A network function is applied, with two Secrets that are wrong before the right one: it starts from the source, and its images are mirrored.", Steps: []story.Step{
		story.Run(function, story.Says("deployment.apps/upf created")),
		story.Run(`kubectl rollout status -n ran deployment/upf --timeout=90s`, story.Says("successfully rolled out")).Within(2 * time.Minute),
		story.Until(`kubectl get artifacts -n ran`, story.Lines(3, "Present")).Within(2 * time.Minute),
		story.Run(`kubectl get artifacts -n ran -o jsonpath='{.items[*].status.credentialsSecretRef.name}'`, story.Says("right right right")),
		story.Until(`kubectl get artifacts -n ran -o jsonpath='{.items[*].status.users[*].kind}'`, story.Says("Deployment Deployment Deployment")).Within(2 * time.Minute),
	}},
	{Title: "Its next pods pull from the mirror, also while the source is down, and nothing is left on the node.", Steps: []story.Step{
		story.Run(`kubectl scale -n source deployment/registry --replicas=0 && kubectl wait -n source pods --all --for=delete --timeout=60s`, story.Says("scaled")),
		story.Run(forget, story.Says("deleted")).Within(2 * time.Minute),
		story.Until(pulled, story.Says(fromMirror+"init:1.0.0", fromMirror+"upf:1.0.0", fromMirror+"exporter@sha256:", "true true")).Within(2 * time.Minute),
		story.Run(`kubectl get pods -n ran -o jsonpath='{.items[*].spec.imagePullSecrets[*].name}'`, story.Says("wrong-user wrong-password right")),
		story.Run(`kubectl get pods -n kube-system -o jsonpath='{.items[*].spec.containers[*].image}'`, story.Omits("127.0.0.1:7439")),
	}},
	{Title: "The agent is killed, and with it every way to the mirror; the source is back: the pods start from the source.", Steps: []story.Step{
		story.Run(`kubectl scale -n source deployment/registry --replicas=1 && kubectl rollout status -n source deployment/registry --timeout=60s`, story.Says("successfully rolled out")).Within(2 * time.Minute),
		story.Run(`kubectl scale -n nfo-system deployment/nfo-registry --replicas=0 && kubectl patch -n nfo-system daemonset nfo-agent --type=merge -p '{"spec":{"template":{"spec":{"nodeSelector":{"nowhere":"x"}}}}}'`, story.Says("scaled", "patched")),
		story.Until(`kubectl get pods -n nfo-system`, story.Lines(1, "1/1 Running"), story.Omits("nfo-agent", "nfo-registry")),
		story.Run(forget, story.Says("deleted")).Within(2 * time.Minute),
		story.Until(pulled, story.Says("true true"), story.Omits("127.0.0.1:7439")).Within(4 * time.Minute),
		story.Run(`kubectl get events -n ran --field-selector reason=ImageFromSource`, story.Says("could not be pulled", "now pulls "+source+"/acme/upf:1.0.0")),
	}},
	{Title: "The manager is gone, too, and its webhook: the pods start.", Steps: []story.Step{
		story.Run(`kubectl scale -n nfo-system deployment/nfo-manager --replicas=0 && kubectl wait -n nfo-system pods -l app.kubernetes.io/component=manager --for=delete --timeout=60s`, story.Says("scaled")),
		story.Run(forget, story.Says("deleted")).Within(2 * time.Minute),
		story.Until(pulled, story.Says(source+"/acme/upf:1.0.0", "true true"), story.Omits("127.0.0.1:7439")).Within(2 * time.Minute),
		story.Run(`kubectl patch -n nfo-system daemonset nfo-agent --type=json -p '[{"op":"remove","path":"/spec/template/spec/nodeSelector/nowhere"}]'`, story.Says("patched")),
		story.Run(`kubectl scale -n nfo-system deployment/nfo-manager deployment/nfo-registry --replicas=1`, story.Says("scaled")),
		story.Until(`kubectl get pods -n nfo-system`, story.Lines(3, "1/1 Running")).Within(2 * time.Minute),
		story.Until(`kubectl rollout restart -n ran deployment/upf && kubectl rollout status -n ran deployment/upf --timeout=60s && `+pulled, story.Says(fromMirror+"upf:1.0.0")).Within(3 * time.Minute),
	}},
	{Title: "An image that an old ReplicaSet would start again stays; what nothing uses any more goes with the next purge.", Steps: []story.Step{
		story.Run(`kubectl scale -n ran deployment/upf --replicas=0`, story.Says("scaled")),
		story.Run(`kubectl create job -n nfo-system kept --from=cronjob/mirror-purge && kubectl wait -n nfo-system job/kept --for=condition=Complete --timeout=120s`, story.Says("condition met")).Within(3 * time.Minute),
		story.Run(`kubectl get artifacts -n ran`, story.Lines(3, "Present")),
		story.Run(`kubectl delete -n ran deployment/upf --wait && kubectl wait -n ran pods --all --for=delete --timeout=60s`, story.Says("deleted")),
		// Who uses what is read again soon after an Artifact was made, as here by hand.
		story.Run(`kubectl apply -f - <<< '{"apiVersion": "nfo.dev/v1alpha1", "kind": "Artifact", "metadata": {"name": "in-advance", "namespace": "source"}, "spec": {"sourceArtifact": "10.96.0.50:5000/acme/upf:1.0.0"}}'`, story.Says("created")),
		story.Until(`kubectl get artifacts -n ran -o jsonpath='{.items[*].status.unusedSince}' | wc -w`, story.Says("3")).Within(2 * time.Minute),
		story.Run(`kubectl create job -n nfo-system gone --from=cronjob/mirror-purge && kubectl wait -n nfo-system job/gone --for=condition=Complete --timeout=120s`, story.Says("condition met")).Within(3 * time.Minute),
		story.Until(`kubectl get artifacts -n ran 2>&1`, story.Says("No resources found")),
		story.Run(`kubectl get -n nfo-system as mirror -o jsonpath='{.status.lastPurge}'`, story.Says(`"outcome":"Succeeded"`)),
	}},
	{Title: "The chart is uninstalled with pods that pull from the mirror: they run on, and restart.", Steps: []story.Step{
		story.Run(function, story.Says("deployment.apps/upf created")),
		story.Until(`kubectl get artifacts -n ran`, story.Lines(3, "Present")).Within(2 * time.Minute),
		story.Run(forget, story.Says("deleted")).Within(2 * time.Minute),
		story.Until(pulled, story.Says(fromMirror+"upf:1.0.0", "true true")).Within(2 * time.Minute),
		story.Run(`helm uninstall nfo --namespace nfo-system --wait --timeout 8m`, story.Says("uninstalled")).Within(9 * time.Minute),
		story.Run(`kubectl get mutatingwebhookconfigurations -o name`, story.Omits("nfo")),
		story.Run(`kubectl get pods -n ran`, story.Lines(1, "3/3 Running")),
		story.Run(forget, story.Says("deleted")).Within(2 * time.Minute),
		story.Until(pulled, story.Says(source+"/acme/upf:1.0.0", "true true"), story.Omits("127.0.0.1:7439")).Within(2 * time.Minute),
		story.Run(`kubectl delete namespace ran source --timeout=120s`, story.Says("deleted")).Within(3 * time.Minute),
		story.Run(`kubectl delete -n nfo-system pvc nfo-registry && kubectl delete pv own`, story.Lines(2, "deleted")),
	}},
}
