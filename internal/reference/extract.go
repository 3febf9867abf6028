package reference

import (
	"cmp"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Object identifies an object of nfo's group, or a workload, by kind, namespace and name.
type Object struct{ Kind, Namespace, Name string }

// String returns the object as messages name it: resource/namespace/name.
func (o Object) String() string { return v1alpha1.ResourceID(o.Kind, o.Namespace, o.Name) }

// Reference is one use of one object by another.
type Reference struct {
	// To is the object that is referenced: the subject.
	To Object
	// Artifact is the artifact that is used, "" for none. Version is a version or range, as given.
	Artifact, Version string
	// Application is the application or template with the reference, "" for none.
	Application string
	// Part is the part of a workload with the reference, such as "container web"; "" for other holders.
	Part string
}

// Of returns the references of an object, in the order of its spec. It is pure. Objects of other kinds have no references.
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

// ofSource returns r once for each object that the source references. If both forms are
// set, despite validation, it returns both: a holder too many is safer than one too few.
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

// Kept returns the references by which an object holds others: those in its spec and, for
// a definition, those to the manifests that contain the images of its charts. The latter
// come from its status, so they are known once its charts have been read. Kept is pure.
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

// Pin is a digest that an application of a definition resolved to: its chart, or an image that the chart needs.
type Pin struct {
	Application string
	// Manifest is the manifest that contains the digest, and Repository the repository.
	Manifest, Repository, Digest string
}

// Pins returns the digests that a definition resolved to, in the order of its status. It is pure.
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

// Holder is an object that holds a subject, with the references by which it does.
type Holder struct {
	Object
	// Terminating is true if the holder is being deleted. It holds the subject until it is gone.
	Terminating bool
	// References are the holder's references to the subject, in the order of its spec.
	References []Reference
}

// standing has the kinds whose objects need what they hold while they
// are being deleted: their deletion runs hooks, which pull images.
var standing = []string{"HelmRelease", "HelmRelease.helm.toolkit.fluxcd.io", "Application.argoproj.io"}

// Stands reports whether the holder blocks a deletion from beginning. A holder that is being deleted does not block
// it, because the finalizer waits until the holder is gone, unless the holder's own deletion needs the subject.
func (h Holder) Stands() bool { return !h.Terminating || slices.Contains(standing, h.Kind) }

// Runs reports whether the holder is a workload rather than an object of nfo's kinds.
func (h Holder) Runs() bool { return Runs(h.Kind) }

// Runs reports whether a kind of holders is a kind of workloads.
func Runs(kind string) bool { return !slices.Contains(v1alpha1.Kinds(), kind) }

// holderOf returns o as a holder of the subject. It returns false if o does not hold the subject.
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

// chosen returns the version that a definition's reference to a manifest resolved to,
// according to the definition's status. Until that is known, it returns the version as given.
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

// holds reports whether a reference holds the subject. The old form, a reference to a store,
// holds the ManifestScoped manifests of that store that list the artifact, in any version.
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

// Self returns the identity of an object of nfo's group. It takes the kind from the
// Go type, because TypeMeta may be empty. Objects of other types have an empty Kind.
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
