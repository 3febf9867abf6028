package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

const apply = `kubectl kustomize config/samples | sed "s#registry.example.com#$REGISTRY#" | kubectl apply -f -`

// applyManifest applies what was deleted once more, and not what held it.
const applyManifest = `kubectl apply -n publisher -f config/samples/02-manifest.yaml`

// story is the life of one manifest. There are seven artifacts, and nine digests: upf-datapath
// is an index of two images.
var story = []chapter{
	{"A publisher declares a store, a manifest of seven artifacts, and what uses them. The registry's address is put in place of the samples' one.", []step{
		run(apply, says("artifactmanifest.nfo.dev/upf-1.0.0 created", "artifactstore.nfo.dev/acme created")),
		run(`kubectl wait -n publisher am/upf-1.0.0 --for=condition=Uploaded=False --timeout=60s`, says("condition met")),
	}},
	{"Nothing is uploaded yet, and the manifest says what is missing, and where.", []step{
		run(`kubectl get -n publisher am upf-1.0.0 -o jsonpath='{.status.conditions[?(@.type=="Uploaded")].message}{"\n"}'`,
			says("7 of 7 artifacts are not in the registry", "acme/upf-1.0.0/upf:1.0.0", "acme/upf-1.0.0/exporter:2.1.0")),
	}},
	{"The artifacts are pushed: a Helm chart, its images, one of them for two platforms, and a template.", []step{
		run(`export REPO=$REGISTRY/acme/upf-1.0.0`),
		run(`bin/demo push chart $REPO/upf:1.0.0 test/demo/chart/upf`, says("@sha256:")),
		run(`bin/demo push image $REPO/upf-datapath:1.0.0 --platform linux/amd64,linux/arm64`, says("@sha256:")),
		run(`for image in upf-control:1.0.0 upf-init:1.0.0 upf-migrate:1.0.0 exporter:2.1.0; do bin/demo push image $REPO/$image; done`, lines(4, "@sha256:")),
		run(`bin/demo push file $REPO/nf-template:1.0.0 test/demo/nf-template.json`, says("@sha256:")),
		run(`kubectl wait -n publisher am/upf-1.0.0 --for=condition=Uploaded --timeout=60s`, says("condition met")),
		run(`kubectl wait -n publisher nfdv/upf-1.0.0 nsdv/core-1.0.0 --for=condition=Ready --timeout=60s`, lines(2, "condition met")),
		run(`kubectl get -n publisher as,am,nfdv,nsdv`, says("artifactstore.nfo.dev/acme True", "artifactmanifest.nfo.dev/upf-1.0.0 True True 2")),
		run(`bin/demo tags $REPO | tee bin/dev/released`, lines(7, "@sha256:"), lines(1, "/upf-datapath:1.0.0@sha256:")),
	}},
	{"Somebody deletes the manifest. It is in use: the API server asks the operator first and refuses, saying who uses what. Nothing has changed.", []step{
		run(`kubectl get -n publisher am upf-1.0.0 -o jsonpath='{.metadata.resourceVersion}{"\n"}' | tee bin/dev/version`),
		refused(`kubectl delete -n publisher am upf-1.0.0`,
			says("The resource 'artifactmanifests/publisher/upf-1.0.0' has some resources attached to it. The dependent resources are:",
				`"networkfunctiondefinitionversions/publisher/upf-1.0.0" (`, `"networkservicedesignversions/publisher/core-1.0.0" (`)),
		run(`kubectl get -n publisher am upf-1.0.0 -o jsonpath='{.metadata.resourceVersion}{"\n"}' | diff bin/dev/version - && echo "The manifest is as it was."`, says("as it was")),
		until(`kubectl describe -n publisher am upf-1.0.0 | sed -n '/^Events:/,$p'`, says("Warning DeletionRefused")),
	}},
	{"The manifest is deleted together with what uses it, and somebody else's finalizer keeps one of these a little longer. The manifest waits, with all its tags.", []step{
		run(`kubectl patch -n publisher nfdv upf-1.0.0 --type=json -p '[{"op": "add", "path": "/metadata/finalizers/-", "value": "example.com/teardown"}]'`, says("patched")),
		run(`kubectl delete -n publisher nsdv/core-1.0.0 nfdv/upf-1.0.0 am/upf-1.0.0 --wait=false`, lines(3, "deleted")),
		run(`kubectl wait -n publisher am/upf-1.0.0 --for=condition=DeletionBlocked --timeout=60s`, says("condition met")),
		until(`kubectl describe -n publisher am upf-1.0.0 | grep --before-context=5 'Type: *DeletionBlocked'`,
			says("The resource 'artifactmanifests/publisher/upf-1.0.0' has some resources attached to it",
				`"networkfunctiondefinitionversions/publisher/upf-1.0.0" (`, "itself being deleted", "Status: True"), omits("networkservicedesignversions")),
		run(`bin/demo tags $REPO | diff bin/dev/released - && echo "All tags are still there."`, says("still there")),
	}},
	{"The last user goes. The manifest then goes by itself, and its tags with it.", []step{
		run(`kubectl patch -n publisher nfdv upf-1.0.0 --type=json -p '[{"op": "remove", "path": "/metadata/finalizers"}]'`, says("patched")),
		run(`kubectl wait -n publisher am/upf-1.0.0 --for=delete --timeout=60s`),
		run(`bin/demo tags $REPO`, says("no tags"), omits("sha256")),
	}},
	{"Only the tags are gone. The registry still serves every digest, and a tombstone says until when.", []step{
		run(`bin/demo resolve $(cat bin/dev/released)`, lines(7, "200 OK")),
		run(`kubectl get -n publisher ts`, says("upf-1.0.0 Released Untagged")),
	}},
	{"It was a mistake. The manifest is applied again: every tag is back, with no upload, and the tombstone is used up.", []step{
		run(applyManifest, says("created")),
		run(`kubectl wait -n publisher am/upf-1.0.0 --for=condition=Uploaded --timeout=60s`, says("condition met")),
		run(`bin/demo tags $REPO | diff bin/dev/released - && echo "The same seven tags are at the same seven digests."`, says("same seven")),
		until(`kubectl get -n publisher ts`, says("No resources found")),
	}},
	{"It was no mistake. For this story the time to change one's mind is cut from a day to ten seconds; then the manifest is deleted for good.", []step{
		run(`kubectl patch -n publisher as acme --type=merge -p '{"spec":{"purge":{"gracePeriod":"10s"}}}'`, says("patched")),
		run(`kubectl delete -n publisher am upf-1.0.0 --timeout=60s`, says("deleted")),
		run(`kubectl get -n publisher ts`, says("upf-1.0.0 Released Untagged")),
	}},
	{"Meanwhile others have found a use for two of the digests: one gets a tag by hand, one becomes part of an index.", []step{
		run(`bin/demo tag $(grep /upf-control: bin/dev/released) handmade`, says("/upf-control:handmade@sha256:")),
		run(`bin/demo push index $REPO/upf-init:bundle $(grep /upf-init: bin/dev/released | cut -d@ -f2)`, says("/upf-init:bundle@sha256:")),
	}},
	{"The purge usually runs as a CronJob, under an account that can do nothing else. Here it runs from the shell, under the same account.", []step{
		run(`kubectl get -n publisher cronjob,serviceaccount acme-purge`, says("cronjob.batch/acme-purge 0 0 * * *", "serviceaccount/acme-purge")),
		run(`kubectl config view --raw > bin/dev/purge.kubeconfig`),
		run(`kubectl --kubeconfig bin/dev/purge.kubeconfig config set-credentials purge --token "$(kubectl create token -n publisher acme-purge)"`, says("set")),
		run(`kubectl --kubeconfig bin/dev/purge.kubeconfig config set-context --current --user purge`, says("modified")),
		run(`kubectl --kubeconfig bin/dev/purge.kubeconfig auth whoami`, says("system:serviceaccount:publisher:acme-purge")),
		refused(`kubectl --kubeconfig bin/dev/purge.kubeconfig delete -n publisher as acme`, says("forbidden")),
	}},
	{"When the ten seconds are over, a dry run shows what a purge would do, and why. It writes nothing.", []step{
		until(`bin/nfo purge --kubeconfig bin/dev/purge.kubeconfig --namespace publisher --store acme --dry-run | tee bin/dev/plan`,
			lines(7, "delete Released"), lines(1, "keep Tagged acme/upf-1.0.0/upf-control"), lines(1, "keep IndexChild acme/upf-1.0.0/upf-init"),
			says("7 would be deleted, 2 kept (1 IndexChild, 1 Tagged)")),
		run(`bin/demo resolve $(cat bin/dev/released)`, lines(7, "200 OK")),
	}},
	{"Now for good: what nothing uses is gone, what is used is kept.", []step{
		run(`bin/nfo purge --kubeconfig bin/dev/purge.kubeconfig --namespace publisher --store acme`, says("publisher/acme: Succeeded: 7 deleted, 2 kept (1 IndexChild, 1 Tagged)")),
		refused(`bin/demo resolve $(awk -v host=$REGISTRY '$1 == "delete" {print host "/" $3 "@" $4}' bin/dev/plan)`, lines(7, "404 Not Found"), omits("200 OK")),
		run(`bin/demo resolve $(awk -v host=$REGISTRY '$1 == "keep" {print host "/" $3 "@" $4}' bin/dev/plan)`, lines(2, "200 OK"), omits("404")),
		run(`bin/demo tags $REPO`, lines(2, "@sha256:"), says("/upf-control:handmade@", "/upf-init:bundle@")),
		run(`kubectl get -n publisher ts`, says("upf-1.0.0 Released Kept")),
		run(`kubectl get -n publisher as`, says("acme True")),
	}},
}

func newRunCommand() *cobra.Command {
	return inEnvironment("run", "Start everything, tell the story of one manifest from upload to purge, and end everything", tellStory)
}

// tellStory leaves things as they were: what runs already goes on running.
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
	t := &teller{env: e, out: e.out}
	if err := t.tell(ctx, story); err != nil {
		return err
	}
	fmt.Fprintf(e.out, "\nEvery step went as told, in %.0f seconds.\n", time.Since(began).Seconds())
	return nil
}
