package purge

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/workload"
	"github.com/nfo-operator/nfo/internal/workload/workloadtest"
)

// verdictsOf returns the verdicts of a report, by Artifact or image.
func verdictsOf(r Report) map[string]string {
	all := map[string]string{}
	for _, v := range r.Verdicts {
		name, verdict := v.Image, "keep "
		if ns, _, ok := strings.Cut(v.Artifact, "/"); ok {
			name = ns + " " + v.Image
		}
		if v.Delete {
			verdict = "delete "
		}
		all[name] = verdict + string(v.Reason)
	}
	return all
}

func (w *mirrorWorld) wantVerdicts(orphan string) map[string]string {
	return map[string]string{
		"ran " + unusedImage: "delete Unneeded", "ran " + usedImage: "keep InUse", "ran " + graceImage: "keep GracePeriod", "ran " + sharedImage: "delete Unneeded",
		"core " + sharedImage: "keep InUse", "ran " + keptImage: "keep Kept", "ran " + indexImage: "delete Unneeded", "ran " + w.pinnedImage(): "delete Unneeded", orphanImage: orphan,
	}
}

func TestThePurgeOfTheMirrorRemovesWhatNothingUses(t *testing.T) {
	t.Parallel()
	w := newMirrorWorld(t)
	report, err := w.run()
	w.must(err)
	if diff := cmp.Diff(w.wantVerdicts("keep GracePeriod"), verdictsOf(report)); diff != "" {
		t.Errorf("verdicts: -want +got\n%s", diff)
	}
	w.mustHave(usedImage, graceImage, sharedImage, keptImage, orphanImage)
	for _, gone := range []string{unusedImage, indexImage, w.pinnedImage()} {
		if w.there(gone) || w.digestThere(gone, gone) || w.now("ran", gone) != nil {
			t.Errorf("%s is still there", gone)
		}
	}
	if w.digestThere(indexImage, "amd64") || w.digestThere(indexImage, "signature") {
		t.Error("parts of an index or its signature are still there")
	}
	if w.now("ran", sharedImage) != nil || w.now("core", sharedImage) == nil {
		t.Error("of two Artifacts of one image, the one that nothing uses goes alone")
	}
	var s v1alpha1.ArtifactStore
	w.must(w.get(&s, v1alpha1.MirrorName))
	if len(s.Status.Unneeded) != 1 || s.Status.LastPurge == nil || s.Status.LastPurge.Deleted != 4 || s.Status.LastPurge.Outcome != v1alpha1.PurgeSucceeded {
		t.Fatalf("the store's status is %+v", s.Status)
	}

	w.later(25 * time.Hour)
	report, err = w.run()
	w.must(err)
	if got := verdictsOf(report)[orphanImage]; got != "delete Unneeded" || w.there(orphanImage) || w.digestThere(orphanImage, orphanImage) {
		t.Errorf("the tag that no Artifact names: %s", got)
	}
	w.must(w.get(&s, v1alpha1.MirrorName))
	if len(s.Status.Unneeded) != 0 {
		t.Errorf("still unneeded is %v", s.Status.Unneeded)
	}
	w.mustHave(usedImage, sharedImage, keptImage)
}

// If a namespace has too many uses to distinguish, everything at the places that
// it references is kept, including the copies of others. Other places are purged.
func TestI14AllOfAPlaceIsUsed(t *testing.T) {
	t.Parallel()
	orphan := mustParse(t, orphanImage)
	w := newMirrorWorld(t, func(s *v1alpha1.ArtifactStore) {
		s.Status.Unneeded = []v1alpha1.UnresolvedReference{{Repository: orphan.MirrorRepository(), TagOrDigest: orphan.Tag, Since: *ago(48)}}
	})
	for _, image := range []string{unusedImage, orphanImage} {
		w.uses[workload.Use{Holder: deploymentIn("core"), Repository: w.imageOf(image).Path(), Any: true}] = true
	}
	report, err := w.run()
	w.must(err)
	w.mustHave(unusedImage, orphanImage)
	if got := verdictsOf(report)["ran "+unusedImage]; got != "keep InUse" || w.now("ran", unusedImage) == nil {
		t.Errorf("of a place that is used as a whole: %s", got)
	}
	if w.there(indexImage) {
		t.Error("what nobody names is still there")
	}
}

// The image manifests of a wave are kept in memory until they are verified, so a wave has only as many as fit.
func TestLargeImageManifestsGoInSmallWaves(t *testing.T) {
	t.Parallel()
	w := newMirrorWorld(t)
	m, err := w.client.Manifest(t.Context(), w.imageOf(unusedImage).MirrorRepository(), w.digest[unusedImage])
	w.must(err)
	var images []string
	for i := range 6 {
		large := padded(t, m.Bytes, i)
		image := fmt.Sprintf("%s-large-%d", unusedImage, i)
		w.digest[image] = w.push(image, m.Descriptor.MediaType, large, w.imageOf(image).Tag).Digest
		w.must(w.raw.Create(t.Context(), w.artifact("ran", image, 40)))
		images = append(images, image)
	}
	report, err := w.run()
	w.must(err)
	for _, image := range images {
		if got := verdictsOf(report)["ran "+image]; got != "delete Unneeded" || w.digestThere(image, image) {
			t.Errorf("%s: %s", image, got)
		}
	}
}

// An index whose image manifests do not fit in memory is kept with all its parts. Others are deleted.
func TestAnImageThatCannotBeAtHandStays(t *testing.T) {
	t.Parallel()
	w := newMirrorWorld(t)
	m, err := w.client.Manifest(t.Context(), w.imageOf(unusedImage).MirrorRepository(), w.digest[unusedImage])
	w.must(err)
	image := unusedImage + "-many"
	var children []string
	for i := range 6 {
		d := w.push(image, m.Descriptor.MediaType, padded(t, m.Bytes, i))
		children = append(children, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,"platform":{"os":"linux","architecture":"amd64","variant":"v%d"}}`, d.MediaType, d.Digest, d.Size, i))
	}
	index := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, ocispec.MediaTypeImageIndex, strings.Join(children, ","))
	w.digest[image] = w.push(image, ocispec.MediaTypeImageIndex, []byte(index), w.imageOf(image).Tag).Digest
	w.must(w.raw.Create(t.Context(), w.artifact("ran", image, 40)))
	report, err := w.run()
	w.must(err)
	if got := verdictsOf(report)["ran "+image]; got != "keep Unreadable" || !w.there(image) || w.now("ran", image).Releasing() {
		t.Errorf("it is %s", got)
	}
	if w.there(indexImage) {
		t.Error("another image did not go")
	}
}

// push pushes a manifest into the repository of an image.
func (w *mirrorWorld) push(image, mediaType string, content []byte, tags ...string) ocispec.Descriptor {
	w.t.Helper()
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: int64(len(content))}
	w.must(w.client.Restore(w.t.Context(), w.imageOf(image).MirrorRepository(), registry.Manifest{Descriptor: d, Bytes: content}, tags))
	return d
}

// padded returns an image manifest that is 3 MiB larger, and different for each n.
func padded(t *testing.T, manifest []byte, n int) []byte {
	t.Helper()
	begins, ok := strings.CutSuffix(strings.TrimSpace(string(manifest)), "}")
	if !ok {
		t.Fatal("the manifest is not a JSON object")
	}
	return fmt.Appendf(nil, `%s,"annotations":{"pad":"%d%s"}}`, begins, n, strings.Repeat("x", 3<<20))
}

func TestOneRepositoryThatCannotBeReadKeepsNoOthers(t *testing.T) {
	t.Parallel()
	w := newMirrorWorld(t)
	bad := w.imageOf(unusedImage).Path()
	w.Intercept(func(rw http.ResponseWriter, req *http.Request) bool {
		if !strings.HasSuffix(req.URL.Path, bad+"/tags/list") {
			return false
		}
		rw.WriteHeader(http.StatusInternalServerError)
		return true
	})
	report, err := w.run()
	if err == nil || !strings.Contains(err.Error(), bad) {
		t.Errorf("the error is %v; want the name of %s", err, bad)
	}
	if got := verdictsOf(report)["ran "+unusedImage]; got != "keep Unreadable" || !w.there(unusedImage) {
		t.Errorf("what cannot be read: %s", got)
	}
	if w.there(indexImage) {
		t.Error("what can be read has stayed with it")
	}
}

func TestI8ADryRunOfTheMirrorWritesNothing(t *testing.T) {
	t.Parallel()
	w := newMirrorWorld(t)
	cfg := w.config()
	cfg.DryRun = true
	report, err := Run(t.Context(), cfg)
	w.must(err)
	if diff := cmp.Diff(w.wantVerdicts("keep GracePeriod"), verdictsOf(report)); diff != "" {
		t.Errorf("verdicts: -want +got\n%s", diff)
	}
	if w.gate.writes != 0 || w.Writes() != 0 || report.Reclaimed == 0 {
		t.Errorf("%d writes, of the registry %d; %d bytes would be reclaimed", w.gate.writes, w.Writes(), report.Reclaimed)
	}
}

// The purge of the mirror dies after each of its writes, and another purge continues. At no step is a used image lost.
func TestI4AnInterruptedPurgeOfTheMirrorIsTakenUp(t *testing.T) {
	t.Parallel()
	whole := newMirrorWorld(t)
	_, err := whole.run()
	whole.must(err)
	for n := range whole.gate.writes {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d lost %t", n, lost), func(t *testing.T) {
				t.Parallel()
				w := newMirrorWorld(t)
				w.gate.left, w.gate.lost = n, lost
				if _, err := w.run(); err == nil && n > 0 && !lost {
					t.Logf("write %d is not missed", n)
				}
				w.gate.open()
				w.mustHave(usedImage, graceImage, sharedImage, keptImage, orphanImage)
				report, err := w.run()
				w.must(err)
				for _, v := range report.Verdicts {
					if v.Reason == plan.Interrupted || v.Reason == plan.UseUnknown {
						t.Errorf("%s is %s", v.Image, v.Reason)
					}
				}
				w.mustHave(usedImage, graceImage, sharedImage, keptImage, orphanImage)
				for _, gone := range []string{unusedImage, indexImage, w.pinnedImage()} {
					if w.there(gone) || w.digestThere(gone, gone) || w.now("ran", gone) != nil {
						t.Errorf("%s is still there", gone)
					}
				}
				for _, stays := range []string{usedImage, graceImage, keptImage} {
					if a := w.now("ran", stays); a == nil || a.Status.State != v1alpha1.MirrorPresent {
						t.Errorf("the Artifact of %s is %+v", stays, a)
					}
				}
			})
		}
	}
}

// An image that a purge claimed before it died is used again. It is given back, and copied again if its copy is incomplete.
func TestI4WhatWasClaimedIsGivenBackWhenItIsUsed(t *testing.T) {
	t.Parallel()
	whole := newMirrorWorld(t)
	_, err := whole.run()
	whole.must(err)
	for n := range whole.gate.writes {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			w := newMirrorWorld(t)
			w.gate.left = n
			_, _ = w.run()
			w.gate.open()
			all := []string{unusedImage, indexImage, w.pinnedImage()}
			for _, image := range all {
				w.use("ran", image)
			}
			_, err := w.run()
			w.must(err)
			for _, image := range all {
				a := w.now("ran", image)
				switch {
				case a == nil: // it was deleted before it was used
				case a.Status.State == v1alpha1.MirrorPresent && !w.there(image):
					t.Errorf("%s is Present, and its copy has gone", image)
				case a.Status.State != v1alpha1.MirrorPresent && a.Status.State != v1alpha1.MirrorPending:
					t.Errorf("%s stays %s", image, a.Status.State)
				case a.Status.State == v1alpha1.MirrorPending && w.there(image):
					t.Errorf("%s has its copy and is to be copied again", image)
				}
			}
		})
	}
}

// A use of every image appears during the purge, before each of its readings.
func TestI3AUseThatAppearsDuringThePurgeOfTheMirror(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 3; n++ {
		t.Run(fmt.Sprint("reading ", n), func(t *testing.T) {
			t.Parallel()
			w := newMirrorWorld(t)
			all := []string{unusedImage, indexImage, w.pinnedImage()}
			w.onRead = func(at int) {
				if at == n {
					for _, image := range all {
						w.use("ran", image)
					}
				}
			}
			report, err := w.run()
			w.must(err)
			w.mustHave(append(all, usedImage)...)
			if !w.digestThere(indexImage, "amd64") || !w.digestThere(indexImage, "signature") {
				t.Error("the index is back without its parts")
			}
			for _, image := range all {
				if a := w.now("ran", image); a == nil || a.Status.State != v1alpha1.MirrorPresent {
					t.Errorf("the Artifact of %s is %+v", image, a)
				}
				if got := verdictsOf(report)["ran "+image]; got != "keep InUse" {
					t.Errorf("the verdict of %s is %s", image, got)
				}
			}
		})
	}
}

// Another namespace begins to use an image while its copy is removed. Its Artifact was Present before, by the same copy.
func TestI3AnotherArtifactOfTheImageAppears(t *testing.T) {
	t.Parallel()
	w := newMirrorWorld(t)
	var once bool
	w.hooks.onDelete = func(string, digest.Digest) {
		if !once {
			once = true
			w.must(w.raw.Create(t.Context(), w.artifact("core", unusedImage, 0)))
		}
	}
	_, err := w.run()
	w.must(err)
	w.mustHave(unusedImage)
	if a := w.now("ran", unusedImage); a == nil || a.Status.State != v1alpha1.MirrorPresent {
		t.Errorf("the first Artifact is %+v", a)
	}
}

// What cannot be restored is copied again.
func TestWhatCannotBePutBackIsCopiedAgain(t *testing.T) {
	t.Parallel()
	w := newMirrorWorld(t)
	w.onRead = func(at int) {
		if at == 3 {
			w.use("ran", unusedImage)
			w.Intercept(refuseManifests)
		}
	}
	_, err := w.run()
	w.must(err)
	w.Intercept(nil)
	if a := w.now("ran", unusedImage); a == nil || a.Status.State != v1alpha1.MirrorPending {
		t.Errorf("the Artifact is %+v", a)
	}
}

func TestI2WhoUsesTheMirrorCannotBeRead(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]struct {
		reason plan.Reason
		state  v1alpha1.MirrorState
	}{1: {"", v1alpha1.MirrorPresent}, 2: {plan.UseUnknown, v1alpha1.MirrorPresent}, 3: {plan.UseUnknown, v1alpha1.MirrorReleasing}} {
		t.Run(fmt.Sprint("reading ", n), func(t *testing.T) {
			t.Parallel()
			w := newMirrorWorld(t)
			w.onRead = func(at int) {
				if at == n {
					w.mu.Lock()
					defer w.mu.Unlock()
					w.sources = []v1alpha1.WorkloadSourceStatus{{Name: v1alpha1.WorkloadPods, State: v1alpha1.WorkloadsDenied, Message: "pods is forbidden"}}
				}
			}
			report, err := w.run()
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "pods is forbidden") {
				t.Errorf("the error is %v", err)
			}
			a := w.now("ran", unusedImage)
			if a == nil || a.Status.State != want.state || n < 3 && !w.there(unusedImage) {
				t.Errorf("the Artifact is %+v", a)
			}
			if want.reason != "" && verdictsOf(report)["ran "+unusedImage] != "keep "+string(want.reason) {
				t.Errorf("the verdicts are %v", verdictsOf(report))
			}
			w.mustHave(usedImage, sharedImage)
		})
	}
}

func TestWhatTheRegistryRefusesToDeleteStays(t *testing.T) {
	t.Parallel()
	w := newMirrorWorld(t)
	w.Intercept(refuseDigests)
	report, err := w.run()
	if !errors.Is(err, registry.ErrDenied) || verdictsOf(report)["ran "+unusedImage] != "keep Denied" {
		t.Errorf("%v: the verdicts are %v", err, verdictsOf(report))
	}
	w.Intercept(nil)
	w.mustHave(unusedImage, indexImage, usedImage)
	if a := w.now("ran", unusedImage); a.Status.State != v1alpha1.MirrorPresent || a.Status.UnusedSince == nil {
		t.Errorf("the Artifact is %+v", a.Status)
	}
}

func TestThePurgeOfTheMirrorStopsAtItsBounds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		change func(*v1alpha1.PurgeSpec)
		want   []string // verdicts of what may be deleted, unused for longest first
	}{
		"MaxDeletions": {"the image that was unused longest goes", func(p *v1alpha1.PurgeSpec) { p.MaxDeletions = 1 }, []string{"delete Unneeded", "keep OverBudget", "keep OverBudget"}},
		"Threshold":    {"nothing goes below it", func(p *v1alpha1.PurgeSpec) { p.ThresholdPercent = 90 }, []string{"keep NotNeeded", "keep NotNeeded", "keep NotNeeded"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newMirrorWorld(t, func(s *v1alpha1.ArtifactStore) {
				s.Spec.Capacity = new(resource.MustParse("1Gi"))
				tc.change(&s.Spec.Purge)
			})
			report, err := w.run()
			w.must(err)
			var got []string
			for _, image := range []string{w.pinnedImage(), indexImage, unusedImage} {
				got = append(got, verdictsOf(report)["ran "+image])
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

// Images in a repository can share parts, and a tag can point at another digest than when its Artifact was copied.
func TestOnlyWhatNothingElseLeadsToGoes(t *testing.T) {
	t.Parallel()
	w := newMirrorWorld(t)
	i := w.imageOf(unusedImage)
	m, err := w.client.Manifest(t.Context(), i.MirrorRepository(), w.digest[unusedImage])
	w.must(err)
	w.must(w.client.Put(t.Context(), i.MirrorRepository(), "stable", m))
	stable := strings.TrimSuffix(unusedImage, ":1") + ":stable"
	w.digest[stable] = w.digest[unusedImage]
	w.must(w.raw.Create(t.Context(), w.artifact("core", stable, 0)))
	_, err = w.run()
	w.must(err)
	w.mustHave(stable)
	if w.there(unusedImage) || w.now("ran", unusedImage) != nil {
		t.Error("the tag that nothing uses is still there")
	}
}

func TestAStoreThatIsNotTheMirrorIsRefused(t *testing.T) {
	t.Parallel()
	w := newMirrorWorld(t, func(s *v1alpha1.ArtifactStore) { s.Spec.Registry.ClusterRegistry.Prefix = "acme" })
	if _, err := w.run(); !errors.Is(err, ErrRefused) || w.gate.writes != 0 {
		t.Errorf("the error is %v after %d writes", err, w.gate.writes)
	}
}

func TestAnArtifactThatChangedIsNotClaimed(t *testing.T) {
	t.Parallel()
	w := newMirrorWorld(t)
	w.onRead = func(at int) {
		if at == 1 { // after Artifacts were listed
			a := w.now("ran", unusedImage)
			a.Status.CopiedPercent = new(int32(7))
			w.must(w.raw.Status().Update(t.Context(), a))
		}
	}
	report, err := w.run()
	w.must(err)
	w.mustHave(unusedImage)
	if a := w.now("ran", unusedImage); a == nil || a.Releasing() || verdictsOf(report)["ran "+unusedImage] != "keep Held" {
		t.Errorf("the Artifact is %+v: %s", a, verdictsOf(report)["ran "+unusedImage])
	}
}

func TestAClaimedArtifactSaysSo(t *testing.T) {
	t.Parallel()
	w := newMirrorWorld(t)
	w.hooks.onDelete = func(string, digest.Digest) {
		a := w.now("ran", unusedImage)
		if a == nil {
			return
		}
		ready := apimeta.FindStatusCondition(a.Status.Conditions, v1alpha1.ConditionReady)
		if !a.Releasing() || ready == nil || ready.Reason != v1alpha1.ReasonReleasing || ready.LastTransitionTime.IsZero() {
			t.Errorf("something is deleted while the Artifact is %+v", a.Status)
		}
	}
	_, err := w.run()
	w.must(err)
}

// A rollback starts the images of an old ReplicaSet. They are kept even without a grace period and
// although the manager has recorded that nothing uses them. An image is deleted only after its ReplicaSet.
func TestI1ARollbackFindsItsImageAfterAPurge(t *testing.T) {
	t.Parallel()
	for name, as := range map[string]string{"Original": unusedImage, "Rewritten": "127.0.0.1:7439/" + unusedImage} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newMirrorWorld(t, func(s *v1alpha1.ArtifactStore) { s.Spec.Purge.GracePeriod.Duration = 0 })
			replicaSet := `{"metadata":{"namespace":"ran","name":"web-1","uid":"web-1","annotations":{"deployment.kubernetes.io/revision":"1"},` +
				`"ownerReferences":[{"apiVersion":"apps/v1","kind":"Deployment","name":"web","uid":"web","controller":true}]},` +
				`"spec":{"replicas":0,"template":{"spec":{"containers":[{"name":"web","image":"` + as + `"}]}}}}`
			web := workloadtest.Deployment("web", usedImage)
			run := func(replicaSets ...string) Report {
				t.Helper()
				kube, through := workloadtest.Server{Objects: map[string][]string{"/apis/apps/v1/deployments": {web}, "/apis/apps/v1/replicasets": replicaSets}}.Start(t)
				reader, err := workload.NewReader(kube, through, nil, w.clock, w.clock.Now)
				w.must(err)
				cfg := w.config()
				cfg.Images = reader.ReadImages
				report, err := Run(t.Context(), cfg)
				w.must(err)
				return report
			}
			report := run(replicaSet)
			if got := verdictsOf(report)["ran "+unusedImage]; got != "keep InUse" || w.now("ran", unusedImage) == nil {
				t.Errorf("the image of the old ReplicaSet: %s", got)
			}
			w.mustHave(unusedImage, usedImage)
			if w.there(graceImage) {
				t.Error("the purge removes nothing at all")
			}
			report = run()
			if got := verdictsOf(report)["ran "+unusedImage]; got != "delete Unneeded" || w.there(unusedImage) || w.digestThere(unusedImage, unusedImage) {
				t.Errorf("after the ReplicaSet has gone: %s", got)
			}
			w.mustHave(usedImage)
		})
	}
}
