package controller

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// visit gets each string of an object, and returns its replacement.
type visit func(string) string

func on[T ~string](do visit, texts ...*T) {
	for _, text := range texts {
		*text = T(do(string(*text)))
	}
}

func onAll(do visit, texts []string) {
	for i := range texts {
		on(do, &texts[i])
	}
}

// pack moves strings that only one object has, such as digests, into one piece of
// memory, each once. each must visit the strings in the same order every time.
func pack(each func(visit)) {
	at := map[string]int{}
	var all strings.Builder
	each(func(text string) string {
		if _, known := at[text]; !known {
			at[text] = all.Len()
			all.WriteString(text)
		}
		return text
	})
	if all.Len() == 0 {
		return
	}
	whole := strings.Clone(all.String()) // no longer than needed
	each(func(text string) string { return whole[at[text] : at[text]+len(text)] })
}

// fit shrinks a slice's memory to its length, because decoding leaves room for more.
func fit[T any](s *[]T) {
	if cap(*s) > len(*s) {
		*s = append(make([]T, 0, len(*s)), *s...)
	}
}

func fitImages(images *[]v1alpha1.ChartImage) {
	fit(images)
	for i := range *images {
		image := &(*images)[i]
		share(&image.State)
		share(&image.OptionalReason)
	}
}

// about reports whether a condition's message names objects, so that no other object has the same message.
func about(c metav1.Condition) bool { return strings.Contains(c.Message, "/") }

func onConditions(do visit, cs []metav1.Condition) {
	for i := range cs {
		if about(cs[i]) {
			on(do, &cs[i].Message)
		}
	}
}

func onDependents(do visit, d v1alpha1.Dependents) {
	for i := range d.Dependents {
		on(do, &d.Dependents[i].Name)
		onAll(do, d.Dependents[i].Artifacts)
	}
}

func onImages(do visit, images []v1alpha1.ChartImage) {
	for i := range images {
		image := &images[i]
		on(do, &image.Image, &image.Manifest, &image.Repository, &image.Digest, &image.Place)
	}
}

func packManifest(m *v1alpha1.ArtifactManifest) {
	fit(&m.Spec.Artifacts)
	fit(&m.Status.Artifacts)
	fit(&m.Status.Charts)
	fit(&m.Status.Dependents.Dependents)
	for i := range m.Status.Charts {
		c := &m.Status.Charts[i]
		share(&c.Reader)
		fitImages(&c.Images)
	}
	pack(func(do visit) {
		for i := range m.Spec.Artifacts {
			on(do, &m.Spec.Artifacts[i].ArtifactName, &m.Spec.Artifacts[i].ArtifactVersion)
		}
		for i := range m.Status.Artifacts {
			a := &m.Status.Artifacts[i]
			on(do, &a.ArtifactName, &a.ArtifactVersion, &a.Repository, &a.Digest, &a.MovedTo, &a.Reason)
		}
		for i := range m.Status.Charts {
			c := &m.Status.Charts[i]
			on(do, &c.ArtifactName, &c.ArtifactVersion, &c.Digest, &c.Name, &c.Version, &c.AppVersion, &c.Problem, &c.Remark)
			onAll(do, c.RegistryValuesPaths)
			onAll(do, c.ImagePullSecretsValuesPaths)
			onImages(do, c.Images)
		}
		onDependents(do, m.Status.Dependents)
		onConditions(do, m.Status.Conditions)
	})
}

func packDefinition(d *v1alpha1.NetworkFunctionDefinitionVersion) {
	apps := &d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications
	fit(apps)
	fit(&d.Status.Applications)
	fit(&d.Status.Dependents.Dependents)
	share(&d.Spec.VersionState)
	for i := range *apps {
		share(&(*apps)[i].ArtifactType)
	}
	for i := range d.Status.Applications {
		fitImages(&d.Status.Applications[i].Images)
	}
	pack(func(do visit) {
		for i := range *apps {
			on(do, &(*apps)[i].Name)
			onProfile(do, &(*apps)[i].ArtifactProfile)
		}
		for i := range d.Status.Applications {
			a := &d.Status.Applications[i]
			on(do, &a.Name, &a.Manifest, &a.ArtifactName, &a.ArtifactVersion, &a.Repository, &a.Digest)
			onImages(do, a.Images)
		}
		onDependents(do, d.Status.Dependents)
		onConditions(do, d.Status.Conditions)
	})
}

func onProfile(do visit, p *v1alpha1.HelmApplicationProfile) {
	for _, ref := range []*v1alpha1.LocalReference{p.ArtifactManifestRef, p.ArtifactStoreRef} {
		if ref != nil {
			on(do, &ref.Name)
		}
	}
	helm := &p.HelmArtifactProfile
	on(do, &helm.HelmPackageName, &helm.HelmPackageVersionRange)
	onAll(do, helm.RegistryValuesPaths)
	onAll(do, helm.ImagePullSecretsValuesPaths)
}

func packTombstone(t *v1alpha1.Tombstone) {
	fit(&t.Spec.Artifacts)
	fit(&t.Status.Artifacts)
	pack(func(do visit) {
		for i := range t.Spec.Artifacts {
			a := &t.Spec.Artifacts[i]
			on(do, &a.Repository, &a.Tag)
			onAll(do, a.Digests)
		}
		for i := range t.Spec.Manifest.Spec.Artifacts {
			a := &t.Spec.Manifest.Spec.Artifacts[i]
			on(do, &a.ArtifactName, &a.ArtifactVersion)
		}
		for i := range t.Status.Artifacts {
			a := &t.Status.Artifacts[i]
			on(do, &a.Repository, &a.Tag, &a.Reason)
			onAll(do, a.Deleted)
		}
		onConditions(do, t.Status.Conditions)
	})
}
