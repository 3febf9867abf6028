package reference

import (
	"cmp"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Object names an object of the product's group. Its kind, namespace and name are whole names.
type Object struct{ Kind, Namespace, Name string }

// String names the object as messages do: resource/namespace/name.
func (o Object) String() string { return v1alpha1.ResourceID(o.Kind, o.Namespace, o.Name) }

// Reference is one use of one object by another.
type Reference struct {
	// To is what is named: the subject.
	To Object
	// Artifact is the artifact concerned, "" for none. Version is a version or range, as given.
	Artifact, Version string
	// Application is the application or template that names it, "" for none.
	Application string
	// Part is what of a workload names it, such as "container web"; "" for other holders.
	Part string
}

// Of returns what an object names, in the order of its spec. It is pure. Objects of other
// kinds name nothing.
func Of(o client.Object) []Reference {
	switch o := o.(type) {
	case *v1alpha1.ArtifactManifest:
		return []Reference{{To: Object{v1alpha1.KindArtifactStore, o.Namespace, o.Spec.ArtifactStoreRef.Name}}}
	case *v1alpha1.NetworkFunctionDefinitionVersion:
		return ofDefinition(o)
	case *v1alpha1.NetworkServiceDesignVersion:
		return ofDesign(o)
	case *v1alpha1.SiteNetworkService:
		r := o.Spec.NetworkServiceDesignVersionRef
		return []Reference{{To: Object{v1alpha1.KindDesign, cmp.Or(r.Namespace, o.Namespace), r.Name}}}
	}
	return nil
}

func ofDefinition(o *v1alpha1.NetworkFunctionDefinitionVersion) []Reference {
	var refs []Reference
	for _, app := range o.Spec.NetworkFunctionTemplate.NetworkFunctionApplications {
		p := app.ArtifactProfile
		refs = append(refs, ofSource(p.ArtifactSource, o.Namespace, Reference{
			Artifact:    p.HelmArtifactProfile.HelmPackageName,
			Version:     p.HelmArtifactProfile.HelmPackageVersionRange,
			Application: app.Name,
		})...)
	}
	return refs
}

func ofDesign(o *v1alpha1.NetworkServiceDesignVersion) []Reference {
	var refs []Reference
	for _, t := range o.Spec.ResourceElementTemplates {
		if p := t.Configuration.ArtifactProfile; p != nil {
			refs = append(refs, ofSource(p.ArtifactSource, o.Namespace, Reference{
				Artifact: p.ArtifactName, Version: p.ArtifactVersion, Application: t.Name,
			})...)
		}
		if r := t.Configuration.NetworkFunctionDefinitionVersionRef; r != nil {
			refs = append(refs, Reference{To: Object{v1alpha1.KindDefinition, o.Namespace, r.Name}, Application: t.Name})
		}
	}
	return refs
}

// ofSource completes r with what the source names. An object that got past validation with
// both forms set names both: rather one holder too many.
func ofSource(s v1alpha1.ArtifactSource, namespace string, r Reference) []Reference {
	var refs []Reference
	if s.ArtifactManifestRef != nil {
		r.To = Object{v1alpha1.KindArtifactManifest, namespace, s.ArtifactManifestRef.Name}
		refs = append(refs, r)
	}
	if s.ArtifactStoreRef != nil {
		r.To = Object{v1alpha1.KindArtifactStore, namespace, s.ArtifactStoreRef.Name}
		refs = append(refs, r)
	}
	return refs
}

// Kept returns what an object keeps: what it names, and the manifests besides in which images lie that
// the charts of a definition need. Those are known from its status alone, so from when its charts have
// been read. It is pure.
func Kept(o client.Object) []Reference {
	refs := Of(o)
	d, ok := o.(*v1alpha1.NetworkFunctionDefinitionVersion)
	if !ok {
		return refs
	}
	for _, app := range d.Status.Applications {
		for _, image := range app.Images {
			if image.Manifest == "" {
				continue
			}
			name, version := splitImage(image.Image)
			refs = append(refs, Reference{
				To: Object{v1alpha1.KindArtifactManifest, d.Namespace, image.Manifest}, Artifact: name, Version: version, Application: app.Name,
			})
		}
	}
	return refs
}

// Pin is a digest that an application of a definition came to: its chart, or an image of that.
type Pin struct {
	Application string
	// Manifest is the one that it is in, Repository where.
	Manifest, Repository, Digest string
}

// Pins returns the digests that a definition came to, in the order of its status. It is pure.
func Pins(d *v1alpha1.NetworkFunctionDefinitionVersion) []Pin {
	var all []Pin
	add := func(p Pin) {
		if p.Digest != "" {
			all = append(all, p)
		}
	}
	for _, app := range d.Status.Applications {
		add(Pin{app.Name, app.Manifest, app.Repository, app.Digest})
		for _, image := range app.Images {
			add(Pin{app.Name, cmp.Or(image.Manifest, app.Manifest), image.Repository, image.Digest})
		}
	}
	return all
}

// splitImage returns the last segment of an image's name, and its digest or tag.
func splitImage(image string) (name, version string) {
	name, digest, pinned := strings.Cut(image, "@")
	name, tag, _ := strings.Cut(name[strings.LastIndex(name, "/")+1:], ":")
	if pinned {
		return name, digest
	}
	return name, tag
}

// Holder is an object that holds a subject, and by which of its references.
type Holder struct {
	Object
	// Terminating is true when the holder is itself being deleted. It still holds.
	Terminating bool
	// References are those to the subject, in the order of the holder's spec.
	References []Reference
}

// standing are the kinds whose objects need what they hold while they are being deleted: their deletion runs hooks, which
// pull images.
var standing = []string{"HelmRelease", "HelmRelease.helm.toolkit.fluxcd.io", "Application.argoproj.io"}

// Stands reports whether the holder keeps deletions from beginning. One that is being deleted releases it without
// help, which the finalizer waits for, unless its deletion needs what it holds.
func (h Holder) Stands() bool { return !h.Terminating || slices.Contains(standing, h.Kind) }

// Runs reports whether the holder is a workload, and no object of the product.
func (h Holder) Runs() bool { return Runs(h.Kind) }

// Runs reports whether a kind of holders is one of workloads.
func Runs(kind string) bool { return !slices.Contains(v1alpha1.Kinds(), kind) }

// holderOf returns o as a holder of the subject, if it holds it.
func holderOf(o client.Object, kind string, subject client.Object) (Holder, bool) {
	h := Holder{Object: Object{kind, o.GetNamespace(), o.GetName()}, Terminating: !o.GetDeletionTimestamp().IsZero()}
	for _, r := range Kept(o) {
		if holds(r, subject) {
			r.Version = chosen(o, r, subject.GetName())
			h.References = append(h.References, r)
		}
	}
	return h, len(h.References) > 0
}

// chosen is the version of a manifest that a reference of a definition comes to, by the definition's
// status; as given while that is not known.
func chosen(o client.Object, r Reference, manifest string) string {
	d, ok := o.(*v1alpha1.NetworkFunctionDefinitionVersion)
	if !ok {
		return r.Version
	}
	for _, app := range d.Status.Applications {
		if app.Name != r.Application || app.Manifest != manifest || app.ArtifactName != r.Artifact {
			continue
		}
		if _, fits, err := ResolveChart(r.Artifact, r.Version, []ChartCandidate{{app.ArtifactName, app.ArtifactVersion}}); fits && err == nil {
			return app.ArtifactVersion
		}
	}
	return r.Version
}

// holds reports whether a reference keeps the subject. The old form, a reference to a store,
// keeps the ManifestScoped manifests of that store that list the artifact, in any version.
func holds(r Reference, subject client.Object) bool {
	if r.To == Self(subject) {
		return true
	}
	m, ok := subject.(*v1alpha1.ArtifactManifest)
	if !ok || r.Artifact == "" || r.To != (Object{v1alpha1.KindArtifactStore, m.Namespace, m.Spec.ArtifactStoreRef.Name}) {
		return false
	}
	listed := func(a v1alpha1.ManifestArtifact) bool { return a.ArtifactName == r.Artifact }
	seen := func(a v1alpha1.ArtifactStatus) bool { return a.ArtifactName == r.Artifact }
	return m.Spec.UploadPath != v1alpha1.StoreScoped &&
		(slices.ContainsFunc(m.Spec.Artifacts, listed) || slices.ContainsFunc(m.Status.Artifacts, seen))
}

// Self names an object of the product's group by its Go type, which is set also where its
// TypeMeta is not. Objects of other kinds have an empty Kind.
func Self(o client.Object) Object {
	self := Object{Namespace: o.GetNamespace(), Name: o.GetName()}
	switch o.(type) {
	case *v1alpha1.ArtifactStore:
		self.Kind = v1alpha1.KindArtifactStore
	case *v1alpha1.ArtifactManifest:
		self.Kind = v1alpha1.KindArtifactManifest
	case *v1alpha1.NetworkFunctionDefinitionVersion:
		self.Kind = v1alpha1.KindDefinition
	case *v1alpha1.NetworkServiceDesignVersion:
		self.Kind = v1alpha1.KindDesign
	case *v1alpha1.SiteNetworkService:
		self.Kind = v1alpha1.KindSite
	}
	return self
}

// SortHolders sorts holders by kind, namespace and name.
func SortHolders(hs []Holder) {
	slices.SortFunc(hs, func(a, b Holder) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}
