package e2e

import (
	"time"

	"github.com/nfo-operator/nfo/test/story"
)

const (
	account = `system:serviceaccount:nfo-system:nfo-manager`
	// ours prints objects and finalizers that must not exist any more after the product is uninstalled.
	ours = `kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations,validatingadmissionpolicies -o name | grep /nfo-; ` +
		`kubectl get cronjobs,jobs,pods -A -l app.kubernetes.io/managed-by=nfo -o name; ` +
		`kubectl get as,am,nfdv,nsdv,sns -A -o jsonpath='{range .items[*]}{.metadata.name}{" "}{.metadata.finalizers}{"\n"}{end}' | grep nfo.dev; ` +
		`kubectl get clusterroles,clusterrolebindings,all -n nfo-system -o name | grep /nfo-; true`
	// rest prints the memory of the manager once it has run for a minute, and fails while it uses more than 80 MiB.
	rest = `p=$(pid nfo-system $(` + leader + `)) && [ $(ps -o etimes= -p $p) -ge 60 ] && ` +
		`awk '/^VmRSS/ {print "The manager has " int($2/1024) " MiB"; exit $2 > 80*1024}' /proc/$p/status`
	everyPublisher = `for n in $(seq 1000); do printf -- '---\n'; sed "s/NAME/udm-$n/" $YAML/releases/udm.yaml; done | kubectl apply -f - | grep -c created`
)

var removing = []story.Chapter{
	{Title: "With 1,000 manifests, the manager at rest needs at most 80 MiB of memory, of which the program itself is some 40.", Steps: []story.Step{
		story.Run(everyPublisher, story.Says("1000")).Within(4 * time.Minute),
		story.Until(`kubectl get -n publisher as acme -o jsonpath='{.status.manifests}'`, story.Says("1000")),
		story.Until(`kubectl get -n publisher am -o jsonpath='{range .items[*]}{.status.conditions[?(@.type=="Ready")].reason}{"\n"}{end}' | grep -c .`, story.Says("1000")),
		story.Run(`helm upgrade nfo charts/nfo --namespace nfo-system --set image.repository=$IMAGE,image.tag=e2e --wait --timeout 2m`, story.Says("STATUS: deployed")).Within(3 * time.Minute),
		story.Until(rest, story.Says("MiB")).Within(5 * time.Minute),
	}},
	{Title: "The operator is kept to the publisher's namespace, where all goes on, and has no right elsewhere.", Steps: []story.Step{
		story.Run(`kubectl create namespace customer`, story.Says("created")),
		story.Run(upgrade+` --set 'watchNamespaces={publisher}'`, story.Says("STATUS: deployed", "It acts in publisher alone")).Within(3 * time.Minute),
		story.Until(`kubectl get pods -n nfo-system -l app.kubernetes.io/component=manager`, story.Lines(1, "nfo-manager-")), // the previous manager still acts everywhere
		story.Run(`helm test nfo --namespace nfo-system`, story.Says("Phase: Succeeded"), story.Omits("Failed")),
		story.Refused(`kubectl get -n publisher as acme -o yaml | sed 's/namespace: publisher/namespace: customer/;/uid:/d;/resourceVersion:/d' | kubectl create -f -`, story.Says("nfo does not watch the namespace customer")),
		story.Run(`kubectl auth can-i get secrets -n publisher --as=`+account, story.Says("yes")),
		story.Refused(`kubectl auth can-i get secrets -n customer --as=`+account, story.Says("no")),
		story.Refused(`kubectl auth can-i create cronjobs -n customer --as=`+account, story.Says("no")),
		story.Run(`sed "s/NAME/watched/" $YAML/releases/udm.yaml | kubectl apply -f -`, story.Says("created")),
		story.Until(`kubectl get -n publisher am watched -o jsonpath='{.metadata.finalizers}'`, story.Says("nfo.dev")),
		story.Run(`kubectl delete -n publisher am watched --timeout=60s`, story.Says("deleted")),
		story.Run(`kubectl create job -n publisher watched --from=cronjob/acme-purge`, story.Says("created")),
		story.Until(`kubectl get job -n publisher watched`, story.Says("Complete")),
	}},
	{Title: "The chart is uninstalled with everything in place: nothing of it is left, no object is stuck, no artifact is touched.", Steps: []story.Step{
		story.Run(upgrade, story.Says("STATUS: deployed")).Within(3 * time.Minute),
		story.Run(samples+` | grep artifactmanifest`, story.Says("upf-1.0.0 created")),
		story.Run(`demo push chart $REPO/upf:1.0.0 test/demo/chart/upf && demo push file $REPO/nf-template:1.0.0 test/demo/nf-template.json`, story.Lines(2, "@sha256:")),
		story.Run(uploaded, story.Says("condition met")),
		story.Run(`kubectl wait -n publisher nfdv/upf-1.0.0 nsdv/core-1.0.0 --for=condition=Ready --timeout=60s`, story.Lines(2, "condition met")),
		story.Run(`demo tags $REGISTRY/acme | tee $E2E/before`, story.Says("@sha256:")),
		story.Run(`helm uninstall nfo --namespace nfo-system --wait --timeout 5m`, story.Says("uninstalled")).Within(6 * time.Minute),
		story.Until(ours, story.Omits("nfo")),
		story.Run(`kubectl get am -n publisher -o name | wc -l`, story.Says("1001")),
		story.Run(`demo tags $REGISTRY/acme | diff $E2E/before -`),
	}},
	{Title: "It is installed again and takes up what it finds.", Steps: []story.Step{
		story.Run(install, story.Says("STATUS: deployed")).Within(3 * time.Minute),
		story.Until(`kubectl get -n publisher am upf-1.0.0 -o jsonpath='{.metadata.finalizers}'`, story.Says("nfo.dev")),
		story.Until(`kubectl delete -n publisher am upf-1.0.0 --dry-run=server 2>&1; true`, story.Says("has some resources attached to it")),
		story.Run(`demo tags $REGISTRY/acme | diff $E2E/before -`),
	}},
	{Title: "It is uninstalled when its manager has long been dead, and a deletion is under way.", Steps: []story.Step{
		story.Run(`kubectl patch -n publisher nfdv upf-1.0.0 --type=json -p '[{"op": "add", "path": "/metadata/finalizers/-", "value": "example.com/teardown"}]'`, story.Says("patched")),
		story.Run(`kubectl delete -n publisher nsdv/core-1.0.0 nfdv/upf-1.0.0 am/upf-1.0.0 --wait=false`, story.Lines(3, "deleted")),
		story.Run(`kubectl scale -n nfo-system deployment/nfo-manager --replicas=0`, story.Says("scaled")),
		story.Until(`kubectl get pods -n nfo-system`, story.Says("No resources found")),
		story.Run(`kubectl set image -n nfo-system deployment/nfo-manager '*=registry.example.com/none:none'`, story.Says("image updated")),
		story.Run(`kubectl scale -n nfo-system deployment/nfo-manager --replicas=1`, story.Says("scaled")),
		story.Until(`kubectl get pods -n nfo-system`, story.Says("ImagePull")),
		story.Until(`kubectl delete -n publisher as acme --dry-run=server 2>&1; true`, story.Says("failed calling webhook")),
		story.Run(`helm uninstall nfo --namespace nfo-system --wait --timeout 5m`, story.Says("uninstalled")).Within(6 * time.Minute),
		story.Until(ours, story.Omits("nfo")),
		story.Run(`kubectl wait -n publisher am/upf-1.0.0 --for=delete --timeout=60s`),
		story.Run(`demo tags $REGISTRY/acme | diff $E2E/before -`),
		story.Run(`kubectl patch -n publisher nfdv upf-1.0.0 --type=json -p '[{"op": "remove", "path": "/metadata/finalizers"}]'`, story.Says("patched")),
		story.Run(`kubectl delete namespace publisher restricted --timeout=120s`, story.Lines(2, "deleted")).Within(3 * time.Minute),
	}},
}
