package plan

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/reading"
)

func TestUnresolvedIsBounded(t *testing.T) {
	t.Parallel()
	r := content{}.reading()
	for i := range 2 * v1alpha1.MaxUnresolved {
		r.Dangling = append(r.Dangling, digest.FromString(strings.Repeat("x", i)).Encoded()[:20])
	}
	c := clusterOf(t, unresolved("oldest", 20))
	r.Dangling = append(r.Dangling, "oldest")
	all := c.Unresolved(map[string]reading.Repository{repo: r})
	if len(all) != v1alpha1.MaxUnresolved || all[0].TagOrDigest != "oldest" {
		t.Errorf("%d are remembered, the first is %s; want %d, the oldest first", len(all), all[0].TagOrDigest, v1alpha1.MaxUnresolved)
	}
}

// A list without tags takes one place in the store's status, however
// many entries it puts in doubt, and keeps the place that it had.
func TestI2AListWithoutTagsIsOneReference(t *testing.T) {
	t.Parallel()
	objects := []client.Object{aTombstone("old", in(repo, v1alpha1.TombstoneKept, 25, "old", "b"), says("Unsettled: so it was")), unresolved(d("b").String(), 2)}
	for i := range 2 * v1alpha1.MaxUnresolved {
		name := fmt.Sprint(i)
		objects = append(objects, aTombstone("t"+name, in(repo, v1alpha1.TombstoneKept, 25, name, name), says("Unsettled: so it was")))
	}
	all := clusterOf(t, objects...).Unresolved(map[string]reading.Repository{repo: content{}.reading()})
	if want := []v1alpha1.UnresolvedReference{{Repository: repo, TagOrDigest: d("b").String(), Since: *ago(2)}}; !cmp.Equal(want, all) {
		t.Errorf("%d are remembered, such as %v; want %v", len(all), all[:min(len(all), 1)], want)
	}
}

// A recorded reference of a repository that no purge has read since is dropped, and takes no room.
func TestUnresolvedOfWhatIsNotReadIsForgotten(t *testing.T) {
	t.Parallel()
	store := aStore(func(s *v1alpha1.ArtifactStore) {
		for i := range v1alpha1.MaxUnresolved {
			s.Status.Unresolved = append(s.Status.Unresolved, v1alpha1.UnresolvedReference{Repository: fmt.Sprintf("acme/cnf/old%d", i), TagOrDigest: "stable", Since: *ago(100)})
		}
	})
	readings := map[string]reading.Repository{
		repo:            content{dangling: []string{"new"}}.reading(),
		"acme/cnf/old7": content{err: errors.New("no answer")}.reading(),
	}
	want := []v1alpha1.UnresolvedReference{
		{Repository: "acme/cnf/old7", TagOrDigest: "stable", Since: *ago(100)},
		{Repository: repo, TagOrDigest: "new", Since: *ago(0)},
	}
	if diff := cmp.Diff(want, clusterOf(t, store).Unresolved(readings)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
