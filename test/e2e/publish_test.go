package e2e

import "github.com/nfo-operator/nfo/test/story"

const (
	applyManifest = `kubectl apply -n publisher -f config/samples/02-manifest.yaml`
	uploaded      = `kubectl wait -n publisher am/upf-1.0.0 --for=condition=Uploaded --timeout=60s`
	describe      = `kubectl describe -n publisher am upf-1.0.0`
)

var publishing = []story.Chapter{
	{Title: "A publisher declares a store, a manifest and what uses it, and pushes the artifacts.", Steps: []story.Step{
		story.Run(`export REPO=$REGISTRY/acme/upf-1.0.0`),
		story.Run(samples, story.Says("artifactmanifest.nfo.dev/upf-1.0.0 created", "artifactstore.nfo.dev/acme created")),
		story.Run(`kubectl wait -n publisher am/upf-1.0.0 --for=condition=Uploaded=False --timeout=60s`, story.Says("condition met")),
		story.Run(`demo push chart $REPO/upf:1.0.0 test/demo/chart/upf`, story.Says("@sha256:")),
		story.Run(`for image in upf-datapath:1.0.0 upf-control:1.0.0 upf-init:1.0.0 upf-migrate:1.0.0 exporter:2.1.0; do demo push image $REPO/$image; done`, story.Lines(5, "@sha256:")),
		story.Run(`demo push file $REPO/nf-template:1.0.0 test/demo/nf-template.json`, story.Says("@sha256:")),
		story.Run(uploaded, story.Says("condition met")),
		story.Run(`kubectl wait -n publisher nfdv/upf-1.0.0 nsdv/core-1.0.0 --for=condition=Ready --timeout=60s`, story.Lines(2, "condition met")),
		story.Run(`kubectl wait -n publisher am/upf-1.0.0 --for=condition=Complete --timeout=60s`, story.Says("condition met")),
		story.Until(`kubectl get -n publisher nfdv upf-1.0.0 -o jsonpath='{range .status.applications[*].images[*]}{.image} {.state}{"\n"}{end}'`, story.Lines(5, "InManifest")),
		story.Run(`demo tags $REPO | tee $E2E/released`, story.Lines(7, "@sha256:")),
	}},
	{Title: "The manifest is in use: its deletion is refused with who uses what, and nothing has changed.", Steps: []story.Step{
		story.Run(`kubectl get -n publisher am upf-1.0.0 -o jsonpath='{.metadata.resourceVersion}' | tee $E2E/version`),
		story.Refused(`kubectl delete -n publisher am upf-1.0.0`,
			story.Says("The resource 'artifactmanifests/publisher/upf-1.0.0' has some resources attached to it. The dependent resources are:",
				`"networkfunctiondefinitionversions/publisher/upf-1.0.0" (artifact upf:1.0.0, application upf)`, `"networkservicedesignversions/publisher/core-1.0.0" (`)),
		story.Refused(`kubectl delete -n publisher as acme --dry-run=server`, story.Says("The resource 'artifactstores/publisher/acme' has some resources attached to it")),
		story.Run(`kubectl get -n publisher am upf-1.0.0 -o jsonpath='{.metadata.resourceVersion}' | diff $E2E/version -`),
		story.Until(describe, story.Says("Warning DeletionRefused")),
	}},
	{Title: "Deleted together with what uses it, the manifest waits for the last user, and describe says for whom.", Steps: []story.Step{
		story.Run(`kubectl patch -n publisher nfdv upf-1.0.0 --type=json -p '[{"op": "add", "path": "/metadata/finalizers/-", "value": "example.com/teardown"}]'`, story.Says("patched")),
		story.Run(`kubectl delete -n publisher nsdv/core-1.0.0 nfdv/upf-1.0.0 am/upf-1.0.0 --wait=false`, story.Lines(3, "deleted")),
		story.Run(`kubectl wait -n publisher am/upf-1.0.0 --for=condition=DeletionBlocked --timeout=60s`, story.Says("condition met")),
		story.Until(describe+` | grep --before-context=5 'Type: *DeletionBlocked'`, story.Says(`"networkfunctiondefinitionversions/publisher/upf-1.0.0" (`, "itself being deleted", "Status: True")),
		story.Run(`demo tags $REPO | diff $E2E/released -`),
	}},
	{Title: "The last user goes; the manifest goes by itself, and its tags with it. Every digest is still there.", Steps: []story.Step{
		story.Run(`kubectl patch -n publisher nfdv upf-1.0.0 --type=json -p '[{"op": "remove", "path": "/metadata/finalizers"}]'`, story.Says("patched")),
		story.Run(`kubectl wait -n publisher am/upf-1.0.0 --for=delete --timeout=60s`),
		story.Run(`demo tags $REPO`, story.Says("no tags"), story.Omits("sha256")),
		story.Run(`demo resolve $(cat $E2E/released)`, story.Lines(7, "200 OK")),
		story.Run(`kubectl get -n publisher ts`, story.Says("upf-1.0.0 Released Untagged")),
	}},
	{Title: "The manifest is applied again: every tag is back at its digest, with no upload.", Steps: []story.Step{
		story.Run(applyManifest, story.Says("created")),
		story.Run(uploaded, story.Says("condition met")),
		story.Run(`demo tags $REPO | diff $E2E/released -`),
		story.Until(`kubectl get -n publisher ts`, story.Says("No resources found")),
	}},
}
