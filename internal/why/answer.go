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

// answer is what `kubectl nfo why` says.
type answer struct {
	// Subject is what was asked for.
	Subject string `json:"subject"`
	// Kept is true while something keeps it.
	Kept bool `json:"kept"`
	// KeptBy is what keeps it, and what keeps that, up to the roots.
	KeptBy []*link `json:"keptBy,omitempty"`
	// Roots are what keeps it in the end.
	Roots []string `json:"roots,omitempty"`
	// Verdict says what follows, in sentences.
	Verdict string `json:"verdict"`
	// Released is what tombstones have of it.
	Released []release `json:"released,omitempty"`
	// Incomplete says what could not be looked at.
	Incomplete []string `json:"incomplete,omitempty"`
}

// release is one tag that a tombstone has.
type release struct {
	Tombstone  string   `json:"tombstone"`
	Repository string   `json:"repository"`
	Tag        string   `json:"tag"`
	Digests    []string `json:"digests"`
	State      string   `json:"state"`
	// RestorableUntil is when its grace ends. Until then it can certainly be brought back, afterwards
	// until a purge comes.
	RestorableUntil *time.Time `json:"restorableUntil,omitempty"`
	// KeptBy is what keeps it from a purge all the same, and Reason the purge's word for it: Held or InUse.
	KeptBy string `json:"keptBy,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Says is all of that in a sentence.
	Says string `json:"says"`
}

// aboutObject says what keeps one object. found is false when neither it nor a tombstone of it is there.
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

// verdict says what follows for an object that is there.
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

// afterwards says how long what is deleted can be restored.
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
	if c := backend.Inert(store); c != nil && c.Reason != v1alpha1.ReasonPending { // one that is not judged yet may be of use by then
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

// terminating reports whether all that keeps something is itself being deleted, and lets go by that.
func terminating(links []*link) bool {
	return !slices.ContainsFunc(links, func(l *link) bool { return l.stands })
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
