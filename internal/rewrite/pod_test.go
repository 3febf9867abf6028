package rewrite

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

func always(Image) bool { return true }
func never(Image) bool  { return false }

// aPod returns a pod with an image in every kind of place.
func aPod(image string) *Pod {
	p := &Pod{}
	p.Spec.Containers = []Container{{Name: "upf", Image: image}, {Name: "sidecar", Image: "quay.example/sidecar:1"}}
	p.Spec.Init = []Container{{Name: "init", Image: image}}
	p.Spec.Ephemeral = []Container{{Name: "debug", Image: image}}
	p.Spec.Volumes = []Volume{{Name: "data"}, {Name: "model", Image: &VolumeImage{Reference: image}}}
	return p
}

func TestEveryPlaceIsRewritten(t *testing.T) {
	t.Parallel()
	stores := []v1alpha1.ArtifactStore{urlStore("acme", "https://registry.example.com:5000/acme")}
	p := aPod("registry.example.com:5000/acme/upf:1")
	var got []string
	for _, c := range p.Rewrite(NewRules(mirrorStore(v1alpha1.MirrorKnownStores), stores), always, nil) {
		got = append(got, fmt.Sprintf("%s %s %s", c.Place, c.Pointer(), c.To))
	}
	const to = "127.0.0.1:7439/registry.example.com_5000/acme/upf:1"
	want := []string{
		"containers/upf /spec/containers/0/image " + to, "initContainers/init /spec/initContainers/0/image " + to,
		"ephemeralContainers/debug /spec/ephemeralContainers/0/image " + to, "volumes/model /spec/volumes/1/image/reference " + to,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if p.Spec.Containers[0].Image != to || p.Spec.Containers[1].Image != "quay.example/sidecar:1" || p.Spec.Volumes[1].Image.Reference != to {
		t.Errorf("the pod has %+v", p.Spec)
	}
	const originals = `{"containers/upf":"registry.example.com:5000/acme/upf:1","ephemeralContainers/debug":"registry.example.com:5000/acme/upf:1",` +
		`"initContainers/init":"registry.example.com:5000/acme/upf:1","volumes/model":"registry.example.com:5000/acme/upf:1"}`
	if got := p.Metadata.Annotations[v1alpha1.AnnotationOriginalImages]; got != originals {
		t.Errorf("the annotation is %s", got)
	}
}

func TestWhatStaysAsItIs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reason  string
		policy  v1alpha1.RewritePolicy
		present func(Image) bool
		change  func(*Pod)
		want    bool
	}{
		{"nothing, if the mirror has it", v1alpha1.RewritePresent, always, func(*Pod) {}, true},
		{"all, if it has not", v1alpha1.RewritePresent, never, func(*Pod) {}, false},
		{"nothing, if it does not matter", v1alpha1.RewriteAlways, never, func(*Pod) {}, true},
		{"all, if nodes find the mirror by themselves", v1alpha1.RewriteNever, always, func(*Pod) {}, false},
		{"a static pod", v1alpha1.RewriteAlways, always, func(p *Pod) { p.Metadata.Annotations = map[string]string{StaticPod: "x"} }, false},
		{"a pod that opts out", v1alpha1.RewriteAlways, always, func(p *Pod) { p.Metadata.Labels = map[string]string{v1alpha1.LabelMirror: v1alpha1.MirrorDisabled} }, false},
		{"not a pod with another value of the label", v1alpha1.RewriteAlways, always, func(p *Pod) { p.Metadata.Labels = map[string]string{v1alpha1.LabelMirror: "enabled"} }, true},
		{"what nobody pulls", v1alpha1.RewriteAlways, always, func(p *Pod) { p.Spec.Containers[0].Pull = pullNever }, false},
		{"not what is always pulled", v1alpha1.RewriteAlways, always, func(p *Pod) { p.Spec.Containers[0].Pull = "Always" }, true},
		{"not an image", v1alpha1.RewriteAlways, always, func(p *Pod) { p.Spec.Containers[0].Image = "NO IMAGE" }, false},
		{"a pod without room for another annotation", v1alpha1.RewriteAlways, always, func(p *Pod) { p.Metadata.Annotations = map[string]string{"a": strings.Repeat("a", maxAnnotations-10)} }, false},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			t.Parallel()
			m := mirrorStore(v1alpha1.MirrorAll)
			m.Spec.Mirror.Rewrite = tt.policy
			p := &Pod{}
			p.Spec.Containers = []Container{{Name: "upf", Image: "r.example/upf:1"}}
			tt.change(p)
			before := p.Spec.Containers[0]
			changes := p.Rewrite(NewRules(m, nil), tt.present, nil)
			if got := len(changes) > 0; got != tt.want || got == (p.Spec.Containers[0] == before) {
				t.Errorf("%v, %+v", changes, p.Spec.Containers[0])
			}
		})
	}
}

// A second webhook call changes nothing, nor does a pod that was created from the YAML of a rewritten one.
func TestRewritingIsIdempotent(t *testing.T) {
	t.Parallel()
	r := NewRules(mirrorStore(v1alpha1.MirrorAll), nil)
	p := aPod("nginx")
	p.Rewrite(r, always, nil)
	once := marshalled(t, p)
	if again := p.Rewrite(r, always, nil); again != nil || marshalled(t, p) != once {
		t.Errorf("the second time it changes %v", again)
	}
	if uses := p.Mirrored(r); len(uses) != 2 {
		t.Errorf("it uses %v", uses)
	}
	delete(p.Metadata.Annotations, v1alpha1.AnnotationOriginalImages)
	at := Place{List: Containers, Name: "upf"}
	if i, ok := p.Rewritten(agentAddress, at); !ok || i.String() != "docker.io/library/nginx:latest" {
		t.Errorf("without the annotation it is %s, %t", i, ok)
	}
	if _, ok := p.Rewritten("", at); ok {
		t.Error("without the annotation and the address it is recognised")
	}
	if changes := p.Restore(agentAddress, func(p Place) bool { return p.List == Containers }); len(changes) != 2 || p.Spec.Containers[0].Image != "docker.io/library/nginx:latest" {
		t.Errorf("restored: %v", changes)
	}
}

// A wrong annotation, such as one copied from another pod or written by a user, does not give the pod another image.
func TestTheAnnotationIsNotBelieved(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{"containers/upf":"evil.example/upf:1"}`, `{"containers/upf":"r.example/upf:2"}`, `{"containers/upf":5}`, `null`, `x`, strings.Repeat("x", maxOriginals+1)} {
		p := &Pod{}
		p.Spec.Containers = []Container{{Name: "upf", Image: "127.0.0.1:7439/r.example/upf:1"}}
		p.Metadata.Annotations = map[string]string{v1alpha1.AnnotationOriginalImages: text}
		if changes := p.Restore(agentAddress, nil); len(changes) != 1 || changes[0].To != "r.example/upf:1" {
			t.Errorf("%.40s restores %v", text, changes)
		}
	}
}

func marshalled(t *testing.T, p *Pod) string {
	t.Helper()
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var shapes = []string{
	"nginx", "nginx:1.27", "acme/upf", "docker.io/nginx", "index.docker.io/acme/upf:1", "r.example/upf:1", "R.Example/upf:1", "r.example:5000/a/b/c/upf:1.0.0-rc.1_x",
	"r.example/upf@" + someDigest, "r.example/upf:1@" + someDigest, "localhost/upf", "localhost:5000/upf", "10.0.0.1:80/upf:1", "[::1]:5000/upf:1", "NO IMAGE", "",
	"127.0.0.1:7439/upf:1", "r.example/a__b/c.d/e--f:1", "127.0.0.1/r.example/upf:1", "r_x/upf:1",
}

// TestRewriteAndRestoreIsIdentity rewrites and restores pods with random images.
func TestRewriteAndRestoreIsIdentity(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	some := func() string { return shapes[random.IntN(len(shapes))] }
	for range 5000 {
		p := &Pod{}
		if random.IntN(2) == 0 {
			p.Metadata.Annotations = map[string]string{"a": "b"}
		}
		for i := range random.IntN(4) {
			p.Spec.Containers = append(p.Spec.Containers, Container{Name: fmt.Sprint(i), Image: some(), Pull: []string{"", "Always", pullNever}[random.IntN(3)]})
			p.Spec.Init = append(p.Spec.Init, Container{Name: fmt.Sprint(i), Image: some()})
			p.Spec.Ephemeral = append(p.Spec.Ephemeral, Container{Name: fmt.Sprint("e", i), Image: some()})
			p.Spec.Volumes = append(p.Spec.Volumes, Volume{Name: fmt.Sprint(i), Image: &VolumeImage{Reference: some()}})
		}
		identity(t, p, func(Image) bool { return random.IntN(3) > 0 })
	}
}

func identity(t *testing.T, p *Pod, present func(Image) bool) {
	t.Helper()
	m := mirrorStore(v1alpha1.MirrorAll)
	m.Spec.Mirror.PullAddress = "10.96.0.50/mirror.nfo.dev"
	r := NewRules(m, nil)
	before := marshalled(t, p)
	changes := p.Rewrite(r, present, nil)
	for _, c := range changes {
		if i, err := Parse(c.From); err != nil || i != c.Image {
			t.Fatalf("%s is taken for %s: %v", c.From, c.Image, err)
		}
		if i, ok := p.Rewritten("", c.Place); !ok || i != c.Image {
			t.Fatalf("%s is not recognised: %s", c.To, i)
		}
	}
	// The address may have changed in the meantime.
	if back := p.Restore("", nil); len(back) != len(changes) {
		t.Fatalf("%d of %d are restored", len(back), len(changes))
	}
	if len(p.Metadata.Annotations) == 0 {
		p.Metadata.Annotations = nil
	}
	if after := marshalled(t, p); after != before {
		t.Fatalf("it was\n%s\nand is\n%s", before, after)
	}
}

func FuzzRewriteAndRestore(f *testing.F) {
	for _, s := range shapes {
		f.Add(s, "annotation")
	}
	f.Fuzz(func(t *testing.T, image, annotation string) {
		p := aPod(image)
		if json.Valid([]byte(annotation)) { // as the API server takes it
			p.Metadata.Annotations = map[string]string{v1alpha1.AnnotationOriginalImages: annotation}
			p.Restore(agentAddress, nil)
			p.Metadata.Annotations = nil
			p.Rewrite(NewRules(mirrorStore(v1alpha1.MirrorAll), nil), always, nil)
			return
		}
		identity(t, p, always)
	})
}

func TestThePatches(t *testing.T) {
	t.Parallel()
	rewritten := func(annotations map[string]string) (*Pod, []Change) {
		p := &Pod{}
		p.Metadata.Annotations = annotations
		p.Spec.Containers = []Container{{Name: "upf", Image: "r.example/upf:1"}}
		return p, p.Rewrite(NewRules(mirrorStore(v1alpha1.MirrorAll), nil), always, nil)
	}
	const image = `{"op":"replace","path":"/spec/containers/0/image","value":"127.0.0.1:7439/r.example/upf:1"}`
	const originals = `{\"containers/upf\":\"r.example/upf:1\"}`
	for _, tt := range []struct {
		reason string
		had    map[string]string
		want   string
	}{
		{"the first annotation", nil, `[` + image + `,{"op":"add","path":"/metadata/annotations","value":{"nfo.dev/original-images":"` + originals + `"}}]`},
		{"one more", map[string]string{"a": "b"}, `[` + image + `,{"op":"add","path":"/metadata/annotations/nfo.dev~1original-images","value":"` + originals + `"}]`},
	} {
		p, changes := rewritten(tt.had)
		if got, err := p.JSONPatch(tt.had, changes); err != nil || string(got) != tt.want {
			t.Errorf("%s: %s, %v", tt.reason, got, err)
		}
	}
	p, changes := rewritten(nil)
	got, err := p.StrategicPatch("7", changes, v1alpha1.AnnotationImageRepairs, "1 x")
	want := `{"metadata":{"annotations":{"nfo.dev/image-repairs":"1 x","nfo.dev/original-images":"` + originals + `"},"resourceVersion":"7"},"spec":{"containers":[{"image":"127.0.0.1:7439/r.example/upf:1","name":"upf"}]}}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
	back := p.Restore(agentAddress, nil)
	got, err = p.StrategicPatch("8", back, v1alpha1.AnnotationImageRepairs, "2 x")
	want = `{"metadata":{"annotations":{"nfo.dev/image-repairs":"2 x","nfo.dev/original-images":null},"resourceVersion":"8"},"spec":{"containers":[{"image":"r.example/upf:1","name":"upf"}]}}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
}
