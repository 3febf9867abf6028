package mirror

import (
	"fmt"
	"testing"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// A repository with frequent changes must not take the places of
// other repositories, whose grace periods would then never end.
func TestAgesOfEachRepositoryAreKept(t *testing.T) {
	t.Parallel()
	var all []v1alpha1.UnresolvedReference
	for i := range 20 {
		all = append(all, v1alpha1.UnresolvedReference{Repository: "busy", TagOrDigest: fmt.Sprint(i), Since: *ago(100 - i)})
	}
	for i := range 2 {
		all = append(all, v1alpha1.UnresolvedReference{Repository: "quiet", TagOrDigest: fmt.Sprint(i), Since: *ago(2 - i)})
	}
	kept := oldest(all, 10)
	of := map[string]int{}
	for i, u := range kept {
		if of[u.Repository]++; i > 0 && u.Since.Before(&kept[i-1].Since) {
			t.Errorf("%s comes after a younger one", u.TagOrDigest)
		}
	}
	if len(kept) != 10 || of["quiet"] != 2 || kept[0].TagOrDigest != "0" || kept[7].TagOrDigest != "7" {
		t.Errorf("kept are %v", kept)
	}
	if few := oldest(all[:5], 10); len(few) != 5 {
		t.Errorf("of five %d are kept", len(few))
	}
}
