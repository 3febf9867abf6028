package why

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/backend"
	"github.com/nfo-operator/nfo/internal/reference"
)

// answer is the output of `kubectl nfo why`.
type answer struct {
	// Subject is the object or image that was asked about.
	Subject string `json:"subject"`
	// Kept is true while something keeps the subject.
	Kept bool `json:"kept"`
	// KeptBy are the objects that keep the subject, each with the objects that keep it, up to the roots.
	KeptBy []*link `json:"keptBy,omitempty"`
	// Roots are the objects at the end of the chain, which nothing keeps.
	Roots []string `json:"roots,omitempty"`
	// Verdict says what follows, in sentences.
	Verdict string `json:"verdict"`
	// Released are the tags of the subject that are in tombstones.
	Released []release `json:"released,omitempty"`
	// Incomplete says what could not be read.
	Incomplete []string `json:"incomplete,omitempty"`
}

// release is one tag in a tombstone.
type release struct {
	Tombstone  string   `json:"tombstone"`
	Repository string   `json:"repository"`
	Tag        string   `json:"tag"`
	Digests    []string `json:"digests"`
	State      string   `json:"state"`
	// RestorableUntil is the end of the tag's grace period. Until then the tag can
	// certainly be restored, afterwards only until a purge deletes its digests.
	RestorableUntil *time.Time `json:"restorableUntil,omitempty"`
	// KeptBy is what keeps the digest from a purge after its grace
	// period, and Reason the purge's reason for it: Held or InUse.
	KeptBy string `json:"keptBy,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Says is the release in one sentence.
	Says string `json:"says"`
}

// aboutObject returns what keeps one object. found is false if neither the object nor a tombstone of it exists.
func (e *evidence) aboutObject(o reference.Object) (a *answer, found bool) {
	a = &answer{Subject: o.String(), Incomplete: e.unseen}
	if o.Kind == v1alpha1.KindTombstone {
		return a, e.aboutTombstone(a, o.Name)
	}
	if o.Kind == v1alpha1.KindArtifactManifest {
		a.Released = e.releases(func(t *v1alpha1.Tombstone, _ v1alpha1.TombstoneArtifact) bool { return t.Spec.Manifest.Name == o.Name }, restored)
	}
	subject := e.objects[o]
	if subject == nil {
		a.Verdict = "It does not exist any more. To restore what can be restored, apply it again."
		return a, len(a.Released) > 0
	}
	a.KeptBy = e.chain(subject)
	a.Roots = roots(a.KeptBy)
	a.Kept = len(a.KeptBy) > 0
	a.Verdict = e.verdict(subject, a)
	return a, true
}

func (e *evidence) aboutTombstone(a *answer, name string) bool {
	a.Released = e.releases(func(t *v1alpha1.Tombstone, _ v1alpha1.TombstoneArtifact) bool { return t.Name == name }, restored)
	for _, r := range a.Released {
		a.Kept = a.Kept || r.KeptBy != ""
	}
	a.Verdict = "A tombstone protects nothing and is protected by nothing. If you delete it, what it records can no longer be restored, and the digests stay in the registry."
	return len(a.Released) > 0
}

// verdict returns what follows for an object that exists.
func (e *evidence) verdict(subject client.Object, a *answer) string {
	if m, ok := subject.(*v1alpha1.ArtifactManifest); ok && m.Spec.UploadPath == v1alpha1.StoreScoped {
		a.Kept = false
		return "It is StoreScoped: deleting is allowed, whatever names it, and never touches the registry."
	}
	if a.Kept {
		deleting := "Deleting it is refused, because it is in use"
		if terminating(a.KeptBy) {
			deleting = "Deleting it waits for the objects that reference it, which are being deleted"
		}
		return fmt.Sprintf("%s. It is needed by: %s. Delete these objects or change what they reference, and then every object between them and this one.", deleting, v1alpha1.FirstOf(a.Roots, reference.NamedHolders))
	}
	m, listing := subject.(*v1alpha1.ArtifactManifest)
	unsure := listing && e.unsure(m)
	if unsure && m.DeletionTimestamp != nil {
		return "Nothing that could be read keeps it, and it is being deleted. But " + mayBeUsed + "; its conditions say what that waits for."
	}
	if unsure {
		return "Nothing that could be read keeps it. But " + mayBeUsed + ", and deleting it is refused or waits."
	}
	if subject.GetDeletionTimestamp() != nil {
		return "Nothing keeps it, and it is being deleted; its conditions say what that waits for."
	}
	if len(e.unseen) > 0 && reference.Self(subject).Kind == v1alpha1.KindDesign {
		return "No object that you may read references it. Others may: deleting it is then refused."
	}
	return "Nothing keeps it: deleting is allowed" + e.afterwards(subject) + "."
}

// afterwards returns how long a deleted object can be restored.
func (e *evidence) afterwards(subject client.Object) string {
	m, ok := subject.(*v1alpha1.ArtifactManifest)
	if !ok {
		return ", and applying it again brings it back"
	}
	store := e.store(m.Spec.ArtifactStoreRef.Name)
	switch {
	case store == nil:
		return fmt.Sprintf(", but waits until its store %s exists", m.Spec.ArtifactStoreRef.Name)
	case v1alpha1.Orphaned(m), v1alpha1.Orphaned(store):
		return ", and does not touch the registry, as " + v1alpha1.AnnotationOnDelete + " says"
	}
	if c := backend.Inert(store); c != nil && c.Reason != v1alpha1.ReasonPending { // a store that was not checked yet may be usable later
		return fmt.Sprintf(", and does not touch the registry: its store %s does nothing (%s: %s)", store.Name, c.Reason, strings.TrimSuffix(c.Message, "."))
	}
	if !slices.ContainsFunc(m.Status.Artifacts, func(s v1alpha1.ArtifactStatus) bool { return s.Digest != "" }) {
		return "; there is nothing to restore afterwards, because none of its artifacts has been seen in the registry"
	}
	grace := store.Spec.Purge.GracePeriod.Duration
	return fmt.Sprintf("; if it is deleted now, it can be restored until %s (grace period %s)", stamp(e.now.Add(grace)), grace)
}

func (e *evidence) store(name string) *v1alpha1.ArtifactStore {
	i := slices.IndexFunc(e.stores, func(s v1alpha1.ArtifactStore) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return &e.stores[i]
}

// terminating reports whether all links are being deleted and stop keeping the subject when they are gone.
func terminating(links []*link) bool {
	return !slices.ContainsFunc(links, func(l *link) bool { return l.stands })
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
