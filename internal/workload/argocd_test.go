package workload

import (
	"testing"

	"github.com/nfo-operator/nfo/internal/reference"
)

func TestI14ArgoCDApplications(t *testing.T) {
	t.Parallel()
	const (
		inStore = "repoURL: r.example/acme/charts, chart: upf"
		oci     = "repoURL: 'oci://r.example/acme/charts/upf', path: ."
		git     = "repoURL: 'https://git.example/acme/upf.git', path: deploy"
	)
	image := func(repository, tag string) Use { return Use{Repository: repository, Tag: tag, Part: "image"} }
	for name, tc := range map[string]customTest{
		"chart":          {reason: "spec.source with chart and targetRevision", object: "spec: {project: a, destination: {}, source: {" + inStore + ", targetRevision: 1.0.0}}", want: []Use{chartIn("1.0.0", "", "chart upf:1.0.0")}},
		"oci chart":      {reason: "repoURL may have a scheme", object: "spec: {source: {repoURL: 'oci://r.example/acme/charts/', chart: upf, targetRevision: 1.0.0}}", want: []Use{chartIn("1.0.0", "", "chart upf:1.0.0")}},
		"plus":           {reason: "a tag has _ in place of +", object: "spec: {source: {" + inStore + ", targetRevision: 1.0.0+b}}", want: []Use{chartIn("1.0.0_b", "", "chart upf:1.0.0+b"), chartIn("1.0.0", "", "chart upf:1.0.0+b")}},
		"range":          {reason: "a range is resolved in status.sync.revision", object: "spec: {source: {" + inStore + ", targetRevision: 1.*}}\nstatus: {sync: {status: Synced, revision: 1.2.0}}", want: []Use{chartIn("1.2.0", "", "chart upf:1.2.0")}},
		"oci":            {reason: "an artifact without chart, by its tag, and by the digest that it was resolved to", object: "spec: {source: {" + oci + ", targetRevision: 1.0.0}}\nstatus: {sync: {revision: '" + digestA + "'}}", want: []Use{chartIn("1.0.0", "", "chart upf:1.0.0"), chartIn("", digestA, "chart upf@"+digestA)}},
		"oci digest":     {reason: "an artifact that is asked for by its digest", object: "spec: {source: {" + oci + ", targetRevision: '" + digestA + "'}}", want: []Use{chartIn("", digestA, "chart upf@"+digestA)}},
		"git":            {reason: "Git is not a registry", object: "spec: {source: {" + git + ", targetRevision: main}}\nstatus: {sync: {revision: 0123456789abcdef}}"},
		"ssh":            {reason: "nor is it by ssh", object: "spec: {source: {repoURL: 'git@git.example:acme/upf.git', path: ., targetRevision: main}}"},
		"index":          {reason: "a repository with an index is not a registry", object: "spec: {source: {repoURL: 'https://r.example/acme/charts', chart: upf, targetRevision: 1.0.0}}"},
		"other registry": {reason: "it is of no concern to this store", object: "spec: {source: {repoURL: other.example/charts, chart: upf, targetRevision: 1.0.0}}"},
		"sources":        {reason: "revisions[i] belongs to sources[i]", object: "spec: {sources: [{" + git + "}, {" + inStore + ", targetRevision: '*'}, {" + oci + ", targetRevision: ''}]}\nstatus: {sync: {revisions: [abc, 1.2.0, '" + digestA + "']}}", want: []Use{chartIn("1.2.0", "", "chart upf:1.2.0"), chartIn("", digestA, "chart upf@"+digestA)}},
		"fewer":          {reason: "there may be fewer revisions than sources", object: "spec: {sources: [{" + git + "}, {" + inStore + ", targetRevision: 1.0.0}]}\nstatus: {sync: {revisions: [abc]}}", want: []Use{chartIn("1.0.0", "", "chart upf:1.0.0")}},
		"compared":       {reason: "the revision belongs to the sources that were compared, also after spec has changed", object: "spec: {source: {" + git + "}}\nstatus: {sync: {revision: 1.2.0, comparedTo: {destination: {}, source: {" + inStore + ", targetRevision: '*'}}}}", want: []Use{chartIn("1.2.0", "", "chart upf:1.2.0")}},
		"history":        {reason: "a rollback goes to an entry of the history, with its source", object: "spec: {source: {" + git + "}}\nstatus: {history: [{id: 3, deployedAt: '2026-01-01T00:00:00Z', revision: 1.0.0, source: {" + inStore + ", targetRevision: '*'}}]}", want: []Use{chartIn("1.0.0", "", "chart upf:1.0.0, history 3")}},
		"history many":   {reason: "an entry of several sources", object: "status: {history: [{id: 4, revisions: [abc, 1.1.0], sources: [{" + git + "}, {" + inStore + ", targetRevision: '*'}]}]}", want: []Use{chartIn("1.1.0", "", "chart upf:1.1.0, history 4")}},
		"result":         {reason: "what was synced last, also if it failed", object: "status: {operationState: {phase: Failed, operation: {sync: {}}, syncResult: {revision: 1.3.0, source: {" + inStore + ", targetRevision: '*'}}}}", want: []Use{chartIn("1.3.0", "", "chart upf:1.3.0")}},
		"result many":    {reason: "the same of several sources", object: "status: {operationState: {syncResult: {revisions: [1.3.0], sources: [{" + inStore + ", targetRevision: '*'}]}}}", want: []Use{chartIn("1.3.0", "", "chart upf:1.3.0")}},
		"operation":      {reason: "what is asked for and not begun yet: a rollback", object: "spec: {source: {" + git + "}}\noperation: {sync: {revision: 0.9.0, source: {" + inStore + ", targetRevision: '*'}}}", want: []Use{chartIn("0.9.0", "", "chart upf:0.9.0")}},
		"running":        {reason: "what is being synced, of the sources of spec", object: "spec: {source: {" + inStore + ", targetRevision: '*'}}\nstatus: {operationState: {phase: Running, operation: {sync: {revision: 1.4.0}}}}", want: []Use{chartIn("1.4.0", "", "chart upf:1.4.0")}},
		"images":         {reason: "status.summary.images are images", object: "status: {summary: {images: ['r.example/acme/upf:1', 'docker.io/library/nginx:1', 'r.example/acme/smf']}}", want: []Use{image("acme/upf", "1"), image("acme/smf", "latest")}},
		"number":         {reason: "a version that YAML takes for a number", object: "spec: {source: {" + inStore + ", targetRevision: 1.5}}", want: []Use{chartIn("1.5", "", "chart upf:1.5")}},
		"null":           {reason: "null is absent", object: "spec: {source: null, sources: null}\nstatus: {history: null, summary: {images: [null]}}\noperation: null"},
		"nothing":        {reason: "an object with nothing in it", object: "kind: Application"},
		"wrong spec":     {reason: "what may name a chart must be read", object: "spec: {sources: {a: b}}", err: []string{"spec of Application cnf/upf", "Correct or delete"}},
		"wrong status":   {reason: "a status too", object: "status: {summary: {images: [{a: b}]}}", err: []string{"status of Application cnf/upf"}},
		"wrong request":  {reason: "an operation too", object: "operation: [a]", err: []string{"operation of Application cnf/upf"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.read = (*collector).argoApplication
			tc.object = meta + tc.object + "\n"
			tc.run(t, "Application.argoproj.io")
		})
	}
	t.Run("owner", func(t *testing.T) {
		t.Parallel()
		customTest{
			reason: "an Application of an ApplicationSet is made again where it is deleted: the set holds",
			read:   (*collector).argoApplication,
			object: "metadata: {namespace: argocd, name: upf-edge, uid: u, ownerReferences: [{apiVersion: argoproj.io/v1alpha1, kind: ApplicationSet, name: upf, uid: s, controller: true}]}\nstatus: {summary: {images: ['r.example/acme/upf:1']}}\n",
			want:   []Use{{Holder: reference.Object{Kind: "ApplicationSet.argoproj.io", Namespace: "argocd", Name: "upf"}, Repository: "acme/upf", Tag: "1", Part: "image"}},
		}.run(t, "")
	})
}
