package livelist

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

func TestTrim(t *testing.T) {
	t.Parallel()
	full := func() metav1.ObjectMeta {
		return metav1.ObjectMeta{
			Name: "o", UID: "u", Generation: 3, Finalizers: []string{v1alpha1.Finalizer}, Labels: map[string]string{"a": "b"},
			Annotations:     map[string]string{v1alpha1.AnnotationExpireNow: "", "nfo.dev/other": "x", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
			OwnerReferences: []metav1.OwnerReference{{Name: "p"}},
		}
	}
	trimmed := metav1.ObjectMeta{Name: "o", UID: "u", Generation: 3, Finalizers: []string{v1alpha1.Finalizer}, Annotations: map[string]string{v1alpha1.AnnotationExpireNow: ""}}
	spec := v1alpha1.ArtifactStoreSpec{Registry: v1alpha1.RegistrySpec{URL: "https://r.example.com", CABundle: []byte("PEM")}}
	without := spec
	without.Registry.CABundle = nil
	for name, tc := range map[string]struct{ is, want client.Object }{
		"Store":      {&v1alpha1.ArtifactStore{ObjectMeta: full(), Spec: spec}, &v1alpha1.ArtifactStore{ObjectMeta: trimmed, Spec: without}},
		"Manifest":   {&v1alpha1.ArtifactManifest{ObjectMeta: full()}, &v1alpha1.ArtifactManifest{ObjectMeta: trimmed}},
		"Definition": {definition(full(), &v1alpha1.DependsOnProfile{InstallDependsOn: []string{"db"}}), definition(trimmed, nil)},
		"Design":     {&v1alpha1.NetworkServiceDesignVersion{ObjectMeta: full()}, &v1alpha1.NetworkServiceDesignVersion{ObjectMeta: trimmed}},
		"Site":       {&v1alpha1.SiteNetworkService{ObjectMeta: full()}, &v1alpha1.SiteNetworkService{ObjectMeta: trimmed}},
		"Tombstone":  {&v1alpha1.Tombstone{ObjectMeta: full()}, &v1alpha1.Tombstone{ObjectMeta: trimmed}},
		"CronJob":    {&batchv1.CronJob{ObjectMeta: full()}, &batchv1.CronJob{ObjectMeta: full()}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			Trim(tc.is)
			if diff := cmp.Diff(tc.want, tc.is); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func definition(meta metav1.ObjectMeta, order *v1alpha1.DependsOnProfile) *v1alpha1.NetworkFunctionDefinitionVersion {
	d := &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: meta}
	d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications = []v1alpha1.NetworkFunctionApplication{{Name: "app", DependsOnProfile: order}}
	return d
}

func TestTrimShortensValuesPaths(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		paths  int
		want   bool
	}{
		"Ordinary": {"every path is kept", 100, false},
		"Most":     {"as many as are kept", maxPaths/2/64 - 1, false},
		"TooMany":  {"they are read by name when they are needed", maxPaths / 64, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := definition(metav1.ObjectMeta{Annotations: map[string]string{shortenedMark: "by a user"}}, nil)
			helm := &d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[0].ArtifactProfile.HelmArtifactProfile
			helm.HelmPackageName = "app"
			for range tc.paths {
				helm.RegistryValuesPaths = append(helm.RegistryValuesPaths, strings.Repeat("p", 64))
				helm.ImagePullSecretsValuesPaths = append(helm.ImagePullSecretsValuesPaths, strings.Repeat("p", 64))
			}
			Trim(d)
			if Shortened(d) != tc.want || (len(helm.RegistryValuesPaths) == 0) != tc.want || helm.HelmPackageName != "app" {
				t.Errorf("shortened %t, and %d paths are left: %s", Shortened(d), len(helm.RegistryValuesPaths), tc.reason)
			}
		})
	}
}
