package workload

import (
	"fmt"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Keeps says which workload keeps an entry of a tombstone (I14): one that uses its tag or one of its
// digests, or a chart that was released with it. It returns "" if none does. movedOn says that the tag
// now has another digest, so that the tag no longer pulls the old digest.
func (r *Reading) Keeps(t *v1alpha1.Tombstone, a v1alpha1.TombstoneArtifact, movedOn bool) string {
	tag := a.Tag
	if movedOn {
		tag = ""
	}
	if uses := r.Of(a.Repository, tag, a.Digests...); len(uses) > 0 {
		return uses[0].String()
	}
	for _, with := range t.Spec.Artifacts {
		for _, u := range r.Of(with.Repository, with.Tag, with.Digests...) {
			if u.Whole {
				return fmt.Sprintf("%s, and with it all of %s", u, t.Spec.Manifest.Name)
			}
		}
	}
	return ""
}
