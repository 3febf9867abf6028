package purge

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// app is the repository of the live manifest in a world with untagged digests.
const app = "acme/other/app"

// age makes all files two days old.
func age(t *testing.T, dir string) {
	t.Helper()
	then := time.Now().Add(-48 * time.Hour)
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // a running registry creates and deletes files to probe the volume
			return nil
		}
		if err != nil || e.IsDir() {
			return err
		}
		if err := os.Chtimes(filepath.Join(dir, name), then, then); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// newUntaggedWorld returns a world with the cluster's own registry. It has a live
// manifest, an image whose tag was overwritten, an untagged image that the manifest
// has recorded, a tagged index, and a repository that belongs to no manifest.
func newUntaggedWorld(t *testing.T) *clusterWorld {
	t.Helper()
	w := newClusterWorld(t, nil)
	for _, image := range []struct{ name, repository, tag string }{
		{"overwritten", app, "1.0.0"}, {"kept", app, "1.0.0"}, {"recorded", app, ""}, {"stranger", "acme/stranger", ""},
	} {
		desc, err := registrytest.PushImage(t.Context(), w.Host, image.repository, image.tag, image.name)
		w.must(err)
		w.digest[image.name] = desc.Digest
	}
	index, err := registrytest.PushIndex(t.Context(), w.Host, app, "2.0.0", []string{"linux/amd64", "linux/arm64"}, "tagged index")
	w.must(err)
	m, err := w.client.Manifest(t.Context(), app, index.Digest)
	w.must(err)
	w.digest["child"] = m.Children[0].Digest
	w.must(w.raw.Create(t.Context(), aManifest(lists("1.0.0"), func(m *v1alpha1.ArtifactManifest) {
		m.Name, m.Spec.Artifacts[0].ArtifactName = "other", "app"
		m.Status.Artifacts = []v1alpha1.ArtifactStatus{
			{ArtifactName: "app", ArtifactVersion: "1.0.0", Repository: app, State: v1alpha1.ArtifactPresent, Digest: w.digest["kept"].String()},
			{ArtifactName: "app", ArtifactVersion: "3.0.0", Repository: app, State: v1alpha1.ArtifactMissing, Digest: w.digest["recorded"].String()},
		}
	})))
	return w
}

// purges runs a purge and waits for the collection that it asks for.
func (w *clusterWorld) purges() Report {
	w.t.Helper()
	report, err := Run(w.t.Context(), w.config(time.Minute))
	w.must(err)
	return report
}

func (w *clusterWorld) mustHave(reason string, names ...string) {
	w.t.Helper()
	for _, name := range names {
		repository := app
		if name == "stranger" {
			repository = "acme/stranger"
		}
		if !w.hasIn(repository, name) {
			w.t.Errorf("%s: %s is lost", reason, name)
		}
	}
}

// indexByDigest pushes an index of an image, by digest.
func (w *clusterWorld) indexByDigest(name, of string) {
	w.t.Helper()
	child, err := w.client.Manifest(w.t.Context(), app, w.digest[of])
	w.must(err)
	content, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{child.Descriptor}})
	w.must(err)
	d := digest.FromBytes(content)
	w.must(w.client.Put(w.t.Context(), app, d.String(), registry.Manifest{Descriptor: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: d, Size: int64(len(content))}, Bytes: content}))
	w.digest[name] = d
}

func TestAnOverwrittenDigestGoesAfterItsGrace(t *testing.T) {
	t.Parallel()
	w := newUntaggedWorld(t)
	report, err := Run(t.Context(), w.config(0)) // no collection runs yet
	w.must(err)
	if got := w.verdict(report, "overwritten"); got != "" || len(w.foundTombstones()) != 0 {
		t.Errorf("it may still be a part of a push, and is %q", got)
	}
	w.collects()
	report = w.purges()
	found := w.foundTombstones()
	if got := w.verdict(report, "overwritten"); got != "keep GracePeriod" || len(found) != 1 || len(found[0].Spec.Artifacts) != 1 || found[0].Spec.Artifacts[0].Digests[0] != w.digest["overwritten"].String() {
		t.Fatalf("it is %q, and found are %+v", got, found)
	}
	w.clock.SetTime(now.Add(23 * time.Hour))
	w.purges()
	w.mustHave("within its grace", "overwritten")
	w.clock.SetTime(now.Add(25 * time.Hour))
	report = w.purges()
	if got := w.verdict(report, "overwritten"); got != "delete Found" || w.hasIn(app, "overwritten") || w.onDisk("overwritten") {
		t.Errorf("after its grace it is %q: %s", got, report.Summary())
	}
	w.mustHave("after the purge", "kept", "recorded", "child", "stranger")
	if left := w.foundTombstones(); len(left) != 0 {
		t.Errorf("its tombstone is left: %+v", left)
	}
	if again := w.purges(); again.Deleted != 0 || len(w.foundTombstones()) != 0 {
		t.Errorf("the next purge finds more: %s", again.Summary())
	}
}

// A found digest that is pushed again by digest is not deleted. If a later purge finds it again, it gets a new grace period.
func TestFoundIsPushedAgain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reason string
		// again pushes the digest again, before the purge or right before its deletion.
		again  func(w *clusterWorld)
		during bool
	}{
		{"by digest, before the purge", func(w *clusterWorld) { w.tag(app, w.digest["overwritten"].String(), "overwritten") }, false},
		{"as a child of an index that is pushed by digest, before the purge", func(w *clusterWorld) { w.indexByDigest("index of it", "overwritten") }, false},
		{"by digest, right before it is deleted", func(w *clusterWorld) { w.tag(app, w.digest["overwritten"].String(), "overwritten") }, true},
		{"as a child of an index that is pushed by digest, right before it is deleted", func(w *clusterWorld) { w.indexByDigest("index of it", "overwritten") }, true},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			t.Parallel()
			w := newUntaggedWorld(t)
			w.collects()
			w.purges()
			w.clock.SetTime(now.Add(25 * time.Hour))
			if tt.during {
				w.hooks.onAsk = func(digest.Digest) { tt.again(w) }
			} else {
				tt.again(w)
			}
			w.purges()
			w.hooks.onAsk = nil
			w.mustHave("it was pushed again", "overwritten", "kept")
			if w.digest["index of it"] != "" {
				w.mustHave("its child was found", "index of it")
			}
			w.purges()
			if left := w.foundTombstones(); len(left) != 0 {
				t.Errorf("it has a tombstone: %+v", left)
			}
			w.age()
			w.purges()
			w.mustHave("another grace begins", "overwritten")
			if found := w.foundTombstones(); len(found) != 1 {
				t.Errorf("nothing is found a day later: %+v", found)
			}
		})
	}
}

// A purge is killed at each of its writes. Nothing that is used is lost, and the found digests are deleted in the end.
func TestI4FoundInTheClustersRegistryIsResumed(t *testing.T) {
	t.Parallel()
	for left := range 60 {
		w := newUntaggedWorld(t)
		w.collects()
		w.purges()
		w.clock.SetTime(now.Add(25 * time.Hour))
		w.gate.left = left
		_, err := Run(t.Context(), w.config(time.Minute))
		w.gate.open()
		w.mustHave(fmt.Sprintf("after a crash at write %d", left), "kept", "recorded", "child", "stranger")
		for day := 2; day < 5; day++ {
			w.age()
			w.clock.SetTime(now.Add(time.Duration(day) * 25 * time.Hour))
			w.purges()
		}
		w.mustHave(fmt.Sprintf("in the end, after a crash at write %d", left), "kept", "recorded", "child", "stranger")
		if w.hasIn(app, "overwritten") || len(w.foundTombstones()) != 0 {
			t.Fatalf("after a crash at write %d it is still there: %+v", left, w.foundTombstones())
		}
		if err == nil {
			return // the purge has no further write
		}
	}
	t.Error("the run never ended by itself")
}

// I2: while the registry does not list unreferenced digests, found digests and their tombstone are kept.
func TestI2FoundIsKeptWithoutTheList(t *testing.T) {
	t.Parallel()
	w := newUntaggedWorld(t)
	w.collects()
	w.purges()
	w.clock.SetTime(now.Add(25 * time.Hour))
	w.Intercept(func(rw http.ResponseWriter, req *http.Request) bool {
		if !strings.HasPrefix(req.URL.Path, "/nfo/v1/unreferenced") {
			return false
		}
		registrytest.Fail(rw, http.StatusForbidden, "DENIED", "no")
		return true
	})
	report, err := Run(t.Context(), w.config(time.Minute))
	if err == nil || w.verdict(report, "overwritten") != "keep Unreadable" {
		t.Errorf("%s, %v", report.Summary(), err)
	}
	w.mustHave("without the list", "overwritten")
	if found := w.foundTombstones(); len(found) != 1 || found[0].Entry(app, graph.UndoTag(w.digest["overwritten"])).State == v1alpha1.TombstoneRestored {
		t.Errorf("its tombstone: %+v", found)
	}
}

// A found index is pushed again by digest. Its children stay with it, even one that a tombstone of a release would delete.
func TestI1FoundThatIsPushedAgainKeepsItsParts(t *testing.T) {
	t.Parallel()
	for _, during := range []bool{false, true} {
		t.Run(fmt.Sprintf("right before its deletion: %t", during), func(t *testing.T) {
			t.Parallel()
			w := newUntaggedWorld(t)
			index, err := registrytest.PushIndex(t.Context(), w.Host, app, "", []string{"linux/amd64", "linux/arm64"}, "found index")
			w.must(err)
			m, err := w.client.Manifest(t.Context(), app, index.Digest)
			w.must(err)
			w.digest["found index"], w.digest["part"] = index.Digest, m.Children[0].Digest
			w.collects()
			w.purges()
			released := w.tombstone("t9", in(app, v1alpha1.TombstoneUntagged, 30, "0.9.0", m.Children[0].Digest.String()))
			released.Spec.RegistryURL, released.Spec.Manifest.Name = "https://"+v1alpha1.ClusterRegistryHost+"/acme", "other"
			released.Name = "a" + released.Name // the first tombstone by name gives the reason
			w.must(w.raw.Create(t.Context(), released))
			w.clock.SetTime(now.Add(25 * time.Hour))
			again := func() { w.tag(app, index.Digest.String(), "found index") }
			if during {
				w.hooks.onAsk = func(x digest.Digest) {
					if x == index.Digest {
						again()
					}
				}
			} else {
				again()
			}
			report := w.purges()
			w.mustHave("it was pushed again", "found index", "part")
			if got := w.verdict(report, "found index"); got != "keep GracePeriod" {
				t.Errorf("the verdict is %q", got)
			}
		})
	}
}

// A found digest is pushed again, or its deletion was requested and not done, while another entry of its tombstone
// is in its grace period. If a purge finds the digest again, it gets a new grace period, and is deleted in the end.
func TestFoundOnceMoreGoesInTheEnd(t *testing.T) {
	t.Parallel()
	for _, state := range []v1alpha1.TombstoneState{v1alpha1.TombstoneRestored, v1alpha1.TombstonePurged} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			w := newUntaggedWorld(t)
			w.collects()
			w.purges()
			second, err := registrytest.PushImage(t.Context(), w.Host, app, "", "second")
			w.must(err)
			w.digest["second"] = second.Digest
			w.age()
			w.clock.SetTime(now.Add(12 * time.Hour))
			w.purges()
			found, tag := w.foundTombstones(), graph.UndoTag(w.digest["overwritten"])
			if len(found) != 1 || len(found[0].Spec.Artifacts) != 2 {
				t.Fatalf("found are %+v", found)
			}
			e := found[0].Entry(app, tag)
			e.State, e.Deleted = state, []string{w.digest["overwritten"].String()}
			found[0].SetEntry(e)
			w.must(w.raw.Status().Update(t.Context(), &found[0]))
			w.clock.SetTime(now.Add(25 * time.Hour))
			w.purges()
			w.mustHave("another grace begins", "overwritten")
			if e := w.foundTombstones()[0].Entry(app, tag); e.State != v1alpha1.TombstoneUntagged || len(e.Deleted) > 0 || e.UntaggedAt == nil || !e.UntaggedAt.Time.Equal(now.Add(25*time.Hour)) {
				t.Errorf("its entry is %+v", e)
			}
			w.clock.SetTime(now.Add(48 * time.Hour))
			w.purges()
			w.mustHave("within its grace", "overwritten")
			w.clock.SetTime(now.Add(50 * time.Hour))
			w.purges()
			if left := w.foundTombstones(); w.hasIn(app, "overwritten") || w.hasIn(app, "second") || len(left) != 0 {
				t.Errorf("it never goes: %+v", left)
			}
		})
	}
}
