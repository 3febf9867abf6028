package wake

import (
	"context"
	"maps"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/reference"
)

// imagesElsewhere is the field index of manifests by the last segments
// of the images that their charts need and that they do not list.
const imagesElsewhere = "status.charts.images"

func wantsElsewhere(o client.Object) []string {
	m, ok := o.(*v1alpha1.ArtifactManifest)
	if !ok {
		return nil
	}
	names := map[string]bool{}
	for _, c := range m.Status.Charts {
		for _, i := range c.Images {
			if i.State == v1alpha1.ImageMissing || i.State == v1alpha1.ImageOtherManifest {
				names[inventory.LastSegment(inventory.ParseImage(i.Image).Name)] = true
			}
		}
	}
	return slices.Collect(maps.Keys(names))
}

// Needing wakes the manifests whose charts need, from other manifests,
// an artifact that the object lists or listed. It calls changed first.
func Needing(r client.Reader, changed func(store reference.Object, names map[string]bool)) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		m, ok := o.(*v1alpha1.ArtifactManifest)
		if !ok {
			return nil
		}
		// Before any manifest is woken, and also for manifests that do not know yet that they need it.
		names := listedNames(m)
		changed(reference.Of(m)[0].To, names)
		var out []reconcile.Request
		for name := range names {
			out = append(out, wantedBy(ctx, r, m, name)...)
		}
		return out
	})
}

// listedNames returns the last segments of the artifacts that a manifest lists, or has not released yet.
func listedNames(m *v1alpha1.ArtifactManifest) map[string]bool {
	names := map[string]bool{}
	for _, a := range m.Spec.Artifacts {
		names[inventory.LastSegment(a.ArtifactName)] = true
	}
	for _, a := range m.Status.Artifacts {
		names[inventory.LastSegment(a.ArtifactName)] = true
	}
	return names
}

// wantedBy returns the other manifests of the namespace whose charts need an image with a name from elsewhere.
func wantedBy(ctx context.Context, r client.Reader, m *v1alpha1.ArtifactManifest, name string) []reconcile.Request {
	var l v1alpha1.ArtifactManifestList
	if err := r.List(ctx, &l, client.InNamespace(m.Namespace), client.MatchingFields{imagesElsewhere: name}, client.UnsafeDisableDeepCopy); err != nil {
		log.FromContext(ctx).Error(err, "Finding whose charts to look at again", "image", name)
		return nil
	}
	var out []reconcile.Request
	for i := range l.Items {
		if l.Items[i].Name != m.Name {
			out = append(out, Request(m.Namespace, l.Items[i].Name))
		}
	}
	return out
}
