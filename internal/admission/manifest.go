package admission

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

func manifestValidator(p *preflight) *validator[*v1alpha1.ArtifactManifest] {
	return &validator[*v1alpha1.ArtifactManifest]{
		preflight: p,
		spec:      func(m *v1alpha1.ArtifactManifest) any { return &m.Spec },
		check:     p.checkManifest,
		leaves:    p.manifestLeaves,
		late:      p.goingManifest,
	}
}

// goingManifest returns how a manifest that is being deleted can be restored:
// from its tombstone, unless its deletion leaves the registry as it is.
func (p *preflight) goingManifest(ctx context.Context, m *v1alpha1.ArtifactManifest) string {
	stays := ""
	switch {
	case m.Spec.UploadPath == v1alpha1.StoreScoped:
		stays = "it is StoreScoped"
	case v1alpha1.Orphaned(m):
		stays = "it has the annotation " + orphan
	case p.storeOrphaned(ctx, m):
		stays = "its store has the annotation " + orphan
	default:
		return "This ArtifactManifest is being deleted. Once it is gone, apply it again to restore it, within the grace period of its store."
	}
	return fmt.Sprintf("This ArtifactManifest is being deleted. Its artifacts and tags stay in the registry, because %s: there is nothing to restore. Once it is gone, it can be applied again.", stays)
}

const orphan = v1alpha1.AnnotationOnDelete + "=" + v1alpha1.OnDeleteOrphan

// storeOrphaned reports whether the cache has the store of a manifest with the annotation nfo.dev/on-delete: Orphan.
func (p *preflight) storeOrphaned(ctx context.Context, m *v1alpha1.ArtifactManifest) bool {
	var s v1alpha1.ArtifactStore
	err := p.cached.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: m.Spec.ArtifactStoreRef.Name}, &s)
	return err == nil && v1alpha1.Orphaned(&s)
}

func (p *preflight) checkManifest(ctx context.Context, was, is *v1alpha1.ArtifactManifest) (admission.Warnings, error) {
	long, err := p.lengthErrors(ctx, was, is)
	if err != nil {
		return nil, unread(err)
	}
	all := append(sealErrors(was, is), long...)
	beside, err := p.beside(ctx, is)
	if err != nil {
		return nil, unread(err)
	}
	for _, m := range beside {
		found := pathErrors(was, is, m)
		if len(found) == 0 {
			continue
		}
		if found, err = p.pathErrorsNow(ctx, was, is, m); err != nil {
			return nil, unread(err)
		}
		if len(found) > 0 { // one such manifest is enough to refuse
			all = append(all, found...)
			break
		}
	}
	var ws admission.Warnings
	if was == nil && is.Spec.ArtifactManifestState == v1alpha1.ManifestUploaded {
		ws = append(ws, "spec.artifactManifestState is Uploaded from the start: what is missing in the registry and in tombstones can still be uploaded, but the list of artifacts cannot be changed any more")
	}
	late, err := p.keptEntries(ctx, was, is)
	if err != nil {
		return nil, unread(err)
	}
	return append(ws, late...), invalid(is, all)
}

// manifestLeaves warns about tags that stay because a manifest of another store lists them too.
func (p *preflight) manifestLeaves(ctx context.Context, m *v1alpha1.ArtifactManifest) (admission.Warnings, error) {
	var stores v1alpha1.ArtifactStoreList
	if err := p.cached.List(ctx, &stores, client.UnsafeDisableDeepCopy); err != nil { // the list is only read
		return nil, unread(fmt.Errorf("listing stores: %w", err))
	}
	own := slices.IndexFunc(stores.Items, func(s v1alpha1.ArtifactStore) bool {
		return s.Namespace == m.Namespace && s.Name == m.Spec.ArtifactStoreRef.Name
	})
	if own < 0 {
		return nil, nil
	}
	s := &stores.Items[own]
	mine, theirs := reference.Listed{}, reference.Listed{}
	mine.Add(s, []v1alpha1.ArtifactManifest{*m})
	err := theirs.AddBeside(p.places.Beside(s, stores.Items), func(namespace string) ([]v1alpha1.ArtifactManifest, error) {
		var all v1alpha1.ArtifactManifestList
		if err := p.cached.List(ctx, &all, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
			return nil, unread(fmt.Errorf("listing the manifests of namespace %s: %w", namespace, err))
		}
		return all.Items, nil
	})
	return listedBeside(mine, theirs), err
}

// listedBeside is pure.
func listedBeside(mine, theirs reference.Listed) admission.Warnings {
	by := map[reference.Object]int{}
	for tag := range mine {
		if o, ok := theirs[tag]; ok {
			by[o]++
		}
	}
	var ws admission.Warnings
	for _, o := range slices.SortedFunc(maps.Keys(by), func(a, b reference.Object) int { return cmp.Compare(a.String(), b.String()) }) {
		if len(ws) == maxWarnings {
			break
		}
		ws = append(ws, fmt.Sprintf("%s lists %d of the same tags through another store of this place: these stay in the registry, and this deletion records no undo for them", o, by[o]))
	}
	return ws
}

// keptEntries warns that entries which leave the list of a held manifest are not released yet.
func (p *preflight) keptEntries(ctx context.Context, was, is *v1alpha1.ArtifactManifest) (admission.Warnings, error) {
	if was == nil || is.Spec.UploadPath == v1alpha1.StoreScoped {
		return nil, nil
	}
	var left []string
	for _, a := range was.Spec.Artifacts {
		if !slices.ContainsFunc(is.Spec.Artifacts, func(b v1alpha1.ManifestArtifact) bool {
			return a.ArtifactName == b.ArtifactName && a.ArtifactVersion == b.ArtifactVersion
		}) {
			left = append(left, a.ArtifactName+":"+a.ArtifactVersion)
		}
	}
	if len(left) == 0 {
		return nil, nil
	}
	holders, err := p.holders.Cached(ctx, is)
	if err != nil || len(holders) == 0 {
		return nil, err
	}
	return admission.Warnings{fmt.Sprintf("%s: kept in the registry while the manifest is in use, and released when it no longer is. %s. List it again to keep it",
		v1alpha1.FirstOf(left, reference.NamedHolders), reference.Refusal(reference.Self(is), holders))}, nil
}

// beside lists, from the cache, the other manifests of the same store.
func (p *preflight) beside(ctx context.Context, is *v1alpha1.ArtifactManifest) ([]*v1alpha1.ArtifactManifest, error) {
	store := reference.Of(is)[0].To
	var l v1alpha1.ArtifactManifestList
	if err := p.cached.List(ctx, &l, client.InNamespace(is.Namespace), client.MatchingFields{reference.Field: reference.Key(store)}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the manifests of %s: %w", store, err)
	}
	var ms []*v1alpha1.ArtifactManifest
	for i := range l.Items {
		if m := &l.Items[i]; m.Name != is.Name {
			ms = append(ms, m)
		}
	}
	return ms, nil
}

// pathErrorsNow is pathErrors with the other manifest read live.
func (p *preflight) pathErrorsNow(ctx context.Context, was, is, other *v1alpha1.ArtifactManifest) (field.ErrorList, error) {
	var now v1alpha1.ArtifactManifest
	if err := p.live.Get(ctx, client.ObjectKeyFromObject(other), &now); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return pathErrors(was, is, &now), nil
}

// sealErrors refuses to seal a manifest unless the old object's status shows all artifacts as
// present. A manifest that moves to another path has no artifacts there yet. sealErrors is pure.
func sealErrors(was, is *v1alpha1.ArtifactManifest) field.ErrorList {
	moved := was != nil && was.Spec.UploadPath != is.Spec.UploadPath
	if was == nil || is.Spec.ArtifactManifestState != v1alpha1.ManifestUploaded ||
		(was.Spec.ArtifactManifestState == v1alpha1.ManifestUploaded && !moved) {
		return nil
	}
	present := map[string]bool{}
	for _, a := range was.Status.Artifacts {
		present[a.ArtifactName+":"+a.ArtifactVersion] = a.State == v1alpha1.ArtifactPresent && !moved
	}
	var missing []string
	for _, a := range is.Spec.Artifacts {
		if name := a.ArtifactName + ":" + a.ArtifactVersion; !present[name] {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	at := field.NewPath("spec", "artifactManifestState")
	if moved {
		return field.ErrorList{field.Invalid(at, is.Spec.ArtifactManifestState,
			fmt.Sprintf("with its uploadPath a sealed manifest goes back to Uploading: set artifactManifestState to Uploading in the same change, upload its artifacts below the new path (%s), and seal it again when its condition Uploaded is True", v1alpha1.FirstOf(missing, reference.NamedHolders)))}
	}
	return field.ErrorList{field.Invalid(at, is.Spec.ArtifactManifestState,
		fmt.Sprintf("a manifest is sealed when all its artifacts are seen in the registry, and these are not: %s; leave it Uploading, upload them, and seal it when its condition Uploaded is True", v1alpha1.FirstOf(missing, reference.NamedHolders)))}
}

// pathErrors refuses a manifest of one form that reaches into the path of
// a manifest of the other form. It refuses only what is new. It is pure.
func pathErrors(was, is, other *v1alpha1.ArtifactManifest) field.ErrorList {
	old := func(m *v1alpha1.ArtifactManifest) bool { return m.Spec.UploadPath == v1alpha1.StoreScoped }
	switch {
	case old(is) == old(other):
		return nil
	case old(is):
		return artifactErrors(was, is, other)
	case was != nil && !old(was):
		return nil
	}
	for _, a := range other.Spec.Artifacts {
		if firstSegment(a.ArtifactName) == is.Name {
			return field.ErrorList{field.Invalid(field.NewPath("metadata", "name"), is.Name,
				fmt.Sprintf("it is where the StoreScoped %s has its artifact %s; choose another name, or upgrade that manifest to ManifestScoped first", reference.Self(other), a.ArtifactName))}
		}
	}
	return nil
}

// artifactErrors returns an error for each artifact that a StoreScoped
// manifest newly lists in the path of a ManifestScoped one.
func artifactErrors(was, is, other *v1alpha1.ArtifactManifest) field.ErrorList {
	known := map[string]bool{}
	if was != nil {
		for _, a := range was.Spec.Artifacts {
			known[a.ArtifactName] = true
		}
	}
	var all field.ErrorList
	for i, a := range is.Spec.Artifacts {
		if firstSegment(a.ArtifactName) == other.Name && !known[a.ArtifactName] {
			all = append(all, field.Invalid(field.NewPath("spec", "artifacts").Index(i).Child("artifactName"), a.ArtifactName,
				fmt.Sprintf("its first segment is the path of the ManifestScoped %s; list it there, or use another name", reference.Self(other))))
		}
	}
	return all
}

func firstSegment(name string) string {
	first, _, _ := strings.Cut(name, "/")
	return first
}
