package e2e

import (
	"testing"
	"time"

	"github.com/nfo-operator/nfo/test/story"
)

const (
	// noWebhook points the API server to a port at which no webhook is served. webhook points it to the right one again.
	noWebhook   = `port=9; ` + webhookPort
	webhook     = `port=443; ` + webhookPort
	webhookPort = `kubectl patch mutatingwebhookconfigurations nfo-pods --type=json -p '[{"op":"replace","path":"/webhooks/0/clientConfig/service/port","value":'$port'}]'`

	// layers prints the digests of the layers of two images, each of which has one.
	layers = `for v in 1.0.0 2.0.0; do crane manifest --insecure $SOURCE/acme/upf:$v | sed -E 's/.*"layers":\[\{[^}]*"digest":"sha256:([0-9a-f]{64})".*/\1/'; echo; done | grep .`
	// blobs is the folder of the registry's blobs. Their path has the first two digits of the digest, then the digest.
	blobs = `$E2E/registry/shared/docker/registry/v2/blobs/sha256`
	// corrupt changes some bytes in the middle of each of these blobs on the registry's disk.
	corrupt = `for d in $(cat $E2E/layers); do f=` + blobs + `/${d:0:2}/$d/data; printf 'corrupt' | dd of=$f bs=1 seek=$(($(stat -c %s $f) / 2)) conv=notrunc status=none && ! right $d $f || exit 1; done`
	// healed checks that the blobs on the registry's disk match their digests.
	healed = `for d in $(cat $E2E/layers); do right $d ` + blobs + `/${d:0:2}/$d/data || exit 1; done && echo all right`
	// fromAgent reads a blob from the node's agent and compares it with its digest.
	fromAgent = `d=$(head -1 $E2E/layers) && nsenter --net=$E2E/cluster/node/netns curl --noproxy '*' --silent --show-error --fail -o $E2E/blob http://127.0.0.1:7439/v2/10.96.0.50_5000/acme/upf/blobs/sha256:$d && right $d $E2E/blob && echo right`

	registryLogs = `kubectl logs -n nfo-system -l app.kubernetes.io/component=registry --tail=-1 --prefix`
	// reported checks that the registry has logged each of the blobs as corrupt.
	reported = registryLogs + ` > $E2E/log; for d in $(cat $E2E/layers); do grep $d $E2E/log | grep corrupt || exit 1; done`
)

// TestMirrorFaults checks how pods start while parts of the product
// are down or its disk is damaged. The source needs no login.
func TestMirrorFaults(t *testing.T) { tell(t, mirrorFailing) }

var mirrorFailing = []story.Chapter{
	{Title: "A source without a login, and the operator with two replicas of its registry and a mirror.", Steps: steps(mirrorSource("shared", "/auth:/d"), []story.Step{
		story.Run(sourceHosts),
		story.Run(installMirror+` --set registry.replicas=2,registry.persistence.accessMode=ReadWriteMany,registry.scrub.period=1m --wait --timeout 3m`, story.Says("STATUS: deployed")).Within(4 * time.Minute),
		story.Until(`kubectl get pods -n nfo-system`, story.Lines(4, "1/1 Running")),
	}, mirrored(), []story.Step{
		story.Run(nextImage, story.Says("upf")),
		story.Run(function, story.Says("deployment.apps/upf created")),
		story.Run(`kubectl create deployment next -n ran --replicas=1 --image=$SOURCE/acme/upf:2.0.0`, story.Says("created")),
		story.Until(`kubectl get artifacts -n ran`, story.Lines(4, "Present")).Within(2 * time.Minute),
		story.Run(`kubectl delete deployment next -n ran`, story.Says("deleted")),
	}, again(fromMirror+"upf:1.0.0"))},
	{Title: "The agents are gone: pods start, from the source.", Steps: steps([]story.Step{
		story.Run(noAgents, story.Says("patched")),
		story.Until(wanted, story.Says(source), story.Omits("127.0.0.1:7439")),
	}, again(source+"/acme/upf:1.0.0"), []story.Step{
		story.Run(agentsAgain, story.Says("patched")),
		story.Until(wanted, story.Says(fromMirror)),
	})},
	{Title: "The webhook is down: pods start, from the source.", Steps: steps([]story.Step{
		story.Run(noWebhook, story.Says("patched")),
		story.Until(wanted, story.Says(source), story.Omits("127.0.0.1:7439")),
	}, again(source+"/acme/upf:1.0.0"), []story.Step{
		story.Run(webhook, story.Says("patched")),
		story.Until(wanted, story.Says(fromMirror)),
	})},
	{Title: "The registry is down: pods start by the mirror's names, and their agent reads the source.", Steps: steps([]story.Step{
		story.Run(noRegistry, story.Says("scaled")),
	}, again(fromMirror+"upf:1.0.0"))},
	{Title: "The manager is down, too, and then all of it: pods start, from the source.", Steps: steps([]story.Step{
		story.Run(noManager, story.Says("scaled")),
	}, again(source+"/acme/upf:1.0.0"), []story.Step{
		story.Run(noAgents, story.Says("patched")),
		story.Until(`kubectl get pods -n nfo-system 2>&1`, story.Says("No resources found")),
	}, again(source+"/acme/upf:1.0.0"))},
	{Title: "The manager alone is down: pods start, from the source. When it is back, they pull from the mirror.", Steps: steps([]story.Step{
		story.Run(agentsAgain, story.Says("patched")),
		story.Run(`kubectl scale -n nfo-system deployment/nfo-registry --replicas=2`, story.Says("scaled")),
		story.Until(`kubectl get pods -n nfo-system`, story.Lines(3, "1/1 Running")).Within(2 * time.Minute),
	}, again(source+"/acme/upf:1.0.0"), []story.Step{
		story.Run(`kubectl scale -n nfo-system deployment/nfo-manager --replicas=1`, story.Says("scaled")),
	}, again(fromMirror+"upf:1.0.0"))},
	{Title: "Two layers are damaged on the registry's disk. A node gets the right bytes from the source, the other layer is found by the scrub, and the mirror heals both.", Steps: steps([]story.Step{
		story.Run(layers + ` | tee $E2E/layers && [ $(wc -l < $E2E/layers) = 2 ]`),
		story.Run(healed, story.Says("all right")),
		story.Run(corrupt),
		story.Until(fromAgent, story.Says("right")),
		story.Until(reported, story.Says("a blob is corrupt or cannot be read")).Within(4 * time.Minute),
		story.Until(healed, story.Says("all right")).Within(4 * time.Minute),
	}, again(fromMirror+"upf:1.0.0"))},
	{Title: "The source is down, and one of the two replicas of the registry hangs: pods start from the mirror.", Steps: steps([]story.Step{
		story.Run(stopSource, story.Says("scaled")),
		story.Run(`pid nfo-system $(kubectl get pods -n nfo-system -l app.kubernetes.io/component=registry -o name | head -1) > $E2E/hung && kill -STOP $(cat $E2E/hung)`),
	}, again(fromMirror+"upf:1.0.0"), []story.Step{
		story.Run(`kill -CONT $(cat $E2E/hung)`), // it ends now if it was asked to end meanwhile
	})},
	{Title: "The chart is uninstalled.", Steps: steps([]story.Step{
		story.Run(`helm uninstall nfo --namespace nfo-system --wait --timeout 8m`, story.Says("uninstalled")).Within(9 * time.Minute),
	}, mirrorGone("shared"))},
}
