package e2e

import (
	"time"

	"github.com/nfo-operator/nfo/test/story"
)

// lastPurge prints the last purge from the store's status.
const lastPurge = `kubectl get -n publisher as acme -o jsonpath='{.status.lastPurge}'`

// purgeNow runs the CronJob's job at once, under the given name, and waits until it is complete.
func purgeNow(name string) []story.Step {
	return []story.Step{
		story.Run(`kubectl create job -n publisher `+name+` --from=cronjob/acme-purge`, story.Says("created")),
		story.Run(`kubectl wait -n publisher job/`+name+` --for=condition=Complete --timeout=90s`, story.Says("condition met")),
	}
}

var purging = []story.Chapter{
	{Title: "In a namespace that admits only restricted pods, a CronJob purges on its own schedule what was released, after its grace.", Steps: []story.Step{
		story.Run(`sed "s#registry.example.com#$REGISTRY#" $YAML/restricted/store.yaml | kubectl apply -f -`, story.Lines(3, "created")),
		story.Run(`demo push image $REGISTRY/edge/amf-1.0.0/amf:1.0.0 | tee $E2E/amf`, story.Says("@sha256:")),
		story.Run(`kubectl wait -n restricted am/amf-1.0.0 --for=condition=Uploaded --timeout=60s`, story.Says("condition met")),
		story.Run(`kubectl delete -n restricted am amf-1.0.0 --timeout=60s`, story.Says("deleted")),
		story.Run(`demo resolve $(cat $E2E/amf)`, story.Says("200 OK")),
		story.Until(`! demo resolve $(cat $E2E/amf)`, story.Says("404 Not Found")).Within(3 * time.Minute),
		story.Until(`kubectl get -n restricted jobs`, story.Says("edge-purge-", "Complete 1/1")),
		story.Until(`kubectl get -n restricted as edge -o jsonpath='{.status.lastPurge}'`, story.Says(`"outcome":"Succeeded"`)),
		story.Run(`kubectl patch -n restricted as edge --type=merge -p '{"spec":{"purge":{"suspend":true}}}'`, story.Says("patched")),
	}},
	{Title: "A job made from the CronJob runs on demand. Below the threshold it deletes nothing, and says so.", Steps: append([]story.Step{
		story.Run(`kubectl patch -n publisher as acme --type=merge -p '{"spec":{"purge":{"gracePeriod":"1s","thresholdPercent":50}}}'`, story.Says("patched")),
		story.Run(`kubectl delete -n publisher am upf-1.0.0 --timeout=60s`, story.Says("deleted")),
	}, append(purgeNow("below"),
		story.Until(lastPurge, story.Says(`"outcome":"BelowThreshold"`)),
		story.Run(`demo resolve $(cat $E2E/released)`, story.Lines(7, "200 OK")))...)},
	{Title: "The store asks the registry's own volume how full it is. A big artifact takes it over the threshold, and the next purge deletes.", Steps: append([]story.Step{
		story.Run(`kubectl patch -n publisher as acme --type=merge -p '{"spec":{"purge":{"usage":"Volume","persistentVolumeClaim":{"name":"registry"}}}}'`, story.Says("patched")),
		story.Until(`kubectl get -n publisher cronjob acme-purge -o jsonpath='{.spec.jobTemplate.spec.template.spec.volumes}'`, story.Says(`"claimName":"registry"`)),
	}, append(append(purgeNow("still-below"),
		story.Until(lastPurge, story.Says(`"outcome":"BelowThreshold"`)),
		story.Run(`head -c 40M /dev/urandom > $E2E/big && demo push file $REGISTRY/other/big:1 $E2E/big`, story.Says("@sha256:"))),
		append(purgeNow("above"),
			story.Until(lastPurge, story.Says(`"outcome":"Succeeded"`)),
			story.Refused(`demo resolve $(sed 's/:[^:@]*@/@/' $E2E/released)`, story.Lines(7, "404 Not Found")),
			story.Run(`demo resolve $REGISTRY/other/big:1`, story.Says("200 OK")),
			story.Run(`kubectl get -n publisher as acme -o jsonpath='{.status.usage}'`, story.Says(`"source":"Volume"`)))...)...)},
}
