package plugintest

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Two digests.
const (
	One = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	Two = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
)

// Meta returns the metadata of an object in the namespace p.
func Meta(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "p", Name: name} }

// Manifest returns a manifest with two artifacts in the store acme, one of which is present.
func Manifest(name string, edit ...func(*v1alpha1.ArtifactManifest)) *v1alpha1.ArtifactManifest {
	m := &v1alpha1.ArtifactManifest{ObjectMeta: Meta(name)}
	m.Spec.ArtifactStoreRef.Name = "acme"
	m.Spec.Artifacts = []v1alpha1.ManifestArtifact{{ArtifactName: "upf", ArtifactVersion: "1"}, {ArtifactName: "new", ArtifactVersion: "1"}}
	m.Status.Artifacts = []v1alpha1.ArtifactStatus{{ArtifactName: "upf", ArtifactVersion: "1", Repository: "acme/" + name + "/upf", Digest: One, State: v1alpha1.ArtifactPresent}}
	for _, e := range edit {
		e(m)
	}
	return m
}

// Definition returns a definition with charts of manifests, or of the store acme.
func Definition(name string, manifests ...string) *v1alpha1.NetworkFunctionDefinitionVersion {
	d := &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: Meta(name)}
	for _, m := range manifests {
		app := v1alpha1.NetworkFunctionApplication{Name: "on-" + m}
		app.ArtifactProfile.ArtifactManifestRef = &v1alpha1.LocalReference{Name: m}
		if m == "acme" {
			app.ArtifactProfile.ArtifactSource = v1alpha1.ArtifactSource{ArtifactStoreRef: &v1alpha1.LocalReference{Name: m}}
		}
		app.ArtifactProfile.HelmArtifactProfile = v1alpha1.HelmArtifactProfile{HelmPackageName: "upf", HelmPackageVersionRange: "~1"}
		d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications = append(d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications, app)
	}
	return d
}

// Design returns a design that references a definition and, unless it is "", a manifest.
func Design(name, definition, manifest string) *v1alpha1.NetworkServiceDesignVersion {
	d := &v1alpha1.NetworkServiceDesignVersion{ObjectMeta: Meta(name)}
	t := v1alpha1.ResourceElementTemplate{Name: "site"}
	t.Configuration.NetworkFunctionDefinitionVersionRef = &v1alpha1.LocalReference{Name: definition}
	if manifest != "" {
		t.Configuration.ArtifactProfile = &v1alpha1.TemplateArtifactProfile{ArtifactName: "upf", ArtifactVersion: "1"}
		t.Configuration.ArtifactProfile.ArtifactManifestRef = &v1alpha1.LocalReference{Name: manifest}
	}
	d.Spec.ResourceElementTemplates = []v1alpha1.ResourceElementTemplate{t}
	return d
}

// Site returns a site that references a design of the namespace p.
func Site(namespace, name, design string) *v1alpha1.SiteNetworkService {
	s := &v1alpha1.SiteNetworkService{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	s.Spec.NetworkServiceDesignVersionRef = v1alpha1.DesignReference{Namespace: "p", Name: design}
	return s
}
