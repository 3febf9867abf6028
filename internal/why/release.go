package why

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	godigest "github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/reference"
)

// restored returns the digest at which an entry's tag is restored, the last one.
func restored(digests []string) string {
	if len(digests) == 0 {
		return ""
	}
	return digests[len(digests)-1]
}

// releases returns the entries of tombstones for which the function which returns true,
// sorted by tombstone. meant chooses the digest of an entry that the answer is about.
func (e *evidence) releases(which func(*v1alpha1.Tombstone, v1alpha1.TombstoneArtifact) bool, meant func([]string) string) []release {
	var all []release
	for i := range e.tombstones {
		t := &e.tombstones[i]
		for _, a := range t.Spec.Artifacts {
			if which(t, a) {
				all = append(all, e.release(t, a, meant(a.Digests)))
			}
		}
	}
	slices.SortStableFunc(all, func(a, b release) int { return strings.Compare(a.Tombstone, b.Tombstone) })
	return all
}

func (e *evidence) release(t *v1alpha1.Tombstone, a v1alpha1.TombstoneArtifact, digest string) release {
	entry := t.Entry(a.Repository, a.Tag)
	r := release{Tombstone: t.Name, Repository: a.Repository, Tag: a.Tag, Digests: a.Digests, State: string(entry.State)}
	if entry.State == v1alpha1.TombstoneRestored || entry.State == v1alpha1.TombstonePurged {
		r.Says = map[v1alpha1.TombstoneState]string{
			v1alpha1.TombstoneRestored: "the tag is back", v1alpha1.TombstonePurged: "it is deleted from the registry permanently",
		}[entry.State]
		return r
	}
	r.Reason, r.KeptBy = e.keeps(t, a, digest)
	var graceNow time.Duration
	if s := e.storeAt(t.Spec.RegistryURL); s != nil {
		graceNow = s.Spec.Purge.GracePeriod.Duration
	}
	end, counts := t.GraceEnds(entry, graceNow)
	if counts {
		r.RestorableUntil = &end
	}
	r.Says = e.saysOf(t, r, digest)
	return r
}

// saysOf returns a release as a sentence.
func (e *evidence) saysOf(t *v1alpha1.Tombstone, r release, digest string) string {
	var b strings.Builder
	if t.Spec.Cause == v1alpha1.CauseOverwritten { // the tag itself may be listed, at its new digest
		fmt.Fprintf(&b, "of %s, which the tag was at before it was overwritten: ", digest)
	}
	restore := fmt.Sprintf("by applying ArtifactManifest %s again", t.Spec.Manifest.Name)
	switch {
	case t.Spec.Cause == v1alpha1.CauseOverwritten, t.Spec.Cause == v1alpha1.CauseFound:
		restore = "by giving its digest a tag in the registry"
	case e.storeAt(t.Spec.RegistryURL) == nil:
		restore = fmt.Sprintf("by applying an ArtifactStore with the URL %s and then ArtifactManifest %s again", t.Spec.RegistryURL, t.Spec.Manifest.Name)
	}
	switch {
	case r.RestorableUntil == nil:
		b.WriteString("its tag is not seen gone yet, so that its grace has not begun")
	case r.RestorableUntil.After(e.now):
		fmt.Fprintf(&b, "it can be restored until %s, %s", stamp(*r.RestorableUntil), restore)
	case r.KeptBy != "":
		fmt.Fprintf(&b, "its grace ended %s; it can be restored, %s", stamp(*r.RestorableUntil), restore)
	case e.runningAt(t).Missing != "":
		fmt.Fprintf(&b, "its grace ended %s, but it may be in use: not all that workloads run could be read; a purge deletes it if it can read all and nothing keeps it; until then it can be restored, %s", stamp(*r.RestorableUntil), restore)
	default:
		fmt.Fprintf(&b, "its grace ended %s: the next purge deletes it, if nothing keeps it; until then it can be restored, %s", stamp(*r.RestorableUntil), restore)
	}
	if r.KeptBy != "" {
		b.WriteString("; " + r.KeptBy + ", which keeps it from a purge")
	}
	return b.String()
}

// keeps returns what keeps a digest of a released entry from a purge, according
// to the cluster, and the purge's reason for it. Both are "" if nothing does.
func (e *evidence) keeps(t *v1alpha1.Tombstone, a v1alpha1.TombstoneArtifact, digest string) (reason, by string) {
	if by := e.holds(t, a, digest); by != "" {
		return "Held", by
	}
	if by := e.usedBy(t, a); by != "" {
		return v1alpha1.ReasonInUse, by
	}
	return "", ""
}

// holds returns which manifest, definition or design holds a digest of a released entry.
func (e *evidence) holds(t *v1alpha1.Tombstone, a v1alpha1.TombstoneArtifact, digest string) string {
	if by := e.keepsEntry(t, a); by != "" {
		return by
	}
	if all := e.listed(image{plugin.ImageReference{Repository: a.Repository, Digest: godigest.Digest(digest)}}, t.Spec.RegistryURL); len(all) > 0 {
		return fmt.Sprintf("%s %s", reference.Self(all[0].manifest), all[0].says)
	}
	if all := e.pinned(t.Spec.RegistryURL, a.Repository, digest); len(all) > 0 {
		return fmt.Sprintf("%s %s", all[0].Object, deploysAs(all[0]))
	}
	return ""
}

// keepsEntry returns what keeps a released entry with all of its digests.
func (e *evidence) keepsEntry(t *v1alpha1.Tombstone, a v1alpha1.TombstoneArtifact) string {
	manifest := reference.Object{Kind: v1alpha1.KindArtifactManifest, Namespace: t.Namespace, Name: t.Spec.Manifest.Name}
	var names []string
	for _, o := range e.naming[reference.Key(manifest)] {
		names = append(names, reference.Self(o).String())
	}
	if len(names) > 0 {
		return slices.Min(names) + " names " + manifest.String()
	}
	if names = e.namingByStore(t.Spec.RegistryURL, path.Base(a.Repository)); len(names) > 0 {
		return slices.Min(names) + " names artifact " + path.Base(a.Repository) + " by its store"
	}
	if t.Spec.Cause == v1alpha1.CauseOverwritten {
		return ""
	}
	for _, f := range e.listed(image{plugin.ImageReference{Repository: a.Repository, Tag: a.Tag}}, t.Spec.RegistryURL) {
		names = append(names, f.manifest.Namespace+"/"+f.manifest.Name)
	}
	if len(names) > 0 {
		return "artifactmanifests/" + slices.Min(names) + " lists " + a.Tag
	}
	return ""
}

// namingByStore returns the objects that reference an artifact by its store, the old form, at the place of a registry URL.
func (e *evidence) namingByStore(url, artifact string) []string {
	here, err := v1alpha1.ParseRegistryURL(url)
	if err != nil {
		return nil
	}
	var names []string
	for i := range e.stores {
		store := reference.Self(&e.stores[i])
		if l, err := e.stores[i].Location(); err == nil && !l.Overlaps(here) {
			continue
		}
		for _, o := range e.naming[reference.Key(store)] {
			if slices.ContainsFunc(reference.Kept(o), func(r reference.Reference) bool { return r.To == store && r.Artifact == artifact }) {
				names = append(names, reference.Self(o).String())
			}
		}
	}
	return names
}

// storeAt returns the store of a registry URL, or nil if there is none.
func (e *evidence) storeAt(url string) *v1alpha1.ArtifactStore {
	at, err := v1alpha1.ParseRegistryURL(url)
	if err != nil {
		return nil
	}
	for i := range e.stores {
		if l, err := e.stores[i].Location(); err == nil && l.Same(at) {
			return &e.stores[i]
		}
	}
	return nil
}
