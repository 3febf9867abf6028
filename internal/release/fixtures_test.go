package release

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

const repo = "acme/m/nginx"

var location = v1alpha1.RegistryLocation{Host: "r", Prefix: "acme"}

// present is an entry of the manifest m whose tag points to a digest.
func present(digest string) v1alpha1.ArtifactStatus {
	return v1alpha1.ArtifactStatus{ArtifactName: "nginx", ArtifactVersion: "1.0.0", Repository: repo, Digest: digest, State: v1alpha1.ArtifactPresent}
}

// grave is a tombstone of the manifest m.
func grave(cause v1alpha1.Cause, state v1alpha1.TombstoneState, at int64) v1alpha1.Tombstone {
	when := metav1.Unix(at, 0)
	t := v1alpha1.Tombstone{Spec: v1alpha1.TombstoneSpec{
		Cause: cause, Artifacts: []v1alpha1.TombstoneArtifact{{Repository: repo, Tag: "1.0.0", Digests: []string{"sha256:a"}}},
	}}
	t.SetEntry(v1alpha1.TombstoneArtifactStatus{Repository: repo, Tag: "1.0.0", State: state, UntaggedAt: &when})
	return t
}
