package e2e

import (
	"testing"
	"time"

	"github.com/nfo-operator/nfo/test/story"
)

const (
	// own is the address of the Service nfo-registry. It is fixed because this cluster has no DNS.
	own = `10.96.0.60`
	// installOwn polls more often than the default, and keeps unreferenced content for one minute.
	installOwn = `helm install nfo charts/nfo --namespace nfo-system --set image.repository=$IMAGE,image.tag=e2e,pollsPerSecond=200 ` +
		`--set registry.enabled=true,registry.host=$OWN,registry.service.clusterIP=$OWN,registry.collection.grace=1m ` +
		`--set registry.persistence.size=64Mi,registry.persistence.storageClassName=own ` +
		// No proxy answers there: the programs must reach everything in the cluster without it.
		`--set proxy.httpsProxy=http://127.0.0.1:9,proxy.httpProxy=http://127.0.0.1:9 --wait --timeout 3m`
	// logIn logs in with an account of the publisher, as a pipeline does.
	logIn = `kubectl create token -n own $ACCOUNT --audience nfo-registry | crane auth login $OWN --username kubernetes --password-stdin`
	// push makes an image with a layer of 8 MiB and pushes it. The name is appended.
	push = `head -c 8M /dev/urandom > $E2E/layer && tar cf $E2E/layer.tar -C $E2E layer && crane append --new_layer $E2E/layer.tar --new_tag $OWN/own/upf-1.0.0/`
	// ask sends a request to the registry with the operator's account. The path is appended.
	ask = `curl --silent --show-error --cacert $E2E/ca.crt --user "nfo:$(kubectl create token -n nfo-system nfo-manager --audience nfo-registry)" https://$OWN/nfo/v1/`
	// graceOver checks that the grace period of everything that was released is over. An earlier purge would delete nothing.
	graceOver = `[ "$(date -u +%FT%TZ)" \> "$(kubectl get -n own ts -o jsonpath='{range .items[*]}{.status.restorableUntil}{"\n"}{end}' | sort | tail -1)" ]`
	// used prints how many MiB of the volume are used.
	used = ask + `usage | sed -E 's/.*"used":([0-9]+).*/\1/' | awk '{print int($1/1048576)}'`
)

// TestClusterRegistry goes through the life of the registry that the chart installs. Pods do not pull from it in this test.
func TestClusterRegistry(t *testing.T) { tell(t, registering) }

var registering = []story.Chapter{
	{Title: "The operator is installed with a registry of its own, in a namespace that admits only restricted pods.", Steps: []story.Step{
		story.Run(`export OWN=` + own),
		story.Run(`export SSL_CERT_FILE=$E2E/ca.crt`),
		story.Run(`kubectl create namespace nfo-system --dry-run=client -o yaml | kubectl apply -f -`, story.Says("namespace/nfo-system")),
		story.Run(`kubectl label namespace nfo-system --overwrite pod-security.kubernetes.io/enforce=restricted`, story.Says("namespace/nfo-system")),
		story.Run(`rm -rf $E2E/registry/* && install -d -o 65532 -g 65532 $E2E/registry/own && sed "s#E2E#$E2E#" $YAML/own/volume.yaml | kubectl apply -f -`, story.Says("created")),
		story.Refused(installOwn+` --set registry.replicas=2`, story.Says("registry.replicas is 2", "ReadWriteMany")),
		story.Run(installOwn, story.Says("STATUS: deployed", "nfo-registry, at "+own)).Within(4 * time.Minute),
		story.Run(`kubectl get pods -n nfo-system`, story.Lines(2, "1/1 Running")),
		story.Until(`kubectl get configmap -n nfo-system nfo-registry-ca -o jsonpath='{.data.ca\.crt}' | tee $E2E/ca.crt`, story.Says("BEGIN CERTIFICATE")),
		story.Run(`kubectl get secret -n nfo-system nfo-registry-uploads -o jsonpath='{.data.secret}' | base64 -d | wc -c`, story.Says("64")),
	}},
	{Title: "A store in it has no URL, Secret or certificate, and says where to push.", Steps: []story.Step{
		// The node may not route to the pod yet when it has just become ready.
		story.Until(`kubectl apply -f $YAML/own/store.yaml`, story.Says("artifactstore.nfo.dev/acme", "artifactmanifest.nfo.dev/upf-1.0.0"), story.Omits("Error")),
		story.Run(`kubectl wait -n own as/acme --for=condition=Ready --timeout=3m`, story.Says("condition met")).Within(4 * time.Minute),
		story.Run(`kubectl get -n own as acme -o jsonpath='{.status.url}'`, story.Says("https://"+own+"/own")),
		story.Run(`kubectl get -n own as acme -o jsonpath='{.status.caBundle}' | base64 -d | diff $E2E/ca.crt -`),
	}},
	{Title: "Nobody pushes without a login, without the verb, or beside the manifest's list.", Steps: []story.Step{
		story.Run(used + ` | tee $E2E/empty`),
		story.Refused(push+`upf:1.0.0`, story.Says("401 Unauthorized")),
		story.Run(`export ACCOUNT=stranger`),
		story.Run(logIn, story.Says("logged in")),
		story.Refused(push+`upf:1.0.0`, story.Says("DENIED", "needs the verb", "system:serviceaccount:own:stranger")),
		story.Run(`export ACCOUNT=ci`),
		story.Run(logIn, story.Says("logged in")),
		story.Refused(push+`smf:1.0.0`, story.Says("DENIED", "lists the repository")),
	}},
	{Title: "An account with the verb push pushes what the manifest lists, which is then complete, and pulls it.", Steps: []story.Step{
		story.Run(push+`upf:1.0.0`, story.Says("pushed")),
		story.Run(`kubectl wait -n own am/upf-1.0.0 --for=condition=Uploaded --timeout=60s`, story.Says("condition met")),
		story.Run(`crane digest $OWN/own/upf-1.0.0/upf:1.0.0 | tee $E2E/digest`, story.Says("sha256:")),
		story.Run(`crane export $OWN/own/upf-1.0.0/upf:1.0.0 - | tar xO layer | cmp - $E2E/layer`),
		story.Refused(`crane delete $OWN/own/upf-1.0.0/upf@$(cat $E2E/digest)`, story.Says("DENIED", "may not delete")),
		story.Run(used + ` | tee $E2E/full && [ $(cat $E2E/full) -ge $(($(cat $E2E/empty) + 8)) ]`),
	}},
	{Title: "The manifest is deleted and purged: the registry does not have it any more, and frees the disk when it is asked to collect.", Steps: []story.Step{
		story.Run(`kubectl delete -n own am upf-1.0.0 --timeout=60s`, story.Says("deleted")),
		story.Until(`kubectl get -n own ts && `+graceOver, story.Says("upf-1.0.0 Released Untagged")),
		story.Run(`kubectl create job -n own purge --from=cronjob/acme-purge`, story.Says("created")),
		story.Run(`kubectl wait -n own job/purge --for=condition=Complete --timeout=90s`, story.Says("condition met")).Within(2 * time.Minute),
		story.Run(`kubectl get -n own as acme -o jsonpath='{.status.lastPurge}'`, story.Says(`"outcome":"Succeeded"`, `"deleted":1`)),
		story.Until(ask+`collection --request POST && sleep 5 && `+used+` | tee $E2E/collected && [ $(cat $E2E/collected) -le $(cat $E2E/empty) ]`, story.Says(`"requested"`)).Within(4 * time.Minute),
		story.Until(ask+`collection`, story.Says(`"running":false`), story.Omits(`"error"`)),
	}},
	{Title: "The registry's pod is replaced: it comes back with the same certificate.", Steps: []story.Step{
		story.Run(`kubectl rollout restart -n nfo-system deployment/nfo-registry && kubectl rollout status -n nfo-system deployment/nfo-registry --timeout=2m`, story.Says("successfully rolled out")).Within(3 * time.Minute),
		story.Until(ask+`usage`, story.Says(`"free"`)),
		story.Run(`kubectl get configmap -n nfo-system nfo-registry-ca -o jsonpath='{.data.ca\.crt}' | diff $E2E/ca.crt -`),
	}},
	{Title: "The chart is uninstalled: the volume stays, and no key does.", Steps: []story.Step{
		story.Run(`kubectl delete namespace own --timeout=120s`, story.Says("deleted")).Within(3 * time.Minute),
		story.Run(`helm uninstall nfo --namespace nfo-system --wait --timeout 8m`, story.Says("uninstalled")).Within(9 * time.Minute),
		story.Run(`kubectl get pvc -n nfo-system nfo-registry`, story.Says("Bound")),
		story.Run(`kubectl get secrets,configmaps -n nfo-system -o name`, story.Omits("nfo-registry")),
		story.Until(ours, story.Omits("nfo-registry")),
		story.Run(`kubectl delete -n nfo-system pvc nfo-registry && kubectl delete pv own`, story.Lines(2, "deleted")),
	}},
}
