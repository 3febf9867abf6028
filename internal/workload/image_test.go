package workload

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// aMirror is the store of the mirror.
func aMirror(sources ...v1alpha1.WorkloadSource) *v1alpha1.ArtifactStore {
	s := &v1alpha1.ArtifactStore{}
	s.Namespace, s.Name = "nfo", v1alpha1.MirrorName
	if len(sources) > 0 {
		s.Spec.Workloads = &v1alpha1.WorkloadsSpec{Sources: sources}
	}
	return s
}

// byHost finds images at r.example, and the mirror's copies of them at m.example.
func byHost(host, path string) (string, bool) {
	rest, mirrored := strings.CutPrefix(path, "r.example/")
	switch {
	case host == "m.example" && mirrored:
		return "r.example/" + rest, true
	case host == "r.example":
		return "r.example/" + path, true
	}
	return "", false
}

func TestReadImages(t *testing.T) {
	t.Parallel()
	digestB := "sha256:" + strings.Repeat("b", 64)
	deployment := reference.Object{Kind: "Deployment", Namespace: "ran", Name: "upf"}
	pod := func(meta, image, status string) string {
		return fmt.Sprintf(`{"metadata":{"namespace":"ran","name":"p","uid":"p"%s},"spec":{"containers":[{"name":"web","image":%q}]},"status":{%s}}`, meta, image, status)
	}
	use := func(tag, digest string, seen bool) Use {
		return Use{Holder: reference.Object{Kind: "Pod", Namespace: "ran", Name: "p"}, Part: "container web", Repository: "r.example/upf", Tag: tag, Digest: digest, Seen: seen}
	}
	tests := map[string]struct {
		reason string
		lists  map[string][]string
		want   []Use
	}{
		"Original": {"what a template names", map[string][]string{"/apis/apps/v1/deployments": {`{"metadata":{"namespace":"ran","name":"upf","uid":"d"},"spec":{"template":{"spec":{"containers":[{"name":"web","image":"r.example/upf:1"}]}}}}`}},
			[]Use{{Holder: deployment, Part: "container web", Repository: "r.example/upf", Tag: "1"}}},
		"Rewritten": {"the mirror's name counts as the original one", map[string][]string{"/api/v1/pods": {pod("", "m.example/r.example/upf:1", "")}}, []Use{use("1", "", false)}},
		"Both":      {"tag and digest are both needed to name the image again", map[string][]string{"/api/v1/pods": {pod("", "r.example/upf:1@"+digestA, "")}}, []Use{use("1", digestA, false)}},
		"Annotated": {"the mirror's address has changed since the pod was made", map[string][]string{"/api/v1/pods": {pod(`,"annotations":{"nfo.dev/original-images":"{\"containers/web\":\"r.example/upf:1\"}"}`, "old.example/r.example/upf:1", "")}},
			[]Use{use("1", "", false)}},
		"AnnotatedAndPulled": {"so has what the node calls it", map[string][]string{"/api/v1/pods": {pod(`,"annotations":{"nfo.dev/original-images":"{\"containers/web\":\"r.example/upf:1\"}"}`, "old.example/r.example/upf:1", fmt.Sprintf(`"containerStatuses":[{"name":"web","image":"old.example/r.example/upf:1","imageID":"old.example/r.example/upf@%s"}]`, digestB))}},
			[]Use{use("", digestB, true), use("1", "", false)}},
		"AnnotationOfSomebodyElse": {"a list that cannot be read names no image", map[string][]string{"/api/v1/pods": {pod(`,"annotations":{"nfo.dev/original-images":"[1"}`, "r.example/upf:1", "")}}, []Use{use("1", "", false)}},
		"Pulled": {"a node's names of an image are seen, and not named", map[string][]string{"/api/v1/pods": {pod("", "r.example/upf:1", fmt.Sprintf(`"containerStatuses":[{"name":"web","image":"r.example/upf:again","imageID":"r.example/upf@%s"}]`, digestB))}},
			[]Use{use("", digestB, true), use("1", "", false), use("again", "", true)}},
		"SameName": {"what is named is not seen as well", map[string][]string{"/api/v1/pods": {pod("", "r.example/upf:1", `"containerStatuses":[{"name":"web","image":"r.example/upf:1"}]`)}}, []Use{use("1", "", false)}},
		"Other":    {"find does not want it", map[string][]string{"/api/v1/pods": {pod("", "other.example/upf:1", "")}}, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := (&api{lists: tc.lists}).reader(t).ReadImages(t.Context(), aMirror(), byHost)
			if err != nil || r.Unreadable() != nil {
				t.Fatalf("%s: %v, %v", tc.reason, err, r.Unreadable())
			}
			var got []Use
			for u := range r.Uses() {
				got = append(got, u)
			}
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

// The mirror reads the sources that its store selects. By default it reads
// those that need neither Secrets nor the definitions of other products.
func TestSourcesOfTheMirror(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		mirror *v1alpha1.ArtifactStore
		want   []v1alpha1.WorkloadSource
	}{
		{aMirror(), []v1alpha1.WorkloadSource{v1alpha1.WorkloadPods, v1alpha1.WorkloadControllers}},
		{aMirror(v1alpha1.WorkloadPods), []v1alpha1.WorkloadSource{v1alpha1.WorkloadPods}},
	} {
		r, err := (&api{}).reader(t).ReadImages(t.Context(), tc.mirror, byHost)
		if err != nil {
			t.Fatal(err)
		}
		var got []v1alpha1.WorkloadSource
		for _, s := range r.Sources {
			got = append(got, s.Name)
		}
		if !cmp.Equal(got, tc.want) {
			t.Errorf("read are %v, want %v", got, tc.want)
		}
	}
}

func TestByNamespace(t *testing.T) {
	t.Parallel()
	in := func(namespace, tag string) Use {
		return Use{Holder: reference.Object{Kind: "Pod", Namespace: namespace, Name: "p"}, Repository: "r.example/upf", Tag: tag}
	}
	all := NewReading(now, map[Use]bool{in("a", "1"): true, in("a", "2"): true, in("b", "1"): true}).ByNamespace()
	if len(all) != 2 || len(all["a"].Of("r.example/upf", "2")) != 1 || len(all["b"].Of("r.example/upf", "2")) != 0 || len(all["b"].Of("r.example/upf", "1")) != 1 {
		t.Errorf("by namespace there are %v", all)
	}
}
