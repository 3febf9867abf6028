package mirror

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/livelist"
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/rewrite"
	"github.com/nfo-operator/nfo/internal/workload"
)

// What the purge of the mirror may do in all namespaces, in addition to the rights of every purge in its own namespace.
// The ClusterRole nfo-mirror-purger repeats these rights by hand, because the chart binds it only if there is a mirror.

// mirrored is what the API server stores that concerns the mirror: which Artifacts and workloads reference what is in it.
type mirrored struct {
	plan.Cluster
	// artifacts are all Artifacts of the cluster, by namespace and name.
	artifacts []mirroredImage
	// ending has the namespaces that are being deleted.
	ending map[string]bool
	// reading is what workloads use of the images that Artifacts reference
	// or that the registry has. own has the part of each namespace.
	reading *workload.Reading
	own     map[string]*workload.Reading
	// named has the Artifacts at each place in the mirror, as indexes of artifacts. used has the uses.
	named map[string][]int
	used  map[string][]workload.Use
}

// mirroredImage is an Artifact and its image.
type mirroredImage struct {
	*v1alpha1.Artifact
	image rewrite.Image
	// invalid says why its source is not a valid image.
	invalid error
}

// read reads the cluster, uncached: Artifacts, then their uses, then namespaces. found are places in the mirror
// whose uses count in addition to those of Artifacts. Errors wrap ErrRefused if not all uses can be read.
func (env Env) read(ctx context.Context, c plan.Cluster, found []string) (mirrored, error) {
	m := mirrored{Cluster: c, ending: map[string]bool{}, named: map[string][]int{}, used: map[string][]workload.Use{}}
	var list v1alpha1.ArtifactList
	small := livelist.Keep(func(o client.Object) {
		if a, ok := o.(*v1alpha1.Artifact); ok {
			a.Labels, a.Status.Users = nil, nil
			maps.DeleteFunc(a.Annotations, func(name, _ string) bool { return name != v1alpha1.AnnotationKeep })
		}
	})
	if err := env.Client.List(ctx, &list, small); err != nil {
		return m, fmt.Errorf("listing artifacts: %w", err)
	}
	known := rewrite.Known(list.Items)
	for _, path := range found {
		known[path] = true
	}
	var err error
	if m.reading, err = env.images(ctx, c.Store, known); err != nil {
		return m, err
	}
	m.own = m.reading.ByNamespace()
	for u := range m.reading.Uses() {
		m.used[u.Repository] = append(m.used[u.Repository], u)
	}
	ended := func(n *metav1.PartialObjectMetadata) {
		if n.DeletionTimestamp != nil {
			m.ending[n.Name] = true
		}
	}
	if err := livelist.Namespaces(ctx, env.Client, ended); err != nil {
		return m, err
	}
	m.Now = env.Now()
	m.sort(list.Items)
	return m, nil
}

// images reads the uses of the images at known places.
func (env Env) images(ctx context.Context, store *v1alpha1.ArtifactStore, known map[string]bool) (*workload.Reading, error) {
	if env.Images == nil {
		return nil, fmt.Errorf("%w: %s: this program does not read what workloads run", plan.ErrRefused, v1alpha1.ReasonWorkloadsUnreadable)
	}
	r, err := env.Images(ctx, store, rewrite.Used(store.Spec.Mirror.PullAddress, func(i rewrite.Image) bool { return known[i.Path()] }))
	if err != nil {
		return nil, fmt.Errorf("reading which images workloads use: %w", err)
	}
	if err := r.Unreadable(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", plan.ErrRefused, v1alpha1.ReasonWorkloadsUnreadable, err)
	}
	return r, nil
}

func (m *mirrored) sort(list []v1alpha1.Artifact) {
	slices.SortFunc(list, func(a, b v1alpha1.Artifact) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	for i := range list {
		at := mirroredImage{Artifact: &list[i]}
		if at.image, at.invalid = rewrite.Parse(list[i].Spec.SourceArtifact); at.invalid == nil {
			m.named[at.image.Path()] = append(m.named[at.image.Path()], i)
		}
		m.artifacts = append(m.artifacts, at)
	}
}

// judge decides whether an Artifact may be deleted, as far as the cluster knows. It is pure.
func (m *mirrored) judge(a mirroredImage) plan.Verdict {
	v := plan.Verdict{Artifact: a.Namespace + "/" + a.Name, Image: a.Spec.SourceArtifact, Repository: a.image.MirrorRepository(), Digest: digestOf(a)}
	since := a.Status.UnusedSince
	switch use := m.use(a); {
	case a.invalid != nil:
		v.Repository = ""
		v.Keep(plan.Unreadable, a.invalid.Error())
	case m.ending[a.Namespace]:
		v.Keep(plan.NamespaceTerminating, "its namespace is being deleted")
	case a.DeletionTimestamp != nil:
		v.Keep(plan.Held, "it is being deleted by somebody else")
	case a.Kept():
		v.Keep(plan.Kept, "the annotation "+v1alpha1.AnnotationKeep+" keeps it")
	case use != "":
		v.Keep(plan.InUse, use)
	case since == nil:
		v.Keep(plan.GracePeriod, "the manager has not recorded yet that nothing uses it")
	case m.Store.Status.Workloads.Lapsed(m.Now):
		v.Keep(plan.GracePeriod, "the manager has not read for 2 hours who uses it (see that it runs: nfo check); its grace period begins anew when it does")
	case m.Now.Before(since.Add(m.Store.Spec.Purge.GracePeriod.Duration)):
		v.Keep(plan.GracePeriod, fmt.Sprintf("nothing uses it since %s, and it stays until %s", rfc3339(since.Time), rfc3339(since.Add(m.Store.Spec.Purge.GracePeriod.Duration))))
	default:
		v.Delete, v.Reason, v.UntaggedAt = true, plan.Unneeded, since.Time
		v.Message = fmt.Sprintf("nothing uses %s of %s since %s", v.Image, a.Namespace, rfc3339(since.Time))
	}
	return v
}

// use returns which workload of its namespace uses an Artifact, or what uses the whole place; "" for nothing.
func (m *mirrored) use(a mirroredImage) string {
	path, tag, digests := a.image.Named(a.Status.Digest)
	if uses := m.own[a.Namespace].Of(path, tag, digests...); len(uses) > 0 {
		return uses[0].String()
	}
	return m.all(path)
}

// all returns what uses a whole place in the mirror, because the use cannot be narrowed to an image; "" for nothing.
func (m *mirrored) all(path string) string {
	if use, ok := m.reading.All(path); ok {
		return use.String()
	}
	return ""
}

// tagged reports whether an Artifact that is not in but, or a use, references a tag at a place in the mirror.
func (m *mirrored) tagged(path, tag string, but map[string]bool) bool {
	for _, i := range m.named[path] {
		if a := m.artifacts[i]; a.image.Digest == "" && a.image.Tag == tag && !but[string(a.UID)] {
			return true
		}
	}
	return slices.ContainsFunc(m.used[path], func(u workload.Use) bool { return u.Any || u.Tag == tag && u.Digest == "" })
}

func rfc3339(t time.Time) string { return t.UTC().Format(time.RFC3339) }
