package purge

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgofake "k8s.io/client-go/kubernetes/fake"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference/referencetest"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

const web = "acme/cnf/web"

var errCrashed = errors.New("the process is dead")

// gate allows a number of writes, to the API server and to the
// registry together. All later writes fail as if the process had died.
type gate struct {
	mu     sync.Mutex
	left   int // below 0: unlimited
	lost   bool
	writes int
}

// pass does a write if it is allowed. With lost, the last write is done and its answer is lost.
func (g *gate) pass(ctx context.Context, write func() error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ctx.Err() != nil { // the fake client does not check it
		return ctx.Err()
	}
	g.writes++
	if g.left == 0 {
		return errCrashed
	}
	g.left--
	err := write()
	if g.left == 0 && g.lost {
		return errCrashed
	}
	return err
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.left, g.lost = -1, false
}

// hooked is a registry that calls hooks before its methods.
type hooked struct {
	Registry
	gate     *gate
	mu       sync.Mutex // one hook at a time
	onTags   func(repository string)
	onDelete func(repository string, x digest.Digest)
	// onAsk is called before a deletion is requested.
	onAsk func(x digest.Digest)
	// onManifest can make a reading fail.
	onManifest func(x digest.Digest) error
}

func (h *hooked) Manifest(ctx context.Context, repository string, x digest.Digest) (registry.Manifest, error) {
	if h.onManifest != nil {
		if err := h.onManifest(x); err != nil {
			return registry.Manifest{}, err
		}
	}
	return h.Registry.Manifest(ctx, repository, x)
}

func (h *hooked) Tags(ctx context.Context, repository string) ([]string, error) {
	h.mu.Lock()
	if h.onTags != nil {
		h.onTags(repository)
	}
	h.mu.Unlock()
	return h.Registry.Tags(ctx, repository)
}

func (h *hooked) Restore(ctx context.Context, repository string, m registry.Manifest, tags []string) error {
	return h.gate.pass(ctx, func() error { return h.Registry.Restore(ctx, repository, m, tags) })
}

func (h *hooked) Untag(ctx context.Context, repository, tag string) error {
	return h.gate.pass(ctx, func() error { return h.Registry.Untag(ctx, repository, tag) })
}

func (h *hooked) Delete(ctx context.Context, repository string, x digest.Digest) error {
	return h.gate.pass(ctx, func() error {
		if h.onDelete != nil {
			h.onDelete(repository, x)
		}
		return h.Registry.Delete(ctx, repository, x)
	})
}

func (h *hooked) DeleteUnreferenced(ctx context.Context, store client.ObjectKey, repository string, x digest.Digest) error {
	return h.gate.pass(ctx, func() error {
		if h.onAsk != nil {
			h.onAsk(x)
		}
		return h.Registry.DeleteUnreferenced(ctx, store, repository, x)
	})
}

// world is a real registry and a fake API server.
type world struct {
	*registrytest.Registry
	t      *testing.T
	client *registry.Client
	hooks  *hooked
	gate   *gate
	api    client.Client // through the gate
	raw    client.Client
	clock  *clocktesting.FakePassiveClock
	leases *clientgofake.Clientset
	digest map[string]digest.Digest
}

// newWorld has, in manifest cnf, a released image and a released index with a signature, an
// image that was tagged again by another client, one in its grace period, and a live one.
func newWorld(t *testing.T, change func(*v1alpha1.ArtifactStore), opts ...registrytest.Option) *world {
	t.Helper()
	w := &world{Registry: registrytest.Start(t, opts...), t: t, gate: &gate{left: -1}, clock: clocktesting.NewFakePassiveClock(now), digest: map[string]digest.Digest{}}
	var err error
	w.client, err = registry.Open(registry.Config{Location: w.Location("acme")})
	w.must(err)
	t.Cleanup(w.client.Close)
	w.hooks = &hooked{Registry: w.client, gate: w.gate}
	w.push("image", "")
	w.push("tagged", "handmade")
	w.push("grace", "")
	w.push("live", "live")
	w.index()
	store := aStore(func(s *v1alpha1.ArtifactStore) { s.Spec.Registry.URL = w.URL("acme") })
	if change != nil {
		change(store)
	}
	w.serve(store,
		w.tombstone("t1", in(repo, v1alpha1.TombstoneUntagged, 30, "1.0.0", w.digest["image"].String()), in(web, v1alpha1.TombstoneUntagged, 30, "2.0.0", w.digest["index"].String())),
		w.tombstone("t2", in(repo, v1alpha1.TombstoneUntagged, 28, "1.0.1", w.digest["tagged"].String())),
		w.tombstone("t3", in(repo, v1alpha1.TombstoneUntagged, 2, "1.0.2", w.digest["grace"].String())),
	)
	w.Forget()
	return w
}

var (
	gone   = []string{"image", "index", "amd64", "arm64", "signature"}
	stayed = []string{"tagged", "grace", "live"}
)

func (w *world) push(name, tag string) {
	w.t.Helper()
	desc, err := registrytest.PushImage(w.t.Context(), w.Host, repo, tag, name)
	w.must(err)
	w.digest[name] = desc.Digest
}

func (w *world) index() {
	w.t.Helper()
	index, err := registrytest.PushIndex(w.t.Context(), w.Host, web, "", []string{"linux/amd64", "linux/arm64"}, "web")
	w.must(err)
	m, err := w.client.Manifest(w.t.Context(), web, index.Digest)
	w.must(err)
	signature, err := registrytest.PushReferrer(w.t.Context(), w.Host, web, index, "application/vnd.example.signature", []byte("signed"))
	w.must(err)
	w.digest["index"], w.digest["amd64"], w.digest["arm64"], w.digest["signature"] = index.Digest, m.Children[0].Digest, m.Children[1].Digest, signature.Digest
}

func (w *world) tombstone(name string, change ...func(*v1alpha1.Tombstone)) *v1alpha1.Tombstone {
	return aTombstone(name, append(change, func(t *v1alpha1.Tombstone) { t.Spec.RegistryURL = w.URL("acme") })...)
}

// serve starts the fake API server with objects.
func (w *world) serve(objects ...client.Object) {
	w.t.Helper()
	scheme := runtime.NewScheme()
	w.must(v1alpha1.AddToScheme(scheme))
	w.must(corev1.AddToScheme(scheme))
	base := fake.NewClientBuilder().WithScheme(scheme).WithObjects(append(referencetest.Definitions(now.AddDate(-1, 0, 0)), objects...)...).WithStatusSubresource(&v1alpha1.ArtifactStore{}, &v1alpha1.Tombstone{}, &v1alpha1.Artifact{}).Build()
	w.raw = base
	w.api = interceptor.NewClient(base, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return w.gate.pass(ctx, func() error { return c.Create(ctx, o, opts...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			return w.gate.pass(ctx, func() error { return c.Update(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return w.gate.pass(ctx, func() error { return c.Patch(ctx, o, p, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return w.gate.pass(ctx, func() error { return c.Delete(ctx, o, opts...) })
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			return w.gate.pass(ctx, func() error { return c.SubResource(sub).Update(ctx, o, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			return w.gate.pass(ctx, func() error { return c.SubResource(sub).Patch(ctx, o, p, opts...) })
		},
	})
	w.leases = clientgofake.NewClientset()
}

func (w *world) config() Config {
	return Config{
		Namespace: namespace, Store: "acme", Client: w.api, Leases: w.leases.CoordinationV1(), Clock: w.clock, SecondLook: time.Nanosecond, Identity: "us", late: 10 * time.Millisecond,
		Open:  func(context.Context, *v1alpha1.ArtifactStore) (Registry, error) { return w.hooks, nil },
		times: leaseTimes{duration: 5 * time.Second, renew: 2 * time.Second, retry: 50 * time.Millisecond, wait: 3 * time.Second},
	}
}

func (w *world) run() (Report, error) {
	w.t.Helper()
	return Run(w.t.Context(), w.config())
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) has(name string) bool {
	w.t.Helper()
	for _, repository := range []string{repo, web} {
		_, err := w.client.Resolve(w.t.Context(), repository, w.digest[name].String())
		if err == nil {
			return true
		}
		if !errors.Is(err, registry.ErrNotFound) {
			w.t.Fatal(err)
		}
	}
	return false
}

// shows fails the test unless all of there exist and none of notThere does.
func (w *world) shows(there, notThere []string) {
	w.t.Helper()
	for _, name := range there {
		if !w.has(name) {
			w.t.Errorf("%s is lost", name)
		}
	}
	for _, name := range notThere {
		if w.has(name) {
			w.t.Errorf("%s is still there", name)
		}
	}
}

func (w *world) get(o client.Object, name string) error {
	return w.raw.Get(w.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, o)
}

// state returns the state and reason of an entry, or "" if the tombstone was deleted.
func (w *world) state(name, repository, tag string) (v1alpha1.TombstoneState, string) {
	w.t.Helper()
	var t v1alpha1.Tombstone
	if err := w.get(&t, name); err != nil {
		w.must(client.IgnoreNotFound(err))
		return "", ""
	}
	e := t.Entry(repository, tag)
	return e.State, e.Reason
}

func (w *world) lastPurge() (v1alpha1.PurgeRun, v1alpha1.RegistryCapabilities) {
	w.t.Helper()
	var s v1alpha1.ArtifactStore
	w.must(w.get(&s, "acme"))
	if s.Status.LastPurge == nil {
		return v1alpha1.PurgeRun{}, s.Status.Capabilities
	}
	return *s.Status.LastPurge, s.Status.Capabilities
}

func (w *world) tag(repository, tag, name string) {
	w.t.Helper()
	m, err := w.client.Manifest(w.t.Context(), repository, w.digest[name])
	w.must(err)
	w.must(w.client.Put(w.t.Context(), repository, tag, m))
}

// verdict returns the verdict of a report on a digest.
func (w *world) verdict(r Report, name string) string {
	for _, v := range r.Verdicts {
		if v.Digest == w.digest[name] {
			if v.Delete {
				return "delete " + string(v.Reason)
			}
			return "keep " + string(v.Reason)
		}
	}
	return ""
}
