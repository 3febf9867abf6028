package e2e

import (
	"time"

	"github.com/nfo-operator/nfo/test/story"
)

const (
	// granting is what an administrator runs so that workloads are counted for the store acme.
	granting = `helm upgrade nfo charts/nfo --namespace nfo-system --set image.repository=$IMAGE,image.tag=e2e,pollsPerSecond=200 --set workloads.enabled=true ` +
		`--set 'workloads.purgers[0].namespace=publisher,workloads.purgers[0].store=acme' --set 'workloads.helmReleases={ran}' --wait --timeout 2m`
	// smf is a manifest that no definition references.
	smf = `kubectl apply -n publisher -f - <<< '{"apiVersion": "nfo.dev/v1alpha1", "kind": "ArtifactManifest", "metadata": {"name": "smf-1.0.0"}, "spec": {"artifactStoreRef": {"name": "acme"}, "artifacts": [` +
		`{"artifactName": "smf", "artifactVersion": "1.0.0", "artifactType": "OCIArtifact"}, {"artifactName": "report", "artifactVersion": "1.0.0", "artifactType": "OCIArtifact"}]}}'`
)

// running has workloads that no object of nfo references.
var running = []story.Chapter{
	{Title: "An administrator grants to read what workloads run, and the store counts it.", Steps: []story.Step{
		story.Run(`kubectl create namespace ran`, story.Says("created")),
		story.Run(granting, story.Says("STATUS: deployed")).Within(3 * time.Minute),
		story.Run(`demo push image $REGISTRY/acme/smf-1.0.0/smf:1.0.0 && demo push image $REGISTRY/acme/smf-1.0.0/report:1.0.0`, story.Lines(2, "@sha256:")),
		story.Run(smf, story.Says("created")),
		story.Run(`kubectl wait -n publisher am/smf-1.0.0 --for=condition=Uploaded --timeout=60s`, story.Says("condition met")),
		story.Run(`kubectl create deployment smf -n ran --image=$REGISTRY/acme/smf-1.0.0/smf:1.0.0`, story.Says("created")),
		story.Run(`kubectl create cronjob report -n ran --schedule="0 0 1 1 *" --image=$REGISTRY/acme/smf-1.0.0/report:1.0.0`, story.Says("created")),
		story.Run(`kubectl patch -n publisher as acme --type=merge -p '{"spec":{"workloads":{}}}'`, story.Says("patched")),
		story.Until(`kubectl get -n publisher as acme -o jsonpath='{range .status.workloads.sources[*]}{.name} {.state}{"\n"}{end}'`, story.Lines(1, "Pods Read"), story.Lines(1, "Controllers Read")),
	}},
	{Title: "The image of a Deployment cannot be deleted, scaled to zero as well, nor that of a CronJob that never ran.", Steps: []story.Step{
		story.Until(`kubectl get -n publisher am smf-1.0.0 -o jsonpath='{.status.dependents[*].kind}'`, story.Says("CronJob", "Deployment")),
		story.Refused(`kubectl delete -n publisher am smf-1.0.0`, story.Says("deployments/ran/smf", "cronjobs/ran/report", "has some resources attached to it")),
		story.Run(`kubectl scale -n ran deployment smf --replicas=0`, story.Says("scaled")),
		story.Run(`kubectl delete -n ran cronjob report`, story.Says("deleted")),
		// If reading takes the webhook more than two seconds, it answers from an older reading.
		story.Until(`kubectl delete -n publisher am smf-1.0.0 --dry-run=server 2>&1; true`, story.Says("deployments/ran/smf"), story.Omits("cronjobs")),
		story.Refused(`kubectl delete -n publisher am smf-1.0.0`, story.Says("deployments/ran/smf"), story.Omits("cronjobs")),
		story.Until(`kubectl describe -n publisher am smf-1.0.0`, story.Says("Deployment", "DeletionRefused")),
		story.Run(`kubectl nfo why am/smf-1.0.0 -n publisher`, story.Says("deployments/ran/smf", "container smf", "Deleting it is refused")),
		story.Run(`kubectl nfo images -n publisher`, story.Says("acme/smf-1.0.0/smf:1.0.0", "deployments/ran/smf", "InUse")),
		story.Run(`kubectl nfo images -n publisher --unused`, story.Says("acme/smf-1.0.0/report:1.0.0"), story.Omits("acme/smf-1.0.0/smf:1.0.0")),
		story.Run(`nfo check --timeout=20s`, story.Says("Pods", "Controllers")),
	}},
	{Title: "When the Deployment is gone, it goes. A purge reads what runs, too.", Steps: append(append([]story.Step{
		story.Run(`kubectl delete -n ran deployment smf`, story.Says("deleted")),
		story.Until(`kubectl delete -n publisher am smf-1.0.0 --timeout=60s`, story.Says("deleted")).Within(2 * time.Minute),
	}, purgeNow("beside-workloads")...),
		story.Until(lastPurge, story.Says(`"outcome":"`), story.Omits(`"outcome":"Failed"`)),
	)},
	{Title: "What Helm can roll back to cannot be deleted, until Helm forgets that revision.", Steps: []story.Step{
		story.Run(`kubectl patch -n publisher as acme --type=merge -p '{"spec":{"workloads":{"sources":["HelmReleases"],"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"ran"}}}}}'`, story.Says("patched")),
		story.Until(`kubectl get -n publisher as acme -o jsonpath='{range .status.workloads.sources[*]}{.name} {.state}{"\n"}{end}'`, story.Lines(1, "HelmReleases Read"), story.Omits("Pods")),
		story.Run(`demo push image $REGISTRY/acme/smf-1.0.0/smf:1.0.0 && demo push image $REGISTRY/acme/smf-1.0.0/report:1.0.0`, story.Lines(2, "@sha256:")),
		story.Run(`helm install smf $YAML/running -n ran --set image=$REGISTRY/acme/smf-1.0.0/smf:1.0.0`, story.Says("STATUS: deployed")),
		story.Run(`helm upgrade smf $YAML/running -n ran --set image=$REGISTRY/acme/smf-2.0.0/smf:2.0.0`, story.Says("STATUS: deployed")),
		story.Run(smf, story.Says("created")),
		story.Run(`kubectl wait -n publisher am/smf-1.0.0 --for=condition=Uploaded --timeout=60s`, story.Says("condition met")),
		story.Until(`kubectl delete -n publisher am smf-1.0.0 --dry-run=server 2>&1; true`, story.Says("helmreleases/ran/smf", "revision 1")),
		story.Refused(`kubectl delete -n publisher am smf-1.0.0`, story.Says("helmreleases/ran/smf", "revision 1")),
		story.Run(`demo resolve $REGISTRY/acme/smf-1.0.0/smf:1.0.0`, story.Says("200 OK")),
		story.Run(`helm upgrade smf $YAML/running -n ran --history-max 1 --set image=$REGISTRY/acme/smf-2.0.0/smf:2.0.0`, story.Says("STATUS: deployed")),
		story.Run(`helm upgrade smf $YAML/running -n ran --history-max 1 --set image=$REGISTRY/acme/smf-2.0.0/smf:2.0.0`, story.Says("STATUS: deployed")),
		story.Run(`helm history smf -n ran`, story.Omits("install complete", "Install complete")),
		story.Until(`kubectl delete -n publisher am smf-1.0.0 --timeout=60s`, story.Says("deleted")).Within(2 * time.Minute),
		story.Run(`kubectl patch -n publisher as acme --type=merge -p '{"spec":{"workloads":null}}'`, story.Says("patched")),
		story.Run(`helm uninstall smf -n ran`, story.Says("uninstalled")),
		story.Run(upgrade, story.Says("STATUS: deployed")).Within(3 * time.Minute),
	}},
}
