package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/nfo-operator/nfo/test/story"
)

const apply = `kubectl kustomize config/samples | sed "s#registry.example.com#$REGISTRY#" | kubectl apply -f -`

// applyManifest applies the deleted manifest again, without the objects that held it.
const applyManifest = `kubectl apply -n publisher -f config/samples/02-manifest.yaml`

// chapters are the life of one manifest. It has seven artifacts with
// nine digests, because upf-datapath is an index of two images.
var chapters = []story.Chapter{
	{Title: "A publisher declares a store, a manifest of seven artifacts, and what uses them. The registry's address is put in place of the samples' one.", Steps: []story.Step{
		story.Run(apply, story.Says("artifactmanifest.nfo.dev/upf-1.0.0 created", "artifactstore.nfo.dev/acme created")),
		story.Run(`kubectl wait -n publisher am/upf-1.0.0 --for=condition=Uploaded=False --timeout=60s`, story.Says("condition met")),
	}},
	{Title: "Nothing is uploaded yet, and the manifest says what is missing, and where.", Steps: []story.Step{
		story.Run(`kubectl get -n publisher am upf-1.0.0 -o jsonpath='{.status.conditions[?(@.type=="Uploaded")].message}{"\n"}'`,
			story.Says("7 of 7 artifacts are not in the registry", "acme/upf-1.0.0/upf:1.0.0", "acme/upf-1.0.0/exporter:2.1.0")),
	}},
	{Title: "The artifacts are pushed: a Helm chart, its images, one of them for two platforms, and a template.", Steps: []story.Step{
		story.Run(`export REPO=$REGISTRY/acme/upf-1.0.0`),
		story.Run(`bin/demo push chart $REPO/upf:1.0.0 test/demo/chart/upf`, story.Says("@sha256:")),
		story.Run(`bin/demo push image $REPO/upf-datapath:1.0.0 --platform linux/amd64,linux/arm64`, story.Says("@sha256:")),
		story.Run(`for image in upf-control:1.0.0 upf-init:1.0.0 upf-migrate:1.0.0 exporter:2.1.0; do bin/demo push image $REPO/$image; done`, story.Lines(4, "@sha256:")),
		story.Run(`bin/demo push file $REPO/nf-template:1.0.0 test/demo/nf-template.json`, story.Says("@sha256:")),
		story.Run(`kubectl wait -n publisher am/upf-1.0.0 --for=condition=Uploaded --timeout=60s`, story.Says("condition met")),
		story.Run(`kubectl wait -n publisher nfdv/upf-1.0.0 nsdv/core-1.0.0 --for=condition=Ready --timeout=60s`, story.Lines(2, "condition met")),
		story.Run(`kubectl wait -n publisher am/upf-1.0.0 --for=condition=Complete --timeout=60s`, story.Says("condition met")),
		story.Run(`kubectl get -n publisher as,am,nfdv,nsdv`, story.Says("artifactstore.nfo.dev/acme True", "artifactmanifest.nfo.dev/upf-1.0.0 True True True 2")),
		story.Run(`bin/demo tags $REPO | tee bin/dev/released`, story.Lines(7, "@sha256:"), story.Lines(1, "/upf-datapath:1.0.0@sha256:")),
	}},
	{Title: "The chart has been read: the images that it needs are all in the manifest, and the definition says what its application comes to.", Steps: []story.Step{
		story.Run(`kubectl get -n publisher am upf-1.0.0 -o jsonpath='{.status.conditions[?(@.type=="Complete")].message}{"\n"}'`, story.Says("all images that its charts need (5 images, 1 chart)")),
		story.Until(`kubectl get -n publisher nfdv upf-1.0.0 -o jsonpath='{range .status.applications[*]}{.name}: {.artifactName}:{.artifactVersion}@{.digest}{range .images[*]}{"\n"}  {.image} {.state}{end}{"\n"}{end}'`,
			story.Lines(1, "upf: upf:1.0.0@sha256:"), story.Lines(5, "InManifest")),
	}},
	{Title: "Somebody deletes the manifest. It is in use: the API server asks the operator first and refuses, saying who uses what. Nothing has changed.", Steps: []story.Step{
		story.Run(`kubectl get -n publisher am upf-1.0.0 -o jsonpath='{.metadata.resourceVersion}{"\n"}' | tee bin/dev/version`),
		story.Refused(`kubectl delete -n publisher am upf-1.0.0`,
			story.Says("The resource 'artifactmanifests/publisher/upf-1.0.0' has some resources attached to it. The dependent resources are:",
				`"networkfunctiondefinitionversions/publisher/upf-1.0.0" (artifact upf:1.0.0, application upf)`, `"networkservicedesignversions/publisher/core-1.0.0" (`)),
		story.Run(`kubectl get -n publisher am upf-1.0.0 -o jsonpath='{.metadata.resourceVersion}{"\n"}' | diff bin/dev/version - && echo "The manifest is as it was."`, story.Says("as it was")),
		story.Until(`kubectl describe -n publisher am upf-1.0.0 | sed -n '/^Events:/,$p'`, story.Says("Warning DeletionRefused")),
	}},
	{Title: "The manifest is deleted together with what uses it, and somebody else's finalizer keeps one of these a little longer. The manifest waits, with all its tags.", Steps: []story.Step{
		story.Run(`kubectl patch -n publisher nfdv upf-1.0.0 --type=json -p '[{"op": "add", "path": "/metadata/finalizers/-", "value": "example.com/teardown"}]'`, story.Says("patched")),
		story.Run(`kubectl delete -n publisher nsdv/core-1.0.0 nfdv/upf-1.0.0 am/upf-1.0.0 --wait=false`, story.Lines(3, "deleted")),
		story.Run(`kubectl wait -n publisher am/upf-1.0.0 --for=condition=DeletionBlocked --timeout=60s`, story.Says("condition met")),
		story.Until(`kubectl describe -n publisher am upf-1.0.0 | grep --before-context=5 'Type: *DeletionBlocked'`,
			story.Says("The resource 'artifactmanifests/publisher/upf-1.0.0' has some resources attached to it",
				`"networkfunctiondefinitionversions/publisher/upf-1.0.0" (`, "itself being deleted", "Status: True"), story.Omits("networkservicedesignversions")),
		story.Run(`bin/demo tags $REPO | diff bin/dev/released - && echo "All tags are still there."`, story.Says("still there")),
	}},
	{Title: "The last user goes. The manifest then goes by itself, and its tags with it.", Steps: []story.Step{
		story.Run(`kubectl patch -n publisher nfdv upf-1.0.0 --type=json -p '[{"op": "remove", "path": "/metadata/finalizers"}]'`, story.Says("patched")),
		story.Run(`kubectl wait -n publisher am/upf-1.0.0 --for=delete --timeout=60s`),
		story.Run(`bin/demo tags $REPO`, story.Says("no tags"), story.Omits("sha256")),
	}},
	{Title: "Only the tags are gone. The registry still serves every digest, and a tombstone says until when.", Steps: []story.Step{
		story.Run(`bin/demo resolve $(cat bin/dev/released)`, story.Lines(7, "200 OK")),
		story.Run(`kubectl get -n publisher ts`, story.Says("upf-1.0.0 Released Untagged")),
	}},
	{Title: "It was a mistake. The manifest is applied again: every tag is back, with no upload, and the tombstone is used up.", Steps: []story.Step{
		story.Run(applyManifest, story.Says("created")),
		story.Run(`kubectl wait -n publisher am/upf-1.0.0 --for=condition=Uploaded --timeout=60s`, story.Says("condition met")),
		story.Run(`bin/demo tags $REPO | diff bin/dev/released - && echo "The same seven tags are at the same seven digests."`, story.Says("same seven")),
		story.Until(`kubectl get -n publisher ts`, story.Says("No resources found")),
	}},
	{Title: "It was no mistake. For this story the time to change one's mind is cut from a day to ten seconds; then the manifest is deleted permanently.", Steps: []story.Step{
		story.Run(`kubectl patch -n publisher as acme --type=merge -p '{"spec":{"purge":{"gracePeriod":"10s"}}}'`, story.Says("patched")),
		story.Run(`kubectl delete -n publisher am upf-1.0.0 --timeout=60s`, story.Says("deleted")),
		story.Run(`kubectl get -n publisher ts`, story.Says("upf-1.0.0 Released Untagged")),
	}},
	{Title: "Meanwhile others have found a use for two of the digests: one gets a tag by hand, one becomes part of an index.", Steps: []story.Step{
		story.Run(`bin/demo tag $(grep /upf-control: bin/dev/released) handmade`, story.Says("/upf-control:handmade@sha256:")),
		story.Run(`bin/demo push index $REPO/upf-init:bundle $(grep /upf-init: bin/dev/released | cut -d@ -f2)`, story.Says("/upf-init:bundle@sha256:")),
	}},
	{Title: "The purge usually runs as a CronJob, under an account that can do nothing else. Here it runs from the shell, under the same account.", Steps: []story.Step{
		story.Run(`kubectl get -n publisher cronjob,serviceaccount acme-purge`, story.Says("cronjob.batch/acme-purge 0 0 * * *", "serviceaccount/acme-purge")),
		story.Run(`kubectl config view --raw > bin/dev/purge.kubeconfig`),
		story.Run(`kubectl --kubeconfig bin/dev/purge.kubeconfig config set-credentials purge --token "$(kubectl create token -n publisher acme-purge)"`, story.Says("set")),
		story.Run(`kubectl --kubeconfig bin/dev/purge.kubeconfig config set-context --current --user purge`, story.Says("modified")),
		story.Run(`kubectl --kubeconfig bin/dev/purge.kubeconfig auth whoami`, story.Says("system:serviceaccount:publisher:acme-purge")),
		story.Refused(`kubectl --kubeconfig bin/dev/purge.kubeconfig delete -n publisher as acme`, story.Says("forbidden")),
	}},
	{Title: "When the ten seconds are over, a dry run shows what a purge would do, and why. It writes nothing.", Steps: []story.Step{
		story.Until(`bin/nfo purge --kubeconfig bin/dev/purge.kubeconfig --namespace publisher --store acme --allow-loopback-registries --dry-run | tee bin/dev/plan`,
			story.Lines(7, "delete Released"), story.Lines(1, "keep Tagged acme/upf-1.0.0/upf-control"), story.Lines(1, "keep IndexChild acme/upf-1.0.0/upf-init"),
			story.Says("7 would be deleted, 2 kept (1 IndexChild, 1 Tagged)")),
		story.Run(`bin/demo resolve $(cat bin/dev/released)`, story.Lines(7, "200 OK")),
	}},
	{Title: "Now permanently: what nothing uses is gone, what is used is kept.", Steps: []story.Step{
		story.Run(`bin/nfo purge --kubeconfig bin/dev/purge.kubeconfig --namespace publisher --store acme --allow-loopback-registries`, story.Says("publisher/acme: Succeeded: 7 deleted, 2 kept (1 IndexChild, 1 Tagged)")),
		story.Refused(`bin/demo resolve $(awk -v host=$REGISTRY '$1 == "delete" {print host "/" $3 "@" $4}' bin/dev/plan)`, story.Lines(7, "404 Not Found"), story.Omits("200 OK")),
		story.Run(`bin/demo resolve $(awk -v host=$REGISTRY '$1 == "keep" {print host "/" $3 "@" $4}' bin/dev/plan)`, story.Lines(2, "200 OK"), story.Omits("404")),
		story.Run(`bin/demo tags $REPO`, story.Lines(2, "@sha256:"), story.Says("/upf-control:handmade@", "/upf-init:bundle@")),
		story.Run(`kubectl get -n publisher ts`, story.Says("upf-1.0.0 Released Kept")),
		story.Run(`kubectl get -n publisher as`, story.Says("acme True")),
	}},
	{Title: "The registry is nfo's own. It removes from its disk what nothing names any more, while it goes on answering.", Steps: []story.Step{
		story.Run(`bin/demo collect`, story.Says("which freed")),
		story.Run(`bin/demo tags $REPO`, story.Lines(2, "@sha256:"), story.Says("/upf-control:handmade@", "/upf-init:bundle@")),
	}},
}

func newRunCommand() *cobra.Command {
	return inEnvironment("run", "Start everything, tell the story of one manifest from upload to purge, and end everything", tellStory)
}

// tellStory leaves the environment as it was: processes that ran before continue to run.
func tellStory(ctx context.Context, e *environment) (err error) {
	running, err := e.running()
	if err != nil {
		return err
	}
	began := time.Now()
	fmt.Fprintln(e.out, "Starting, on 127.0.0.1:")
	if err := e.up(ctx); err != nil {
		return err
	}
	if running {
		if found, err := e.kubectl(ctx, "get", "namespace", "publisher", "--ignore-not-found", "-o", "name"); found != "" || err != nil {
			return errors.Join(err, errors.New("the story begins without the namespace publisher, and what `make up` started has one: run `make down` first"))
		}
	} else {
		defer func() { err = errors.Join(err, e.downAfter(ctx)) }()
	}
	t := &story.Teller{Out: e.out, Prepare: e.prepare}
	for i, c := range chapters {
		fmt.Fprintf(e.out, "\n# %d. %s\n", i+1, c.Title)
		if err := t.Tell(ctx, c); err != nil {
			return fmt.Errorf("chapter %d, %w", i+1, err)
		}
	}
	fmt.Fprintf(e.out, "\nEvery step went as expected, in %.0f seconds.\n", time.Since(began).Seconds())
	return nil
}
