package e2e

import (
	"time"

	"github.com/nfo-operator/nfo/test/story"
)

const (
	// many is a manifest of 400 versions of one image.
	many = `{ cat $YAML/releases/smf.yaml; for n in $(seq 400); do echo "  - {artifactName: smf, artifactVersion: $n.0.0}"; done; } | kubectl apply -f -`
	// left counts the tags of these versions, and stored their digests, in the registry's files: requests to the
	// registry would take longer than a release. If folders are deleted while find reads them, its error is ignored.
	left   = `{ find $E2E/registry/docker/registry/v2/repositories/acme/smf/smf/_manifests/tags -path '*/current/link'; true; } 2>/dev/null | wc -l`
	stored = `{ find $E2E/registry/docker/registry/v2/repositories/acme/smf/smf/_manifests/revisions -name link; true; } 2>/dev/null | wc -l`
	// leader prints the pod that holds the manager's lease.
	leader = `kubectl get lease -n nfo-system nfo-manager -o jsonpath='{.spec.holderIdentity}' | cut -d_ -f1`
)

// killedWhen kills the process $VICTIM at once, as in a crash, as soon as the shell condition
// is true. Deleting a pod, even with a grace period of zero, does not kill it as abruptly.
func killedWhen(so string) string { return `until ` + so + `; do :; done; kill -KILL $VICTIM` }

var failing = []story.Chapter{
	{Title: "Two replicas run. The leader is killed in the middle of a release of 400 versions: another one ends it, and every version can be brought back.", Steps: []story.Step{
		story.Run(upgrade+` --set replicas=2`, story.Says("STATUS: deployed")).Within(3 * time.Minute),
		story.Run(`kubectl rollout status -n nfo-system deployment/nfo-manager --timeout=90s`, story.Says("successfully rolled out")),
		story.Run(`kubectl patch -n publisher as acme --type=merge -p '{"spec":{"purge":{"gracePeriod":"24h","thresholdPercent":0}}}'`, story.Says("patched")),
		story.Run(many, story.Says("smf created")),
		story.Run(`seq 400 | xargs -P2 -I% demo push image $REGISTRY/acme/smf/smf:%.0.0 | sort > $E2E/smf`).Within(4 * time.Minute),
		story.Run(`kubectl wait -n publisher am/smf --for=condition=Uploaded --timeout=120s`, story.Says("condition met")),
		story.Run(`export VICTIM=$(pid nfo-system $(` + leader + `))`),
		story.Run(`kubectl delete -n publisher am smf --wait=false; ` + killedWhen(`[ ! -e $E2E/registry/docker/registry/v2/repositories/acme/smf/smf/_manifests/tags/1.0.0/current/link ]`) + `; ` + left + ` | tee $E2E/left`),
		story.Run(`awk '$1 > 0 && $1 < 400 {print "It was in the middle: " $1 " tags were left."}' $E2E/left`, story.Says("in the middle")),
		story.Run(`kubectl wait -n publisher am/smf --for=delete --timeout=120s`).Within(3 * time.Minute),
		story.Run(`[ $(` + left + `) = 0 ]`),
		story.Run(many, story.Says("smf created")),
		story.Run(`kubectl wait -n publisher am/smf --for=condition=Uploaded --timeout=120s`, story.Says("condition met")),
		story.Run(`demo tags $REGISTRY/acme/smf | sort | diff $E2E/smf -`),
	}},
	{Title: "The registry is killed in the middle of a purge. The job goes on when it is back, and what is in use is whole.", Steps: []story.Step{
		story.Run(samples+` | grep artifactmanifest`, story.Says("upf-1.0.0 created")),
		story.Run(`for image in upf-datapath:1.0.0 upf-control:1.0.0 upf-init:1.0.0 upf-migrate:1.0.0 exporter:2.1.0; do demo push image $REPO/$image; done | tee $E2E/live`, story.Lines(5, "@sha256:")),
		story.Run(`kubectl delete -n publisher am smf --timeout=120s`, story.Says("deleted")),
		story.Run(`kubectl annotate -n publisher ts --all nfo.dev/expire-now=`, story.Says("annotated")),
		story.Run(`kubectl patch -n publisher as acme --type=merge -p '{"spec":{"purge":{"concurrency":1}}}'`, story.Says("patched")), // otherwise the purge is too fast to be interrupted
		story.Run(`export VICTIM=$(pid publisher $(kubectl get pod -n publisher -l app=registry -o name))`),
		story.Run(`kubectl create job -n publisher cut --from=cronjob/acme-purge; ` + killedWhen(`[ $(`+stored+`) -lt 400 ]`) + `; ` + stored + ` | tee $E2E/left`),
		story.Run(`awk '$1 > 0 && $1 < 400 {print "It was in the middle: " $1 " digests were left."}' $E2E/left`, story.Says("in the middle")),
		story.Until(`kubectl get pods -n publisher -l app=registry`, story.Lines(1, "1/1 Running 1")),
		story.Until(`kubectl get job -n publisher cut`, story.Says("Complete")).Within(4 * time.Minute),
		story.Until(`kubectl get -n publisher as acme`, story.Says("acme True")),
		story.Refused(`demo resolve $(sed 's/:[^:@]*@/@/' $E2E/smf)`, story.Lines(400, "404 Not Found")),
		story.Run(`demo resolve $(cat $E2E/live)`, story.Lines(5, "200 OK")),
		// A digest that was deleted without a record counts as deleted once two purges, a minute apart, have not found it.
		story.Until(`kubectl create job -n publisher after-$(date +%s) --from=cronjob/acme-purge; sleep 25; kubectl get -n publisher ts 2>&1`, story.Omits("smf")).Within(4 * time.Minute),
	}},
	{Title: "An upgrade gives the manager too little memory: the new one is killed at each start, and the old one goes on. Without that nothing can be deleted; with enough memory all goes on where it was.", Steps: []story.Step{
		story.Run(`kubectl patch -n publisher nfdv upf-1.0.0 --type=json -p '[{"op": "add", "path": "/metadata/finalizers/-", "value": "example.com/wait"}]'`, story.Says("patched")),
		story.Run(`kubectl delete -n publisher nsdv/core-1.0.0 nfdv/upf-1.0.0 am/upf-1.0.0 --wait=false`, story.Lines(3, "deleted")),
		story.Run(`kubectl wait -n publisher am/upf-1.0.0 --for=condition=DeletionBlocked --timeout=60s`, story.Says("condition met")),
		story.Run(`helm upgrade nfo charts/nfo --namespace nfo-system --set image.repository=$IMAGE,image.tag=e2e --set resources.limits.memory=10Mi,resources.requests.memory=10Mi`, story.Says("STATUS: deployed")),
		story.Until(`kubectl get pods -n nfo-system -o jsonpath='{.items[*].status.containerStatuses[*].lastState.terminated.reason}'`, story.Says("OOMKilled")),
		story.Run(`kubectl get deployment -n nfo-system nfo-manager`, story.Says("1/1")),
		story.Run(`kubectl scale -n nfo-system deployment/nfo-manager --replicas=0`, story.Says("scaled")),
		story.Until(`kubectl get pods -n nfo-system`, story.Says("No resources found")),
		story.Run(`kubectl scale -n nfo-system deployment/nfo-manager --replicas=1`, story.Says("scaled")),
		story.Until(`kubectl get pods -n nfo-system -o jsonpath='{.items[*].status.containerStatuses[*].lastState.terminated.reason}'`, story.Says("OOMKilled")),
		story.Until(`kubectl delete -n publisher as acme --dry-run=server 2>&1; true`, story.Says("failed calling webhook")),
		story.Run(`demo tags $REPO | sort | diff <(sort $E2E/live) -`),
		story.Run(upgrade, story.Says("STATUS: deployed")).Within(3 * time.Minute),
		story.Run(`kubectl patch -n publisher nfdv upf-1.0.0 --type=json -p '[{"op": "remove", "path": "/metadata/finalizers"}]'`, story.Says("patched")),
		story.Run(`kubectl wait -n publisher am/upf-1.0.0 --for=delete --timeout=60s`),
		story.Run(`demo tags $REPO`, story.Says("no tags"), story.Omits("sha256")),
		story.Run(`demo resolve $(sed 's/:[^:@]*@/@/' $E2E/live)`, story.Lines(5, "200 OK")),
	}},
}
