package artifact

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/rewrite"
	"github.com/nfo-operator/nfo/internal/workload"
)

const (
	// maxNeeded is the most Artifacts of a namespace, so that its workloads cannot fill the API server.
	maxNeeded = 2000
	// maxUsers is the most users in a status.
	maxUsers = 16
	// readLasts is the age from which a status is written even if only the time of the reading is new.
	readLasts = time.Hour
	// claimLasts is how long a purge may take from the claim of an Artifact until it gives the Artifact back.
	claimLasts = 15 * time.Minute
)

// need is which images are needed, by one reading.
type need struct {
	rules      rewrite.Rules
	watched    reference.Watched
	namespaces map[string]namespace
	// whole is true if all sources were read, so that an image without a known use is unused (I2).
	whole bool
	// lapsed is true if workloads have not been read for hours, so that the grace period of unused images begins again.
	lapsed bool
	now    metav1.Time
	// reading is the reading, and counts are those of the Artifacts before it.
	reading *workload.Reading
	counts  *v1alpha1.ArtifactCounts

	// uses are the uses of images, by namespace.
	uses map[string]*workload.Reading
	// missing are the images of each namespace that have no Artifact,
	// sorted. dropped is how many images exceed the bound of each namespace.
	missing map[string][]rewrite.Image
	dropped map[string]int
	// coarse are the namespaces in which some uses stand for a whole
	// repository, whose images then do not count as missing.
	coarse map[string]bool
	// used are the Artifacts whose status changes, before and after.
	used []change
}

type change struct{ was, is *v1alpha1.Artifact }

// plan finds the missing images and the changes of statuses. It is pure.
func (n *need) plan(artifacts []v1alpha1.Artifact, uses map[string]*workload.Reading) {
	n.uses = uses
	n.missing, n.dropped, n.coarse = map[string][]rewrite.Image{}, map[string]int{}, map[string]bool{}
	have, count := map[string]map[string]bool{}, map[string]int{}
	for i := range artifacts {
		a := &artifacts[i]
		count[a.Namespace]++
		if have[a.Namespace] == nil {
			have[a.Namespace] = map[string]bool{}
		}
		have[a.Namespace][a.Name] = true
		if n.acts(a.Namespace) {
			n.use(a, uses[a.Namespace])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(uses)) {
		if !n.acts(name) || !n.rules.Namespace(name, n.namespaces[name].labels) {
			continue
		}
		n.coarse[name] = uses[name].Coarse()
		wanted := slices.DeleteFunc(n.wanted(uses[name]), func(i rewrite.Image) bool { return have[name][v1alpha1.ArtifactName(i.String())] })
		room := max(0, min(len(wanted), maxNeeded-count[name]))
		if n.missing[name] = wanted[:room]; room < len(wanted) {
			n.dropped[name] = len(wanted) - room
		}
	}
}

// acts reports whether the manager writes in a namespace. In a namespace that is being
// deleted, objects disappear in any order, so nothing can be concluded from what is there.
func (n *need) acts(name string) bool {
	at, exists := n.namespaces[name]
	return exists && !at.ending && n.watched.Has(name)
}

// wanted returns the mirrored images that workloads of a namespace reference, sorted.
func (n *need) wanted(in *workload.Reading) []rewrite.Image {
	all := map[rewrite.Image]bool{}
	for u := range in.Uses() {
		if i, ok := rewrite.FromPath(u.Repository, u.Tag, u.Digest); ok && !u.Seen && !u.Any && n.rules.Mirrors(i) {
			all[i] = true
		}
	}
	return slices.SortedFunc(maps.Keys(all), func(a, b rewrite.Image) int { return cmp.Compare(a.String(), b.String()) })
}

// use records how an Artifact's status changes with its use by workloads of its namespace, if it changes.
func (n *need) use(a *v1alpha1.Artifact, in *workload.Reading) {
	image, err := rewrite.Parse(a.Spec.SourceArtifact)
	if err != nil {
		return // its status already says that it is not an image
	}
	is := a.DeepCopy()
	path, tag, digests := image.Named(a.Status.Digest)
	users, count := usersOf(in.Of(path, tag, digests...))
	switch {
	case count > 0:
		is.Status.UnusedSince = nil
		n.takeBack(is)
	case !n.whole: // a workload that could not be read may use it
		return
	case is.Status.UnusedSince == nil, n.lapsed:
		is.Status.UnusedSince = &n.now
	}
	is.Status.Users, is.Status.UserCount = users, count
	fresh := a.Status.UsersReadAt != nil && n.now.Sub(a.Status.UsersReadAt.Time) < readLasts
	if fresh && equality.Semantic.DeepEqual(is.Status, a.Status) {
		return
	}
	if n.whole {
		is.Status.UsersReadAt = &n.now
	}
	if !equality.Semantic.DeepEqual(is.Status, a.Status) {
		n.used = append(n.used, change{a, is})
	}
}

// takeBack takes a used Artifact back from a purge that has died. A
// purge that is alive gives a used Artifact back itself, within minutes.
func (n *need) takeBack(a *v1alpha1.Artifact) {
	claim := apimeta.FindStatusCondition(a.Status.Conditions, v1alpha1.ConditionReady)
	if !a.Releasing() || claim != nil && claim.Reason == v1alpha1.ReasonReleasing && n.now.Sub(claim.LastTransitionTime.Time) < claimLasts {
		return
	}
	a.Status.State = v1alpha1.MirrorPending
	apimeta.RemoveStatusCondition(&a.Status.Conditions, v1alpha1.ConditionReady)
}

// usersOf returns the first users, sorted, and how many there are. A user
// is a top-level object with the first part of it that uses the image.
func usersOf(uses []workload.Use) (users []v1alpha1.ArtifactUser, count int32) {
	first := map[[2]string]string{}
	for _, u := range uses { // in order
		key := [2]string{v1alpha1.Clip(u.Holder.Kind, 253), v1alpha1.Clip(u.Holder.Name, 253)}
		if _, have := first[key]; !have {
			first[key] = u.Part
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(first), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		if count++; count <= maxUsers {
			users = append(users, v1alpha1.ArtifactUser{Kind: key[0], Name: key[1], Detail: first[key]})
		}
	}
	return users, count
}
