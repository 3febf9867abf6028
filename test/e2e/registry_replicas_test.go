package e2e

import (
	"testing"
	"time"

	"github.com/nfo-operator/nfo/test/story"
)

const (
	// installReplicas installs three replicas of the registry on one volume.
	installReplicas = `helm install nfo charts/nfo --namespace nfo-system --set image.repository=$IMAGE,image.tag=e2e,pollsPerSecond=200 ` +
		`--set registry.enabled=true,registry.replicas=3,registry.host=$OWN,registry.service.clusterIP=$OWN,registry.collection.grace=1m ` +
		`--set registry.persistence.size=64Mi,registry.persistence.storageClassName=shared,registry.persistence.accessMode=ReadWriteMany --wait --timeout 3m`
	// pushes pushes one image after another and repeats each push until it succeeds. Each image has its own
	// tag: if a tag were overwritten before the operator has seen its digest, the digest would be kept until
	// a purge has found it and its grace period is over. The file pushed says which layer is in which image.
	pushes = `for i in $(seq 1 12); do head -c 256K /dev/urandom > $E2E/layer$i && tar cf $E2E/layer$i.tar -C $E2E layer$i || exit 1; ` +
		`until image=$(crane append --new_layer $E2E/layer$i.tar --new_tag $OWN/own/many-1.0.0/upf:$i 2>> $E2E/failed); do sleep 0.2; done; echo $i $image >> $E2E/pushed; sleep 0.5; done`
	// kills kills the replicas one after another, each while a
	// collection may be running, and waits until all are ready again.
	kills = `for pod in $(kubectl get pods -n nfo-system -l app.kubernetes.io/component=registry -o name); do ` + ask + `collection --request POST; ` +
		`kill -9 $(pid nfo-system $pod) && sleep 1 && kubectl wait -n nfo-system $pod --for=condition=Ready --timeout=60s || exit 1; done`
	// pullAll pulls every pushed image and compares its layer.
	pullAll = `while read i image; do crane export $image - 2>> $E2E/failed | tar xO layer$i | cmp - $E2E/layer$i || exit 1; done < $E2E/pushed`
	// fill pushes images of 12 MiB until a push is refused.
	fill = `for i in 1 2 3 4 5 6; do head -c 12M /dev/urandom > $E2E/layer && tar cf $E2E/layer.tar -C $E2E layer && ` +
		`crane append --new_layer $E2E/layer.tar --new_tag $OWN/own/many-1.0.0/large:$i || exit 1; done`
)

// TestClusterRegistryReplicas checks that what was pushed survives killed replicas and a full volume.
func TestClusterRegistryReplicas(t *testing.T) { tell(t, replicating) }

var replicating = []story.Chapter{
	{Title: "The operator is installed with three replicas of its registry on one volume.", Steps: []story.Step{
		story.Run(`export OWN=` + own),
		story.Run(`export SSL_CERT_FILE=$E2E/ca.crt`),
		story.Run(`export ACCOUNT=ci`),
		story.Run(`kubectl create namespace nfo-system --dry-run=client -o yaml | kubectl apply -f -`, story.Says("namespace/nfo-system")),
		story.Run(`rm -rf $E2E/registry/* && install -d -o 65532 -g 65532 $E2E/registry/shared && sed "s#E2E#$E2E#" $YAML/own/shared.yaml | kubectl apply -f -`, story.Says("created")),
		story.Run(installReplicas, story.Says("STATUS: deployed")).Within(4 * time.Minute),
		story.Run(`kubectl get pods -n nfo-system -l app.kubernetes.io/component=registry`, story.Lines(3, "1/1 Running")),
		story.Until(`kubectl get configmap -n nfo-system nfo-registry-ca -o jsonpath='{.data.ca\.crt}' | tee $E2E/ca.crt`, story.Says("BEGIN CERTIFICATE")),
		story.Until(`kubectl apply -f $YAML/own/store.yaml -f $YAML/own/many.yaml`, story.Says("artifactmanifest.nfo.dev/many-1.0.0"), story.Omits("Error")),
		story.Run(`kubectl wait -n own as/acme --for=condition=Ready --timeout=3m`, story.Says("condition met")).Within(4 * time.Minute),
		story.Until(logIn, story.Says("logged in")),
		story.Until(used + ` | tee $E2E/empty && [ -s $E2E/empty ]`),
	}},
	{Title: "All replicas are killed, one after the other, during pushes and collections: each push succeeds in the end, and is whole.", Steps: []story.Step{
		story.Run(`rm -f $E2E/failed $E2E/pushed; { ` + pushes + `; } & pid=$!; (` + kills + `); killed=$?; wait $pid && [ $killed = 0 ]; code=$?; tail -n 20 $E2E/failed; exit $code`).Within(6 * time.Minute),
		story.Run(`wc -l < $E2E/pushed`, story.Says("12")),
		story.Run(`kubectl rollout status -n nfo-system deployment/nfo-registry --timeout=2m`, story.Says("successfully rolled out")).Within(3 * time.Minute),
		story.Until(ask+`collection --request POST`, story.Says(`"requested"`)),
		story.Until(ask+`collection`, story.Says(`"running":false`), story.Omits(`"error"`)),
		story.Run(pullAll),
		story.Run(`[ ! -e $E2E/registry/shared/.nfo/corrupt ]`),
	}},
	{Title: "The volume fills up: pushes are refused, and say why. Pulls go on.", Steps: []story.Step{
		story.Refused(fill, story.Says("DENIED", "purge and collect")).Within(2 * time.Minute),
		story.Run(ask+`usage`, story.Says(`"percent"`)),
		story.Run(pullAll),
	}},
	{Title: "The manifest is deleted, purged and collected: the disk is freed, and pushes go on.", Steps: []story.Step{
		story.Run(`kubectl delete -n own am many-1.0.0 --timeout=60s`, story.Says("deleted")).Within(2 * time.Minute),
		story.Until(`kubectl get -n own ts && `+graceOver, story.Says("many-1.0.0 Released Untagged")),
		story.Run(`kubectl create job -n own purge --from=cronjob/acme-purge`, story.Says("created")),
		story.Run(`kubectl wait -n own job/purge --for=condition=Complete --timeout=120s`, story.Says("condition met")).Within(3 * time.Minute),
		story.Until(ask+`collection --request POST && sleep 5 && `+used+` | tee $E2E/collected && [ $(cat $E2E/collected) -le $(($(cat $E2E/empty) + 1)) ]`, story.Says(`"requested"`)).Within(4 * time.Minute),
		story.Run(push+`upf:1.0.0`, story.Says("pushed")),
		story.Run(`crane export $OWN/own/upf-1.0.0/upf:1.0.0 - | tar xO layer | cmp - $E2E/layer`),
	}},
	{Title: "The chart is uninstalled.", Steps: []story.Step{
		story.Run(`kubectl delete namespace own --timeout=120s`, story.Says("deleted")).Within(3 * time.Minute),
		story.Run(`helm uninstall nfo --namespace nfo-system --wait --timeout 8m`, story.Says("uninstalled")).Within(9 * time.Minute),
		story.Run(`kubectl delete -n nfo-system pvc nfo-registry && kubectl delete pv shared`, story.Lines(2, "deleted")),
	}},
}
