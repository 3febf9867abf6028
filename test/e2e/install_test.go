package e2e

import (
	"testing"
	"time"

	"github.com/nfo-operator/nfo/test/story"
)

// The helm commands are those of the README, with this run's image and a
// higher polling rate, because some manifests have hundreds of artifacts.
const (
	install = `helm install nfo charts/nfo --namespace nfo-system --set image.repository=$IMAGE,image.tag=e2e,pollsPerSecond=200 --wait --timeout 2m`
	upgrade = `helm upgrade nfo charts/nfo --namespace nfo-system --set image.repository=$IMAGE,image.tag=e2e,pollsPerSecond=200 --wait --timeout 2m`
	// previous is a copy of the chart as an earlier version could have been: its schema lacks a column.
	previous = `rm -rf $E2E/previous && cp -r charts/nfo $E2E/previous && sed -i 's/^version: .*/version: 0.0.1/' $E2E/previous/Chart.yaml && ` +
		`sed -i '/name: Restorable Until/,+1d;/jsonPath: .status.restorableUntil/,+1d' $E2E/previous/files/crd/nfo.dev_tombstones.yaml`

	samples    = `kubectl kustomize config/samples | sed "s#registry.example.com#$REGISTRY#" | kubectl apply -f -`
	registryUp = `sed "s#E2E#$E2E#;s#IMAGE#$IMAGE#;s#PEERS#$PWD/bin/peers#" $YAML/registry/registry.yaml | kubectl apply -f -`
)

// TestNfo goes through the life of the product on a cluster in one
// story. Each chapter starts with the state that the previous one left.
func TestNfo(t *testing.T) {
	var all []story.Chapter
	for _, part := range [][]story.Chapter{installing, publishing, purging, running, failing, removing} {
		all = append(all, part...)
	}
	tell(t, all)
}

var installing = []story.Chapter{
	{Title: "An older chart is installed into a namespace that admits only pods of the restricted security standard.", Steps: []story.Step{
		story.Run(`kubectl create namespace nfo-system`, story.Says("created")),
		story.Run(`kubectl label namespace nfo-system pod-security.kubernetes.io/enforce=restricted`, story.Says("labeled")),
		story.Run(previous),
		story.Run(`helm install nfo $E2E/previous --namespace nfo-system --set image.repository=$IMAGE,image.tag=e2e --wait --timeout 2m`, story.Says("STATUS: deployed")).Within(3 * time.Minute),
		story.Run(`kubectl get crd tombstones.nfo.dev -o yaml`, story.Omits("Restorable Until")),
	}},
	{Title: "A mistyped value is refused, and nothing changes.", Steps: []story.Step{
		story.Refused(`helm upgrade nfo charts/nfo --namespace nfo-system --set image.repository=$IMAGE --set scael=large`, story.Says("scael")),
		story.Run(`helm list --namespace nfo-system`, story.Says("nfo-0.0.1")),
	}},
	{Title: "It is upgraded, and its schemas with it.", Steps: []story.Step{
		story.Run(upgrade, story.Says("STATUS: deployed")).Within(3 * time.Minute),
		story.Until(`kubectl get crd tombstones.nfo.dev -o yaml`, story.Says("Restorable Until")),
		story.Until(`kubectl get pods -n nfo-system`, story.Lines(1, "1/1 Running")),
	}},
	{Title: "It tests itself.", Steps: []story.Step{
		story.Run(`helm test nfo --namespace nfo-system`, story.Says("ok: the webhooks answer", "Phase: Succeeded"), story.Omits("Failed")),
	}},
	{Title: "Its webhooks answer nobody but the API server, which alone knows their paths.", Steps: []story.Step{
		story.Until(`kubectl get validatingwebhookconfiguration nfo-validating -o jsonpath='{.webhooks[*].clientConfig.service.path}' | grep -cE '^(/[a-z2-7]{26}/validate[^ ]* ?){5}$'`, story.Lines(1, "1")).Within(2 * time.Minute),
		story.Run(`curl -sk -d '{}' https://$(kubectl get pod -n nfo-system $(`+leader+`) -o jsonpath='{.status.podIP}'):9443/guess/validate-nfo-dev-v1alpha1-artifactstore`, story.Says("only the API server may ask")),
		story.Refused(`kubectl create -n default --dry-run=server -f - <<< '{"apiVersion": "nfo.dev/v1alpha1", "kind": "ArtifactStore", "metadata": {"name": "wrong"}, "spec": {"registry": {"url": "https://registry.example.com/wrong"}, "purge": {"schedule": "never"}}}'`, story.Says("not a crontab line")),
	}},
	{Title: "A registry is started in the publisher's namespace, on a volume of 64 MiB.", Steps: []story.Step{
		story.Run(registryUp, story.Says("deployment.apps/registry created")),
		story.Run(`kubectl rollout status -n publisher deployment/registry --timeout=60s`, story.Says("successfully rolled out")),
	}},
}
