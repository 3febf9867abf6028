package e2e

import (
	"testing"
	"time"

	"github.com/nfo-operator/nfo/test/story"
)

const (
	// still runs a static pod on the node, and stillRuns prints its image and phase.
	still     = `cp $YAML/mirror/static.yaml $E2E/cluster/node/manifests/`
	stillRuns = `kubectl get pods -n ran -l app=still -o jsonpath='{.items[*].spec.containers[*].image} {.items[*].status.phase}'`
	// inKubeSystem makes the mirror copy an image for kube-system too.
	inKubeSystem = `kubectl create secret docker-registry right -n kube-system --docker-server=http://$SOURCE --docker-username=ran --docker-password=right && ` +
		`kubectl patch serviceaccount default -n kube-system -p '{"imagePullSecrets":[{"name":"right"}]}' && ` +
		`kubectl get artifacts -n ran -o jsonpath='{range .items[*]}{.metadata.name}{" "}{.spec.sourceArtifact}{"\n"}{end}' | grep upf:1.0.0 | while read name image; do ` +
		`printf 'apiVersion: nfo.dev/v1alpha1\nkind: Artifact\nmetadata: {name: %s, namespace: kube-system}\nspec: {sourceArtifact: "%s"}\n' $name $image | kubectl apply -f -; done`
	wantedInKubeSystem = `kubectl run wanted -n kube-system --dry-run=server --image=$SOURCE/acme/upf:1.0.0 -o jsonpath='{.spec.containers[0].image}'`
	// debug adds an ephemeral container to the function's pod, and debugs prints the pod's ephemeral containers.
	debug  = `kubectl debug -n ran $(kubectl get pods -n ran -l app=upf -o name) --image=$SOURCE/acme/init:1.0.0 --container=look --image-pull-policy=Always --profile=general`
	debugs = `kubectl get pods -n ran -l app=upf -o jsonpath='{.items[*].spec.ephemeralContainers[*].image} {.items[*].status.ephemeralContainerStatuses[*].state}'`
	// ofVolume prints the image of a volume in a dry run of a pod. The pod
	// is not created, because containerd mounts such volumes only since 2.1.
	ofVolume = `kubectl apply --dry-run=server -f $YAML/mirror/model.yaml -o jsonpath='{.spec.volumes[?(@.name=="model")].image.reference}'`
	// rolledBack rolls the Deployment back to its previous images.
	rolledBack = `kubectl rollout undo -n ran deployment/upf`
	// unusedImage prints every image, and since when it is recorded as unused.
	unusedImage = `kubectl get artifacts -n ran -o jsonpath='{range .items[*]}{.spec.sourceArtifact}{" "}{.status.unusedSince}{"\n"}{end}'`
)

// TestMirror goes through the life of images that a site pulls from its mirror.
func TestMirror(t *testing.T) { tell(t, mirroring) }

var mirroring = []story.Chapter{
	{Title: "A private registry, and the operator with a registry and a mirror.", Steps: steps(mirrorSource("own", ""), []story.Step{
		story.Run(sourceHosts),
		story.Refused(installMirror+` --set registry.enabled=false`, story.Says("registry.enabled")),
		story.Run(installMirror+` --wait --timeout 3m`, story.Says("STATUS: deployed")).Within(4 * time.Minute),
		story.Until(`kubectl get pods -n nfo-system`, story.Lines(3, "1/1 Running")),
	}, mirrored())},
	{Title: "A network function is applied, with two Secrets that are wrong before the right one: it starts from the source, and its images are mirrored.", Steps: []story.Step{
		story.Run(function, story.Says("deployment.apps/upf created")),
		story.Run(`kubectl rollout status -n ran deployment/upf --timeout=90s`, story.Says("successfully rolled out")).Within(2 * time.Minute),
		story.Until(`kubectl get artifacts -n ran`, story.Lines(3, "Present")).Within(2 * time.Minute),
		story.Run(`kubectl get artifacts -n ran -o jsonpath='{.items[*].status.credentialsSecretRef.name}'`, story.Says("right right right")),
		story.Until(`kubectl get artifacts -n ran -o jsonpath='{.items[*].status.users[*].kind}'`, story.Says("Deployment Deployment Deployment")).Within(2 * time.Minute),
	}},
	{Title: "Static pods, pods of kube-system and those that opt out stay as they are, although the mirror has their image.", Steps: []story.Step{
		story.Until(wanted, story.Says(fromMirror+"upf:1.0.0")),
		story.Run(still),
		story.Until(stillRuns, story.Says(source+"/acme/upf:1.0.0 Running")),
		story.Run(`rm $E2E/cluster/node/manifests/static.yaml`),
		story.Until(`kubectl get pods -n ran -l app=still 2>&1`, story.Says("No resources found")),
		story.Run(inKubeSystem, story.Says("created")),
		story.Until(`kubectl get artifacts -n kube-system`, story.Lines(1, "Present")),
		story.Run(wantedInKubeSystem, story.Says(source+"/acme/upf:1.0.0"), story.Omits("127.0.0.1:7439")),
		story.Run(`kubectl delete -n kube-system secret right && kubectl delete -n kube-system artifacts --all`, story.Lines(2, "deleted")),
		story.Run(wanted+` --labels=nfo.dev/mirror=disabled`, story.Says(source+"/acme/upf:1.0.0"), story.Omits("127.0.0.1:7439")),
		story.Run(ofVolume, story.Says(fromMirror+"upf:1.0.0")),
	}},
	{Title: "The function's next pods pull from the mirror, and so does an ephemeral container, also while the source is down, and nothing is left on the node.", Steps: steps([]story.Step{
		story.Run(nextImage, story.Says("upf")),
		// The kubelet updates the agent's certificate within 90 seconds.
		story.Until(fromNode+` http://127.0.0.1:7439`+ofUPF+` https://127.0.0.1:7439`+ofUPF, story.Says("200 200")).Within(3 * time.Minute),
		story.Run(stopSource, story.Says("scaled")),
	}, again(fromMirror+"init:1.0.0", fromMirror+"upf:1.0.0", fromMirror+"exporter@sha256:"), []story.Step{
		story.Run(`kubectl get pods -n ran -o jsonpath='{.items[*].spec.imagePullSecrets[*].name}'`, story.Says("wrong-user wrong-password right")),
		story.Run(debug),
		story.Until(debugs, story.Says(fromMirror+"init:1.0.0", "running")),
	})},
	{Title: "A Deployment is upgraded. A purge without a grace leaves what its old ReplicaSet would start: it is rolled back while the source is down.", Steps: steps([]story.Step{
		story.Run(startSource, story.Says("successfully rolled out")).Within(2 * time.Minute),
		story.Run(`kubectl set image -n ran deployment/upf upf=$SOURCE/acme/upf:2.0.0`, story.Says("image updated")),
		story.Run(`kubectl rollout status -n ran deployment/upf --timeout=90s`, story.Says("successfully rolled out")).Within(2 * time.Minute),
		story.Until(`kubectl get artifacts -n ran`, story.Lines(4, "Present")).Within(2 * time.Minute),
		purgeMirror("kept"),
		story.Run(`kubectl get artifacts -n ran`, story.Lines(4, "Present")),
		story.Run(stopSource, story.Says("scaled")),
		story.Run(rolledBack, story.Says("rolled back")),
	}, again(fromMirror+"upf:1.0.0"))},
	{Title: "When the old ReplicaSet has gone, its image goes with the next purge, and the disk is freed.", Steps: []story.Step{
		story.Until(`kubectl get configmap -n nfo-system nfo-registry-ca -o jsonpath='{.data.ca\.crt}' | tee $E2E/ca.crt`, story.Says("BEGIN CERTIFICATE")),
		story.Run(used + ` | tee $E2E/full`),
		story.Run(`kubectl patch -n ran deployment upf --type=merge -p '{"spec":{"revisionHistoryLimit":0}}'`, story.Says("patched")),
		story.Until(`kubectl get replicasets -n ran`, story.Lines(1, "upf-")),
		story.Run(readSoon, story.Says("created")),
		story.Until(unusedImage, story.Lines(1, "acme/upf:2.0.0 20"), story.Lines(1, "Z")).Within(2 * time.Minute),
		purgeMirror("gone"),
		story.Until(`kubectl get artifacts -n ran -o jsonpath='{.items[*].spec.sourceArtifact}'`, story.Says("upf:1.0.0"), story.Omits("upf:2.0.0")),
		story.Run(`kubectl get -n nfo-system as mirror -o jsonpath='{.status.lastPurge}'`, story.Says(`"outcome":"Succeeded"`)),
		story.Until(ask+`collection --request POST && sleep 5 && `+used+` | tee $E2E/collected && [ $(cat $E2E/collected) -le $(($(cat $E2E/full) - 4)) ]`, story.Says(`"requested"`)).Within(3 * time.Minute),
		story.Run(startSource, story.Says("successfully rolled out")).Within(2 * time.Minute),
	}},
	{Title: "The registry is down, and the source needs a login, which no node offers to its agent: pods that cannot start get their own images back.", Steps: steps([]story.Step{
		story.Run(noRegistry, story.Says("scaled")),
	}, again(source+"/acme/upf:1.0.0"), []story.Step{
		story.Run(`kubectl get events -n ran --field-selector reason=ImageFromSource`, story.Says("could not be pulled", "now pulls "+source+"/acme/upf:1.0.0")),
		story.Run(`kubectl scale -n nfo-system deployment/nfo-registry --replicas=1`, story.Says("scaled")),
		story.Until(`kubectl get pods -n nfo-system`, story.Lines(3, "1/1 Running")).Within(2 * time.Minute),
	})},
	{Title: "The chart is uninstalled with pods that pull from the mirror: they run on, and restart.", Steps: steps(again(fromMirror+"upf:1.0.0"), []story.Step{
		story.Run(`helm uninstall nfo --namespace nfo-system --wait --timeout 8m`, story.Says("uninstalled")).Within(9 * time.Minute),
		story.Run(`kubectl get mutatingwebhookconfigurations -o name`, story.Omits("nfo")),
		story.Run(`kubectl get pods -n ran`, story.Lines(1, "3/3 Running")),
	}, again(source+"/acme/upf:1.0.0"), mirrorGone("own"))},
}

// mirrorGone removes what a story with a volume of the given storage class leaves.
func mirrorGone(class string) []story.Step {
	return []story.Step{
		story.Run(`kubectl delete namespace ran source --timeout=120s`, story.Says("deleted")).Within(3 * time.Minute),
		story.Run(`kubectl delete -n nfo-system pvc nfo-registry && kubectl delete pv `+class, story.Lines(2, "deleted")),
	}
}
