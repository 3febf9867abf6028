package artifact

import (
	"context"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/mirror"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

// askLimit is how long the mirror and the source are asked, with all logins.
const askLimit = time.Minute

// seen is everything that a pass over an Artifact knows.
type seen struct {
	artifact *v1alpha1.Artifact
	image    rewrite.Image
	invalid  error
	// store is the mirror's store; nil if there is none. unready says why it cannot be used.
	store   *v1alpha1.ArtifactStore
	unready string
	now     time.Time
	// reconcileNow is the request to ask the registries at once; see
	// v1alpha1.ReconcileNow. asked is true once this pass has asked.
	reconcileNow string
	asked        bool

	// here is what the mirror has at the image's tag or digest; hereErr says why that is
	// unknown. held is true if the mirror has the source's digest, but at another tag or
	// none. If the source does not answer, the digest is the one that was Present before.
	here    ocispec.Descriptor
	hereErr error
	held    bool
	// there is the source's answer; thereErr says why there is none.
	there    mirror.Answer
	thereErr error
}

// situation returns what is known without asking a registry.
func (r *Reconciler) situation(ctx context.Context, a *v1alpha1.Artifact) (seen, error) {
	s := seen{artifact: a, now: r.Now()}
	if s.image, s.invalid = image(a); s.invalid != nil {
		return s, nil
	}
	var store v1alpha1.ArtifactStore
	err := r.Get(ctx, r.Store, &store)
	switch {
	case err == nil && store.Spec.Mirror != nil:
		s.store = &store
	case client.IgnoreNotFound(err) != nil:
		return s, fmt.Errorf("reading the mirror's store: %w", err)
	}
	s.unready = unready(s.store)
	if s.reconcileNow = v1alpha1.ReconcileNow(a); s.store != nil {
		s.reconcileNow = v1alpha1.ReconcileNow(a, s.store)
	}
	return s, nil
}

// mirrors reports whether the mirror copies an image. An image that is Present already still counts.
func (r *Reconciler) mirrors(ctx context.Context, s seen) (bool, error) {
	if s.artifact.Status.State == v1alpha1.MirrorPresent {
		return true, nil
	}
	rules, err := r.Rules(ctx)
	return rules.Mirrors(s.image), err
}

// unready explains why the mirror's store cannot be used; "" if it can.
func unready(s *v1alpha1.ArtifactStore) string {
	switch {
	case s == nil:
		return "The mirror is not enabled. An administrator enables it with the chart's value mirror.enabled."
	case !s.DeletionTimestamp.IsZero():
		return "The mirror's store is being deleted."
	}
	c := apimeta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case c == nil:
		return "nfo has not checked the mirror's store yet."
	case c.Status != "True":
		return fmt.Sprintf("The mirror's %s is not ready: %s", v1alpha1.ResourceID(v1alpha1.KindArtifactStore, s.Namespace, s.Name), c.Message)
	}
	return ""
}

// observe asks the mirror and then the source. If the mirror does
// not answer, nothing can be done and it does not ask the source.
func (r *Reconciler) observe(ctx context.Context, s *seen) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	s.asked = true
	if s.here, s.hereErr = r.Mirror.Has(ctx, s.store, s.image, s.image.Reference()); s.hereErr != nil {
		return
	}
	status := &s.artifact.Status
	q := mirror.Question{Image: s.image, Namespace: s.artifact.Namespace, UID: s.artifact.UID, Mirror: s.store, Seen: status.SourceSeenAt != nil}
	if status.CredentialsSecretRef != nil {
		q.Secret = status.CredentialsSecretRef.Name
	}
	s.there, s.thereErr = r.Mirror.Ask(ctx, q)
	want := s.there.Descriptor.Digest
	if s.thereErr != nil && s.here.Digest == "" {
		want = s.had()
	}
	if want == "" || s.here.Digest == want || s.image.Digest != "" {
		return
	}
	var found ocispec.Descriptor
	found, s.hereErr = r.Mirror.Has(ctx, s.store, s.image, want.String())
	s.held = found.Digest == want
}

// had returns the digest that the mirror had when the Artifact was last Present; "" if it never was.
func (s seen) had() digest.Digest { return digest.Digest(s.artifact.Status.Digest) }
