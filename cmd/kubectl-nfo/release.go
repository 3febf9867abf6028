package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// releases are the entries of tombstones that are asked for, in the order of their names.
func (e *evidence) releases(which func(*v1alpha1.Tombstone, v1alpha1.TombstoneArtifact) bool) []release {
	var all []release
	for i := range e.tombstones {
		t := &e.tombstones[i]
		for _, a := range t.Spec.Artifacts {
			if which(t, a) {
				all = append(all, e.release(t, a))
			}
		}
	}
	slices.SortStableFunc(all, func(a, b release) int { return strings.Compare(a.Tombstone, b.Tombstone) })
	return all
}

func (e *evidence) release(t *v1alpha1.Tombstone, a v1alpha1.TombstoneArtifact) release {
	entry := t.Entry(a.Repository, a.Tag)
	r := release{Tombstone: t.Name, Repository: a.Repository, Tag: a.Tag, Digests: a.Digests, State: string(entry.State)}
	if entry.State == v1alpha1.TombstoneRestored || entry.State == v1alpha1.TombstonePurged {
		r.Says = map[v1alpha1.TombstoneState]string{
			v1alpha1.TombstoneRestored: "the tag is back", v1alpha1.TombstonePurged: "it is deleted from the registry for good",
		}[entry.State]
		return r
	}
	r.KeptBy = e.keeps(t, a)
	var graceNow time.Duration
	if s := e.storeAt(t.Spec.RegistryURL); s != nil {
		graceNow = s.Spec.Purge.GracePeriod.Duration
	}
	end, counts := t.GraceEnds(entry, graceNow)
	if counts {
		r.RestorableUntil = &end
	}
	r.Says = e.saysOf(t, r)
	return r
}

// saysOf puts the rest of a release into words.
func (e *evidence) saysOf(t *v1alpha1.Tombstone, r release) string {
	var b strings.Builder
	restore := fmt.Sprintf("by applying ArtifactManifest %s again", t.Spec.Manifest.Name)
	if t.Spec.Cause == v1alpha1.CauseOverwritten || t.Spec.Cause == v1alpha1.CauseFound {
		restore = "by giving its digest a tag in the registry"
	}
	switch {
	case r.RestorableUntil == nil:
		b.WriteString("its tag is not seen gone yet, so that its grace has not begun")
	case r.RestorableUntil.After(e.now):
		fmt.Fprintf(&b, "it can be restored until %s, %s", stamp(*r.RestorableUntil), restore)
	default:
		fmt.Fprintf(&b, "its grace ended %s: the next purge deletes it, if nothing keeps it; until then it can be restored, %s", stamp(*r.RestorableUntil), restore)
	}
	if r.KeptBy != "" {
		b.WriteString("; " + r.KeptBy + ", which keeps it from a purge")
	}
	return b.String()
}

// keeps says what keeps a released entry from a purge, as far as the cluster shows; "" for nothing.
func (e *evidence) keeps(t *v1alpha1.Tombstone, a v1alpha1.TombstoneArtifact) string {
	manifest := reference.Object{Kind: v1alpha1.KindArtifactManifest, Namespace: t.Namespace, Name: t.Spec.Manifest.Name}
	var names []string
	for _, o := range e.naming[reference.Key(manifest)] {
		names = append(names, reference.Self(o).String())
	}
	if len(names) > 0 {
		return slices.Min(names) + " names " + manifest.String()
	}
	if t.Spec.Cause == v1alpha1.CauseOverwritten {
		return ""
	}
	for _, f := range e.listed(image{repository: a.Repository, tag: a.Tag}, t.Spec.RegistryURL) {
		names = append(names, f.manifest.Namespace+"/"+f.manifest.Name)
	}
	if len(names) > 0 {
		return "artifactmanifests/" + slices.Min(names) + " lists " + a.Tag
	}
	return ""
}

// storeAt is the store of a registry URL; nil for none.
func (e *evidence) storeAt(url string) *v1alpha1.ArtifactStore {
	at, err := v1alpha1.ParseRegistryURL(url)
	if err != nil {
		return nil
	}
	for i := range e.stores {
		if l, err := v1alpha1.ParseRegistryURL(e.stores[i].Spec.Registry.URL); err == nil && l.Same(at) {
			return &e.stores[i]
		}
	}
	return nil
}
