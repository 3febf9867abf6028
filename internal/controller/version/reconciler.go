package version

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/reference"
)

// Version is what definitions, designs and sites have in common: they reference
// other objects, other objects reference them, and they have nothing in a registry.
type Version interface {
	client.Object
	VersionStatus() *v1alpha1.VersionStatus
}

// Reconciler reconciles definitions, designs and sites, which differ only in what they reference.
type Reconciler[T Version] struct {
	client.Client
	Live    client.Reader
	Holders *reference.Finder
	Events  events.EventRecorder
	// Released remembers which versions have been released.
	Released *pass.Released

	statuses pass.Statuses
}

// versionSeen is everything that a pass over a version knows.
type versionSeen struct {
	self     reference.Object
	deleting bool
	holders  []reference.Holder
	// late are the holders read live, if the object is being deleted
	// and the cache has no holder. doubt is why they cannot be known.
	late    []reference.Holder
	doubt   error
	named   []reference.Reference
	targets map[reference.Object]target
	// alternatives are the manifests that list an artifact that is referenced through a store, the old form.
	alternatives map[reference.Reference][]*v1alpha1.ArtifactManifest
	// definition is the version itself if it is a definition.
	definition *v1alpha1.NetworkFunctionDefinitionVersion
}

// target is a referenced object, as read.
type target struct {
	found, terminating, storeScoped bool
	manifest                        *v1alpha1.ArtifactManifest // nil unless it is a manifest
}

// versionVerdict is what a version's status will say, and whether the version is released.
type versionVerdict struct {
	holders      []reference.Holder
	conditions   pass.Conditions
	applications []v1alpha1.ApplicationStatus
	letGo        bool
	doubted      bool // the holders are unknown
	again        time.Duration
}

// Reconcile runs one pass over one version.
func (r *Reconciler[T]) Reconcile(ctx context.Context, v T) (ctrl.Result, error) {
	if err := pass.Protect(ctx, r.Client, v); err != nil {
		return pass.Finish(ctrl.Result{}, err)
	}
	seen, err := r.observe(ctx, v)
	if err != nil {
		return pass.Finish(ctrl.Result{}, err)
	}
	verdict := decideVersion(seen)
	if err := r.report(ctx, v, verdict); err != nil {
		return pass.Finish(ctrl.Result{}, err)
	}
	if verdict.letGo {
		return pass.Finish(ctrl.Result{}, r.Released.Unprotect(ctx, r.Client, v))
	}
	return ctrl.Result{RequeueAfter: verdict.again}, nil
}

// Forget drops everything remembered of a version that no longer exists.
func (r *Reconciler[T]) Forget(uid types.UID) {
	r.statuses.Forget(uid)
	r.Holders.Forget(uid)
}

// observe reads what the version references, live: only a live read that began after the version was stored
// can make it resolved. A resolved version stays so by the cache alone, because it holds what it references.
func (r *Reconciler[T]) observe(ctx context.Context, v T) (versionSeen, error) {
	seen := versionSeen{self: reference.Self(v), deleting: !v.GetDeletionTimestamp().IsZero(), named: reference.Of(v)}
	seen.definition, _ = any(v).(*v1alpha1.NetworkFunctionDefinitionVersion)
	var err error
	if seen.holders, err = r.Holders.Cached(ctx, v); err != nil {
		return seen, fmt.Errorf("finding what holds %s: %w", seen.self, err)
	}
	if seen.deleting {
		if len(seen.holders) == 0 {
			seen.late, seen.doubt, err = pass.LiveHolders(ctx, r.Holders, v)
		}
		return seen, err
	}
	if seen.alternatives, err = r.alternatives(ctx, seen.named); err != nil {
		return seen, err
	}
	if c := apimeta.FindStatusCondition(v.VersionStatus().Conditions, v1alpha1.ConditionResolved); c != nil && c.Status == metav1.ConditionTrue && c.ObservedGeneration == v.GetGeneration() {
		if seen.targets, err = targetsOf(ctx, r.Client, seen.named); err != nil {
			return seen, err
		}
		if still, _, _ := seen.resolved(); still == metav1.ConditionTrue {
			return seen, nil
		}
	}
	seen.targets, err = targetsOf(ctx, r.Live, seen.named)
	return seen, err
}

// targetsOf reads every referenced object once.
func targetsOf(ctx context.Context, from client.Reader, named []reference.Reference) (map[reference.Object]target, error) {
	targets := map[reference.Object]target{}
	for _, ref := range named {
		if _, known := targets[ref.To]; known {
			continue
		}
		var err error
		if targets[ref.To], err = targetAt(ctx, from, ref.To); err != nil {
			return nil, fmt.Errorf("reading %s: %w", ref.To, err)
		}
	}
	return targets, nil
}

func targetAt(ctx context.Context, from client.Reader, o reference.Object) (target, error) {
	into := o.Blank()
	err := from.Get(ctx, client.ObjectKey{Namespace: o.Namespace, Name: o.Name}, into)
	if apierrors.IsNotFound(err) {
		return target{}, nil
	}
	t := target{found: err == nil, terminating: !into.GetDeletionTimestamp().IsZero()}
	if m, ok := into.(*v1alpha1.ArtifactManifest); ok {
		t.manifest, t.storeScoped = m, m.Spec.UploadPath == v1alpha1.StoreScoped
	}
	return t, err
}

// decideVersion is pure.
func decideVersion(seen versionSeen) versionVerdict {
	v := versionVerdict{holders: seen.holders, applications: seen.recorded()}
	if len(v.holders) == 0 {
		v.holders = seen.late
	}
	v.conditions.Referenced(seen.self, v.holders)
	switch {
	case seen.deleting && len(v.holders) > 0:
		v.conditions.Blocked(seen.self, v.holders)
	case seen.deleting && seen.doubt != nil:
		v.doubted, v.again = true, pass.StuckRetry
		v.conditions.Doubted(seen.doubt)
	case seen.deleting:
		v.letGo = true
		v.conditions.Set(v1alpha1.ConditionDeletionBlocked, metav1.ConditionFalse, v1alpha1.ReasonReleased, "No object references it.")
		v.conditions.Set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDeleting, "It has been released.")
	default:
		status, reason, message := seen.resolved()
		v.conditions.Set(v1alpha1.ConditionResolved, status, reason, message)
		v.applications = seen.applications()
		if reason == v1alpha1.ReasonResolved {
			status, reason, message = seen.deployable(v.applications)
		}
		v.conditions.Set(v1alpha1.ConditionReady, status, reason, message)
		if seen.self.Kind != v1alpha1.KindSite { // a site references no artifacts
			seen.migrated(&v)
		}
	}
	return v
}

// resolved returns the status, reason and message of Resolved: whether
// all referenced objects exist and will stay. The worst finding decides.
func (seen versionSeen) resolved() (metav1.ConditionStatus, string, string) {
	found := map[string][]string{}
	for _, ref := range seen.named {
		switch t := seen.targets[ref.To]; {
		case !t.found:
			found[v1alpha1.ReasonNotFound] = append(found[v1alpha1.ReasonNotFound], ref.To.String())
		case t.terminating:
			found[v1alpha1.ReasonTerminating] = append(found[v1alpha1.ReasonTerminating], ref.To.String())
		case t.storeScoped:
			found[v1alpha1.ReasonStoreScoped] = append(found[v1alpha1.ReasonStoreScoped], ref.To.String())
		case ref.To.Kind == v1alpha1.KindArtifactStore && ref.Artifact != "" && !seen.listedInStore(ref):
			found[v1alpha1.ReasonNotListed] = append(found[v1alpha1.ReasonNotListed], fmt.Sprintf("%s:%s (no manifest of %s has it)", ref.Artifact, ref.Version, ref.To))
		case ref.To.Kind == v1alpha1.KindArtifactStore:
			found[v1alpha1.ReasonStoreReference] = append(found[v1alpha1.ReasonStoreReference], ref.To.String())
		case ref.To.Kind == v1alpha1.KindArtifactManifest:
			if _, unlisted := choose(ref, t.manifest); unlisted != "" {
				found[v1alpha1.ReasonNotListed] = append(found[v1alpha1.ReasonNotListed], unlisted)
			}
		}
	}
	for _, bad := range []struct{ reason, format string }{
		{v1alpha1.ReasonNotFound, "References objects that do not exist: %s. Create them, or change the reference."},
		{v1alpha1.ReasonTerminating, "References objects that are being deleted, and blocks their deletion: %s. Delete this object or change the reference; the referenced objects are then deleted and can be applied again."},
		{v1alpha1.ReasonStoreScoped, "References manifests that are still StoreScoped: %s. Change their uploadPath to ManifestScoped."},
		{v1alpha1.ReasonNotListed, "References artifacts that their manifests do not list: %s. List them there, or change the reference."},
	} {
		if names := found[bad.reason]; len(names) > 0 {
			return metav1.ConditionFalse, bad.reason, fmt.Sprintf(bad.format, v1alpha1.FirstOf(names, reference.NamedHolders))
		}
	}
	if old := found[v1alpha1.ReasonStoreReference]; len(old) > 0 {
		return metav1.ConditionTrue, v1alpha1.ReasonStoreReference,
			fmt.Sprintf("References stores in the old form, which protects every manifest of the store that lists the artifact: %s. Change artifactStoreRef to artifactManifestRef.", v1alpha1.FirstOf(old, reference.NamedHolders))
	}
	return metav1.ConditionTrue, v1alpha1.ReasonResolved, "All referenced objects exist and are protected."
}

// report writes the status if the pass changed it, unless the version
// is about to disappear, and then records transitions as events.
func (r *Reconciler[T]) report(ctx context.Context, v T, verdict versionVerdict) error {
	status, was := v.VersionStatus(), pass.Clone(v)
	before := was.VersionStatus()
	status.Dependents, status.ObservedGeneration = reference.Dependents(verdict.holders), v.GetGeneration()
	if verdict.doubted {
		status.Dependents = reference.LastDependents(before.Dependents)
	}
	verdict.conditions.Apply(&status.Conditions, v.GetGeneration())
	if d, ok := any(v).(*v1alpha1.NetworkFunctionDefinitionVersion); ok {
		d.Status.Applications = verdict.applications
	}
	if equality.Semantic.DeepEqual(was, v) {
		return r.statuses.Current(was)
	}
	if !verdict.letGo || !pass.Goes(v) {
		if err := r.statuses.Write(ctx, r.Client, v); err != nil {
			return err
		}
	}
	pass.Announce(r.Events, v, before.Conditions, status.Conditions)
	return nil
}
