package e2e

import (
	"slices"
	"time"

	"github.com/nfo-operator/nfo/test/story"
)

const (
	// source is the address of a registry whose images are mirrored.
	source = `10.96.0.50:5000`
	// mirrorValues set shorter periods than the defaults. $CLASS is the storage class of the registry's volume.
	mirrorValues = ` --namespace nfo-system --set image.repository=$IMAGE,image.tag=e2e,pollsPerSecond=200 ` +
		`--set registry.enabled=true,registry.host=$OWN,registry.service.clusterIP=$OWN,registry.collection.grace=1m ` +
		`--set registry.persistence.size=64Mi,registry.persistence.storageClassName=$CLASS ` +
		`--set mirror.enabled=true,mirror.refreshPeriod=1m,mirror.purge.gracePeriod=0s,mirror.purge.suspend=true --set 'mirror.agent.plainHTTP={10.96.0.50:5000}' `
	installMirror = `helm install nfo charts/nfo` + mirrorValues
	// images pushes images of one small program to the source, at an address that this host can reach.
	images = `crane auth login $SOURCE --username ran --password right && mkdir -p $E2E/program && cp test/cluster/bin/pause $E2E/program/ && tar cf $E2E/program.tar -C $E2E/program pause && ` +
		`for name in init upf exporter; do ` + appendImage + ` || exit 1; done`
	appendImage = `crane append --insecure --new_layer $E2E/program.tar --new_tag $SOURCE/acme/$name:1.0.0 && ` +
		`crane mutate --insecure --set-platform linux/amd64 --entrypoint /pause --label name=$name --tag $SOURCE/acme/$name:1.0.0 $SOURCE/acme/$name:1.0.0`
	// nextImage pushes a new version of one of them, with 4 MiB that are in no other image.
	nextImage = `head -c 4M /dev/urandom > $E2E/program/ballast && tar cf $E2E/next.tar -C $E2E/program pause ballast && crane append --insecure --new_layer $E2E/next.tar --new_tag $SOURCE/acme/upf:2.0.0 && ` +
		`crane mutate --insecure --set-platform linux/amd64 --entrypoint /pause --label name=upf --tag $SOURCE/acme/upf:2.0.0 $SOURCE/acme/upf:2.0.0`
	// function applies the network function.
	function = `sed "s/DIGEST/$(crane digest --insecure $SOURCE/acme/exporter:1.0.0)/" $YAML/mirror/upf.yaml | kubectl apply -f -`
	// pulled prints the images of the function's pods, and which of them are ready.
	pulled = `kubectl get pods -n ran -o jsonpath='{range .items[*]}{.spec.initContainers[*].image}{" "}{.spec.containers[*].image}{" "}{.status.containerStatuses[*].ready}{"\n"}{end}'`
	// forgetImages removes the source's images from the node, under every name that its container runtime has for them.
	forgetImages = `images="ctr -a $E2E/cluster/node/containerd.sock -n k8s.io images" && $images ls > $E2E/images && ` +
		`for i in $(awk 'NR == FNR {if (/acme\//) of[$3]; next} $3 in of {print $1}' $E2E/images $E2E/images); do $images rm --sync $i || exit 1; done`
	// forget scales the function to zero, removes the images, and then lets new pods start.
	forget = `kubectl scale -n ran deployment --all --replicas=0 && until [ -z "$(kubectl get pods -n ran -o name)" ]; do sleep 0.5; done && ` +
		forgetImages + ` && kubectl scale -n ran deployment --all --replicas=1`
	// fromMirror is the prefix of the images that are pulled from the mirror.
	fromMirror = `127.0.0.1:7439/10.96.0.50_5000/acme/`
	// wanted prints the image that a new pod of the function's namespace would get.
	wanted = `kubectl run wanted -n ran --dry-run=server --image=$SOURCE/acme/upf:1.0.0 -o jsonpath='{.spec.containers[0].image}'`
	// readSoon creates an Artifact, so that the operator soon reads again which images are used.
	readSoon = `kubectl apply -f - <<< '{"apiVersion": "nfo.dev/v1alpha1", "kind": "Artifact", "metadata": {"name": "in-advance", "namespace": "source"}, "spec": {"sourceArtifact": "10.96.0.50:5000/acme/upf:1.0.0"}}'`
	// sourceHosts lets the node's runtime reach the source over plain HTTP.
	sourceHosts = `mkdir -p $CERTS/$SOURCE && cp $YAML/mirror/hosts.toml $CERTS/$SOURCE/`
	stopSource  = `kubectl scale -n source deployment/registry --replicas=0 && kubectl wait -n source pods --all --for=delete --timeout=60s`
	startSource = `kubectl scale -n source deployment/registry --replicas=1 && kubectl rollout status -n source deployment/registry --timeout=60s`
	noAgents    = `kubectl patch -n nfo-system daemonset nfo-agent --type=merge -p '{"spec":{"template":{"spec":{"nodeSelector":{"nowhere":"x"}}}}}'`
	agentsAgain = `kubectl patch -n nfo-system daemonset nfo-agent --type=json -p '[{"op":"remove","path":"/spec/template/spec/nodeSelector/nowhere"}]'`
	noManager   = `kubectl scale -n nfo-system deployment/nfo-manager --replicas=0 && kubectl wait -n nfo-system pods -l app.kubernetes.io/component=manager --for=delete --timeout=60s`
	noRegistry  = `kubectl scale -n nfo-system deployment/nfo-registry --replicas=0 && kubectl wait -n nfo-system pods -l app.kubernetes.io/component=registry --for=delete --timeout=60s`
	mirrorReady = `kubectl wait -n nfo-system as/mirror --for=condition=Ready --timeout=2m`
)

// mirrorSource returns the first steps of a story. They create a source, whose objects
// the sed commands may change, and the registry's volume, of the given storage class.
func mirrorSource(class, sed string) []story.Step {
	return []story.Step{
		story.Run(`export OWN=` + own),
		story.Run(`export SOURCE=` + source),
		story.Run(`export CLASS=` + class),
		story.Run(`export CERTS=$E2E/cluster/node/etc/containerd/certs.d`),
		story.Run(`kubectl create namespace nfo-system --dry-run=client -o yaml | kubectl apply -f -`, story.Says("namespace/nfo-system")),
		story.Run(`kubectl label namespace nfo-system --overwrite pod-security.kubernetes.io/enforce=privileged`, story.Says("namespace/nfo-system")),
		story.Run(`rm -rf $E2E/registry/* && install -d -o 65532 -g 65532 $E2E/registry/$CLASS $E2E/registry/source && ` +
			`file=volume && if [ $CLASS = shared ]; then file=shared; fi && sed "s#E2E#$E2E#" $YAML/own/$file.yaml | kubectl apply -f -`),
		story.Run(`sed "s#E2E#$E2E#;s#IMAGE#$IMAGE#;s#PEERS#$PWD/bin/peers#;`+sed+`" $YAML/mirror/source.yaml | kubectl apply -f -`, story.Says("deployment.apps/registry created")),
		story.Run(`kubectl rollout status -n source deployment/registry --timeout=60s`, story.Says("successfully rolled out")),
	}
}

// mirrored returns the steps after an installation. They push images to
// the source and create the store by which the operator knows the source.
func mirrored() []story.Step {
	return []story.Step{
		story.Until(images, story.Says("exporter")),
		story.Until(`kubectl apply -f $YAML/mirror/store.yaml`, story.Omits("Error")),
		story.Run(`kubectl wait -n source as/acme --for=condition=Ready --timeout=2m`, story.Says("condition met")).Within(3 * time.Minute),
		story.Until(mirrorReady, story.Says("condition met")).Within(3 * time.Minute),
	}
}

// purgeMirror purges the mirror on demand, with a job of the given name.
func purgeMirror(job string) story.Step {
	return story.Run(`kubectl create job -n nfo-system `+job+` --from=cronjob/mirror-purge && kubectl wait -n nfo-system job/`+job+` --for=condition=Complete --timeout=120s`,
		story.Says("condition met")).Within(3 * time.Minute)
}

// again starts the function's pods again, on a node without their images, and checks which images they pull.
func again(says ...string) []story.Step {
	var first []story.Step
	expects := []story.Expectation{story.Says(says...), story.Says("true true")}
	if mirror := fromMirror + "upf:1.0.0"; slices.Contains(says, mirror) {
		// Pods are changed only when they are created, so the operator must know
		// before that the agents are ready. It reads this every few seconds.
		first = []story.Step{story.Until(wanted, story.Says(mirror))}
	} else {
		expects = append(expects, story.Omits("127.0.0.1:7439"))
	}
	return append(first,
		story.Run(forget, story.Says("scaled")).Within(2*time.Minute),
		story.Until(pulled, expects...).Within(4*time.Minute),
	)
}

// steps joins the steps of one chapter.
func steps(parts ...[]story.Step) []story.Step { return slices.Concat(parts...) }
