package integration

import (
	"testing"

	"github.com/onsi/gomega"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// A publisher from before AOSM's API 2025-03-30 is upgraded step by step, and each object
// reports what remains to be done. What is stored at the old path does not change.
func TestMigrationStepByStep(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	m := storeScoped(s.manifest("cnfmanifest", "nginx:1", "testapp:1"))
	m.Spec.ArtifactManifestState = v1alpha1.ManifestUploaded
	nfdv, nsdv := oldForm(s.definition("nfdv", "", "testapp")), s.design("nsdv", "", "nginx:1", "nfdv")
	nsdv.Spec.ResourceElementTemplates[0].Configuration.ArtifactProfile.ArtifactSource = v1alpha1.ArtifactSource{ArtifactStoreRef: &v1alpha1.LocalReference{Name: "acme"}}
	s.imageIn("acme/nginx", "one")
	s.imageIn("acme/testapp", "two")
	old := s.contents()
	s.create(s.store("acme"), m, nfdv, nsdv)
	left := func() string { return s.find(m, v1alpha1.ConditionMigrated).Message }
	s.eventually(m, v1alpha1.ConditionMigrated, "False/StoreScoped")
	s.Eventually(left).Should(gomega.And(gomega.ContainSubstring("networkfunctiondefinitionversions/"+s.ns+"/nfdv, networkservicedesignversions/"+s.ns+"/nsdv; then"),
		gomega.ContainSubstring("set spec.uploadPath to ManifestScoped and artifactManifestState to Uploading in one change"), gomega.ContainSubstring("below acme/cnfmanifest/")))
	s.says(nfdv, v1alpha1.ConditionMigrated, "False/StoreReference", "artifact testapp of app (listed by cnfmanifest)")
	s.says(nsdv, v1alpha1.ConditionMigrated, "False/StoreReference", "artifact nginx of site (listed by cnfmanifest)")

	// 1. References. They are admitted, and resolve once the manifest that they reference is upgraded.
	named := v1alpha1.ArtifactSource{ArtifactManifestRef: &v1alpha1.LocalReference{Name: "cnfmanifest"}}
	change(s, nfdv, func(o *v1alpha1.NetworkFunctionDefinitionVersion) {
		o.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[0].ArtifactProfile.ArtifactSource = named
	})
	s.says(nfdv, v1alpha1.ConditionMigrated, "False/StoreScoped", "artifactmanifests/"+s.ns+"/cnfmanifest to ManifestScoped")
	s.eventually(nfdv, v1alpha1.ConditionResolved, "False/StoreScoped")
	change(s, nsdv, func(o *v1alpha1.NetworkServiceDesignVersion) {
		o.Spec.ResourceElementTemplates[0].Configuration.ArtifactProfile.ArtifactSource = named
	})
	s.eventually(nsdv, v1alpha1.ConditionMigrated, "False/StoreScoped")
	s.Eventually(left).ShouldNot(gomega.ContainSubstring("artifactManifestRef"), "the first step is done")

	// 2. The manifest, which returns to Uploading.
	change(s, m, func(o *v1alpha1.ArtifactManifest) {
		o.Spec.UploadPath, o.Spec.ArtifactManifestState = v1alpha1.ManifestScoped, v1alpha1.ManifestUploading
	})
	s.says(m, v1alpha1.ConditionMigrated, "False/Missing", "acme/cnfmanifest/nginx:1", "acme/cnfmanifest/testapp:1")
	s.eventually(nfdv, v1alpha1.ConditionMigrated, "True/Migrated")
	s.eventually(nfdv, v1alpha1.ConditionResolved, "True/Resolved")
	s.eventually(nsdv, v1alpha1.ConditionMigrated, "True/Migrated")

	// 3. The artifacts, one after another.
	s.image("cnfmanifest", "nginx:1", "one")
	s.Eventually(left).ShouldNot(gomega.ContainSubstring("nginx"), "one is there")
	s.says(m, v1alpha1.ConditionMigrated, "False/Missing", "acme/cnfmanifest/testapp:1")
	s.image("cnfmanifest", "testapp:1", "two")
	s.eventually(m, v1alpha1.ConditionMigrated, "True/Migrated")
	s.Expect(m.Status.UpgradingFrom).To(gomega.BeEmpty())
	change(s, m, func(o *v1alpha1.ArtifactManifest) { o.Spec.ArtifactManifestState = v1alpha1.ManifestUploaded })

	now := s.contents()
	for at, digest := range old {
		s.Expect(now).To(gomega.HaveKeyWithValue(at, digest), "what lies at the old path is never touched")
	}
	s.delete(nsdv, nfdv, m)
	s.goes(nsdv, nfdv, m)
	s.Expect(s.contents()).To(gomega.Equal(old))
}
