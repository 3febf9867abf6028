package integration

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// afterLies is how long anything that happens without further action may take once the registry
// answers correctly: hundreds of manifests wait at the same time, and for a second look.
const afterLies = 4 * time.Minute

// life is one manifest in its own registry, which gives wrong answers in every phase of the manifest's life.
type life struct {
	*scene
	name  string // of the manifest, and of its store
	liar  *registrytest.Liar
	lie   func(*registrytest.Liar)
	lists []string          // its artifacts as name:version
	truth map[string]string // the digest of each artifact
	ran   *atomic.Int64     // purges of all lives that were not refused
}

// live goes through all phases. In each phase the registry lies from
// the beginning or from the first write on, and then answers correctly.
func (l *life) live(ctx context.Context) error {
	begins := func() { l.lie(l.liar) }
	atWrite := func() { l.liar.AtWrite(begins) }
	for _, phase := range []struct {
		name  string
		lying func()
		act   func(context.Context) error
		then  func(context.Context) error
	}{
		{"upload", begins, l.upload, l.uploaded},
		{"overwrite", begins, l.overwrite, l.overwritten},
		{"release", begins, l.release, l.released},
		{"restore", begins, l.apply, l.uploaded},
		{"verification of a release", atWrite, l.release, l.released},
		{"purge in grace", begins, l.purgeOnce, l.restorable},
		{"verification of a restore", atWrite, l.apply, l.uploaded},
		{"purge beside a tag of others", begins, l.purgeOneBesideOthers, l.othersWhole},
		{"verification of a purge", atWrite, l.purgeOnce, l.othersWhole},
		{"last purge", begins, l.purgeAll, l.purged},
	} {
		phase.lying()
		if err := phase.act(ctx); err != nil {
			return fmt.Errorf("%s: %w", phase.name, err)
		}
		// The manager continues while the registry lies.
		if err := pause(ctx, 2*time.Second); err != nil {
			return err
		}
		l.liar.Stop()
		if err := phase.then(ctx); err != nil {
			return fmt.Errorf("%s: %w", phase.name, err)
		}
	}
	return nil
}

func (l *life) manifest() *v1alpha1.ArtifactManifest {
	m := l.scene.manifest(l.name, l.lists...)
	m.Spec.ArtifactStoreRef.Name = l.name
	return m
}

func (l *life) upload(ctx context.Context) error {
	st := l.store(l.name)
	if err := env.Client.Create(ctx, st); err != nil {
		return err
	}
	if err := l.apply(ctx); err != nil {
		return err
	}
	for _, a := range l.lists {
		if err := l.push(ctx, a, "first"); err != nil {
			return err
		}
	}
	return nil
}

func (l *life) push(ctx context.Context, artifact, build string) error {
	n, v, _ := strings.Cut(artifact, ":")
	// The registry lies to the product, not to the publisher.
	direct := httptest.NewServer(l.registry.App)
	defer direct.Close()
	host := strings.TrimPrefix(direct.URL, "http://")
	seed := l.name + artifact + build
	d, err := ocispec.Descriptor{}, error(nil)
	switch n {
	case "index":
		d, err = registrytest.PushIndex(ctx, host, repository(l.name, n), v, []string{"linux/amd64", "linux/arm64"}, seed)
	case "chart":
		d, err = pushChart(ctx, host, repository(l.name, n), v, "", `{kind: Pod, spec: {containers: [{image: "`+l.registry.Host+"/"+repository(l.name, "image")+`:2"}]}}`)
	default:
		d, err = registrytest.PushImage(ctx, host, repository(l.name, n), v, seed)
	}
	l.truth[artifact] = d.Digest.String()
	return err
}

func (l *life) apply(ctx context.Context) error { return env.Client.Create(ctx, l.manifest()) }

// uploaded waits until the manifest reports that everything is uploaded, and checks that it is.
func (l *life) uploaded(ctx context.Context) error {
	last := ""
	err := l.waits(ctx, func(ctx context.Context) (bool, error) {
		m := l.manifest()
		if err := env.Client.Get(ctx, client.ObjectKeyFromObject(m), m); err != nil {
			return false, err
		}
		c := apimeta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionUploaded)
		last = fmt.Sprintf("%+v %+v %+v", c, m.Status.Artifacts, m.Status.Charts)
		if c == nil || c.Status != metav1.ConditionTrue || c.ObservedGeneration != m.Generation || !l.chartsAreRead(m) {
			return false, l.touch(ctx, m)
		}
		for _, a := range m.Status.Artifacts {
			if a.Digest != l.truth[a.ArtifactName+":"+a.ArtifactVersion] {
				return false, l.touch(ctx, m)
			}
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("it is not uploaded: %s: %w", last, err)
	}
	return l.whole(l.lists...)
}

// chartsAreRead reports whether the status contains the image of the manifest's chart.
func (l *life) chartsAreRead(m *v1alpha1.ArtifactManifest) bool {
	if !slices.Contains(l.lists, "chart:1.0.0") {
		return true
	}
	return len(m.Status.Charts) == 1 && len(m.Status.Charts[0].Images) == 1 && m.Status.Charts[0].Images[0].State == v1alpha1.ImageInManifest
}

// touch makes the manager poll the manifest's artifacts now, because the next poll may take too long for a test.
func (l *life) touch(ctx context.Context, m *v1alpha1.ArtifactManifest) error {
	if time.Since(m.CreationTimestamp.Time) < 30*time.Second {
		return nil // a poll is near
	}
	if err := pause(ctx, 5*time.Second); err != nil {
		return err
	}
	slices.Reverse(m.Spec.Artifacts)
	if err := env.Client.Update(ctx, m); !apierrors.IsConflict(err) {
		return err
	}
	return nil
}

// whole checks that tags have the right digests, and that their content is complete.
func (l *life) whole(artifacts ...string) error {
	for _, a := range artifacts {
		n, v, _ := strings.Cut(a, ":")
		if got, err := pull(l.inside, repository(l.name, n), v); err != nil || got != l.truth[a] {
			return fmt.Errorf("LOST: %s is at %q, not at %s: %w", a, got, l.truth[a], err)
		}
	}
	return nil
}

func (l *life) overwrite(ctx context.Context) error {
	if err := l.push(ctx, "image:1", "second"); err != nil {
		return err
	}
	m := l.manifest()
	if err := env.Client.Get(ctx, client.ObjectKeyFromObject(m), m); err != nil {
		return err
	}
	slices.Reverse(m.Spec.Artifacts)
	return client.IgnoreNotFound(env.Client.Update(ctx, m))
}

// overwritten waits until the status has the new digest, and checks that a tombstone has the old one.
func (l *life) overwritten(ctx context.Context) error {
	if err := l.uploaded(ctx); err != nil {
		return err
	}
	graves, err := l.graves(ctx)
	if err != nil {
		return err
	}
	for _, t := range graves {
		if t.Spec.Cause == v1alpha1.CauseOverwritten {
			_, err := pull(l.inside, repository(l.name, "image"), t.Spec.Artifacts[0].Digests[0])
			return err
		}
	}
	return errors.New("LOST: the digest that was overwritten is in no tombstone")
}

func (l *life) graves(ctx context.Context) ([]v1alpha1.Tombstone, error) {
	var all v1alpha1.TombstoneList
	err := env.Client.List(ctx, &all, client.InNamespace(l.ns), client.MatchingFields{"spec.manifest.name": l.name})
	return all.Items, err
}

func (l *life) release(ctx context.Context) error { return env.Client.Delete(ctx, l.manifest()) }

// released waits until the manifest is gone, and checks that its tags are removed and all its digests exist.
func (l *life) released(ctx context.Context) error {
	last := ""
	err := l.waits(ctx, func(ctx context.Context) (bool, error) {
		m := l.manifest()
		err := env.Client.Get(ctx, client.ObjectKeyFromObject(m), m)
		last = fmt.Sprintf("%+v", m.Status.Conditions)
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
	if err != nil {
		return fmt.Errorf("it is not released: %s: %w", last, err)
	}
	for _, a := range l.lists {
		n, v, _ := strings.Cut(a, ":")
		if d, err := pull(l.inside, repository(l.name, n), v); err == nil {
			return fmt.Errorf("the tag of %s is still there, at %s", a, d)
		}
	}
	return l.restorable(ctx)
}

// restorable checks that every digest exists and that a tombstone can restore its tag.
func (l *life) restorable(ctx context.Context) error {
	graves, err := l.graves(ctx)
	if err != nil {
		return err
	}
	for _, a := range l.lists {
		n, v, _ := strings.Cut(a, ":")
		if _, err := pull(l.inside, repository(l.name, n), l.truth[a]); err != nil {
			return fmt.Errorf("LOST: the digest of %s: %w", a, err)
		}
		if !slices.ContainsFunc(graves, func(t v1alpha1.Tombstone) bool {
			return t.Entry(repository(l.name, n), v).State == v1alpha1.TombstoneUntagged && slices.ContainsFunc(t.Spec.Artifacts, func(e v1alpha1.TombstoneArtifact) bool {
				return e.Tag == v && slices.Contains(e.Digests, l.truth[a])
			})
		}) {
			return fmt.Errorf("LOST: no tombstone can put %s back", a)
		}
	}
	return nil
}

// purgeOnce runs a purge, which may fail because of a lie.
func (l *life) purgeOnce(ctx context.Context) error {
	_, err := l.purges(ctx)
	if errors.Is(err, purge.ErrRefused) || errors.Is(err, purge.ErrRunning) {
		return nil
	}
	l.ran.Add(1)
	if err != nil {
		l.t.Logf("%s: a purge gave way: %v", l.name, err)
	}
	return nil
}

func (l *life) purges(ctx context.Context) (purge.Report, error) {
	cfg, err := env.PurgeOf(client.ObjectKey{Namespace: l.ns, Name: l.name}, nil)
	if err != nil {
		return purge.Report{}, err
	}
	return purge.Run(ctx, cfg)
}

// purgeOneBesideOthers ends the grace period of everything, tags one digest
// as a third party, and runs a purge that deletes at most one other digest.
func (l *life) purgeOneBesideOthers(ctx context.Context) error {
	l.liar.Stop()
	if err := errors.Join(l.release(ctx), l.released(ctx)); err != nil {
		return err
	}
	at := "/v2/" + repository(l.name, "image") + "/manifests/"
	m := ask(l.inside, http.MethodGet, at+l.truth["image:1"], "", nil)
	if put := ask(l.inside, http.MethodPut, at+"others", m.Header().Get("Content-Type"), m.Body.Bytes()); put.Code != http.StatusCreated {
		return fmt.Errorf("tagging: %d %s", put.Code, put.Body)
	}
	if err := errors.Join(l.limit(ctx, 1), l.expire(ctx)); err != nil {
		return err
	}
	l.lie(l.liar)
	return l.purgeOnce(ctx)
}

// limit sets the maximum number of digests that a purge deletes, and waits until the manager has seen it.
func (l *life) limit(ctx context.Context, n int32) error {
	return l.waits(ctx, func(ctx context.Context) (bool, error) {
		st := l.store(l.name)
		if err := env.Client.Get(ctx, client.ObjectKeyFromObject(st), st); err != nil {
			return false, err
		}
		if st.Spec.Purge.MaxDeletions != n {
			st.Spec.Purge.MaxDeletions = n
			err := env.Client.Update(ctx, st)
			if apierrors.IsConflict(err) {
				err = nil
			}
			return false, err
		}
		c := apimeta.FindStatusCondition(st.Status.Conditions, v1alpha1.ConditionReady)
		return c != nil && c.ObservedGeneration == st.Generation && c.Status == metav1.ConditionTrue, nil
	})
}

func (l *life) expire(ctx context.Context) error {
	graves, err := l.graves(ctx)
	for i := range graves {
		was := client.MergeFrom(graves[i].DeepCopy())
		graves[i].Annotations = map[string]string{v1alpha1.AnnotationExpireNow: ""}
		err = errors.Join(err, client.IgnoreNotFound(env.Client.Patch(ctx, &graves[i], was)))
	}
	return err
}

func (l *life) othersWhole(context.Context) error {
	got, err := pull(l.inside, repository(l.name, "image"), "others")
	if err == nil && got != l.truth["image:1"] {
		err = errors.New("other bytes")
	}
	if err != nil {
		return fmt.Errorf("LOST: the tag of others is at %q: %w", got, err)
	}
	return nil
}

// purgeAll removes the limit and runs a purge.
func (l *life) purgeAll(ctx context.Context) error {
	l.liar.Stop()
	if err := l.limit(ctx, 10_000); err != nil {
		return err
	}
	l.lie(l.liar)
	return l.purgeOnce(ctx)
}

// purged runs purges until only the digest with the third party's tag is left.
// Then it removes that tag and runs purges until this digest is gone too.
func (l *life) purged(ctx context.Context) error {
	if err := l.purgesUntilGone(ctx, "image:2", "index:1"); err != nil {
		return err
	}
	if err := l.othersWhole(ctx); err != nil {
		return err
	}
	if gone := ask(l.inside, http.MethodDelete, "/v2/"+repository(l.name, "image")+"/manifests/others", "", nil); gone.Code != http.StatusAccepted {
		return fmt.Errorf("removing the tag of others: %d %s", gone.Code, gone.Body)
	}
	return l.purgesUntilGone(ctx, "image:1")
}

// purgesUntilGone runs purges until the artifacts are gone. It also ends the
// grace period of digests that a stale answer made look overwritten meanwhile.
func (l *life) purgesUntilGone(ctx context.Context, artifacts ...string) error {
	for until := time.Now().Add(afterLies); ; {
		if err := l.expire(ctx); err != nil {
			return err
		}
		report, err := l.purges(ctx)
		left := slices.DeleteFunc(slices.Clone(artifacts), func(a string) bool {
			n, _, _ := strings.Cut(a, ":")
			_, err := manifestAt(l.inside, repository(l.name, n), l.truth[a])
			return err != nil
		})
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("%v are not purged: %+v: %w", left, report, err)
		}
		if err := pause(ctx, 2*time.Second); err != nil {
			return err
		}
	}
}

func (l *life) waits(ctx context.Context, done func(context.Context) (bool, error)) error {
	return wait.PollUntilContextTimeout(ctx, 2*time.Second, afterLies, true, done)
}
