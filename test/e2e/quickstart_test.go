package e2e

import (
	"testing"
	"time"

	"github.com/nfo-operator/nfo/test/story"
)

// quickstart makes a script of the page's commands, with the image, Service address and volume of this cluster.
const quickstart = `quickstart --without make,kind docs/quickstart.md | ` +
	`sed "s#image.repository=localhost/nfo,image.tag=quickstart#image.repository=$IMAGE,image.tag=e2e,registry.host=$OWN,registry.service.clusterIP=$OWN,` +
	`registry.persistence.size=64Mi,registry.persistence.storageClassName=own#" > $E2E/quickstart.sh`

// TestQuickstart runs the commands of docs/quickstart.md, except those that create a cluster and an image.
func TestQuickstart(t *testing.T) { tell(t, starting) }

var starting = []story.Chapter{
	{Title: "There is a volume for the registry.", Steps: []story.Step{
		story.Run(`export OWN=` + own),
		story.Run(`rm -rf $E2E/registry/* && install -d -o 65532 -g 65532 $E2E/registry/own && sed "s#E2E#$E2E#" $YAML/own/volume.yaml | kubectl apply -f -`, story.Says("created")),
	}},
	{Title: "Every command of the quickstart does what the page says.", Steps: []story.Step{
		story.Run(quickstart),
		story.Run(`grep -c registry.host=$OWN $E2E/quickstart.sh`, story.Lines(1, "2")),
		story.Run(`bash $E2E/quickstart.sh 2>&1`, story.Says("STATUS: deployed", "nfo-registry", "artifactmanifest.nfo.dev/hello-1.0.0 condition met",
			"networkfunctiondefinitionversions/quickstart/hello-1.0.0", "hello-1.0.0 Released Untagged", "job.batch/purge-now condition met", "release \"nfo\" uninstalled")).Within(15 * time.Minute),
	}},
	{Title: "Nothing is left but the volume.", Steps: []story.Step{
		story.Until(ours, story.Omits("nfo")),
		story.Run(`kubectl delete -n nfo-system pvc nfo-registry && kubectl delete pv own`, story.Lines(2, "deleted")),
	}},
}
