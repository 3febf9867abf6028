package store

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
	"github.com/nfo-operator/nfo/internal/reference"
)

// maxStale is the most tombstones that one pass updates; later passes update the rest.
const maxStale = 100

// act keeps the purge's objects: the CronJob, and the ServiceAccount and RoleBinding that its pods use. It
// corrects what was edited or deleted by hand. The store owns these objects, so that they are deleted with
// it. Errors are a *pass.NameTakenError, or those of the API server. It also updates some tombstones.
func (r *Reconciler) act(ctx context.Context, s *v1alpha1.ArtifactStore, seen storeSeen, v storeVerdict) error {
	r.expire(ctx, s, seen.stale)
	switch {
	case r.Purger.Image == "": // a CronJob of an earlier manager must start nothing more
		return r.unschedule(ctx, s)
	case !v.scheduled:
		return nil
	}
	wanted := cronjob.Objects(s, r.Purger)
	done, err := r.kept(ctx, s, wanted)
	if err == nil && !done {
		err = r.keep(ctx, s, wanted)
	}
	if err != nil || s.Spec.Purge.CronSchedule() != "" {
		return err
	}
	return r.unschedule(ctx, s)
}

// expire writes the statuses of tombstones. They only show what
// purges do anyway, so a failed write is left to the next pass.
func (r *Reconciler) expire(ctx context.Context, s *v1alpha1.ArtifactStore, stale []*v1alpha1.Tombstone) {
	for _, t := range stale {
		t.Expire(metav1.NewTime(r.Now()), s.Spec.Purge.GracePeriod.Duration)
		if err := r.Status().Update(ctx, t); client.IgnoreNotFound(err) != nil {
			log.FromContext(ctx).Info("Could not write when the grace period of a tombstone ends", "tombstone", t.Name, "trouble", err.Error())
		}
	}
}

// kept reports whether the cache has every wanted object in its wanted state.
func (r *Reconciler) kept(ctx context.Context, s *v1alpha1.ArtifactStore, wanted []client.Object) (bool, error) {
	for _, want := range wanted {
		have := blank(want)
		err := r.Get(ctx, client.ObjectKeyFromObject(want), have)
		if client.IgnoreNotFound(err) != nil {
			return false, fmt.Errorf("reading %s: %w", objectID(want), err)
		}
		if err != nil || !metav1.IsControlledBy(have, s) || !asWanted(want, have) {
			return false, nil
		}
	}
	return true, nil
}

// keep creates missing objects and corrects those that differ. It first reads every object
// from the API server, because the cache has only objects with the purge's labels. It changes
// none if any of them does not belong to the store. If an object appears or changes after that
// read, the write fails, because it is a create, or an update of the version that was read.
func (r *Reconciler) keep(ctx context.Context, s *v1alpha1.ArtifactStore, wanted []client.Object) error {
	found := make([]client.Object, len(wanted))
	var taken []string
	for i, want := range wanted {
		have := blank(want)
		err := r.Live.Get(ctx, client.ObjectKeyFromObject(want), have)
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return fmt.Errorf("reading %s: %w", objectID(want), err)
		case !belongs(s, want, have):
			taken = append(taken, objectID(want))
		default:
			found[i] = have
		}
	}
	if len(taken) > 0 {
		return &pass.NameTakenError{Objects: taken}
	}
	for i, want := range wanted {
		id := objectID(want) // a write removes the kind from the object
		if err := r.write(ctx, s, want, found[i]); err != nil {
			return fmt.Errorf("keeping %s: %w", id, err)
		}
	}
	return nil
}

// write creates an object if have is nil, and otherwise updates have if it differs. If the object
// has changed since it was read, the error wraps reference.ErrSuperseded or is a conflict.
func (r *Reconciler) write(ctx context.Context, s *v1alpha1.ArtifactStore, want, have client.Object) error {
	switch {
	case have == nil:
		err := r.Create(ctx, want, cronjob.FieldOwner)
		if apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("%w: it has just been created", reference.ErrSuperseded)
		}
		return err
	case metav1.IsControlledBy(have, s) && asWanted(want, have):
		return nil
	}
	correct(want, have)
	return r.Update(ctx, have, cronjob.FieldOwner)
}

// unschedule deletes the CronJob if the store no longer has a
// schedule, or the manager no longer has an image for purges.
func (r *Reconciler) unschedule(ctx context.Context, s *v1alpha1.ArtifactStore) error {
	job := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: cronjob.ObjectName(s.Name)}}
	if err := r.Get(ctx, client.ObjectKeyFromObject(job), job); err != nil {
		return client.IgnoreNotFound(err)
	}
	if !metav1.IsControlledBy(job, s) {
		return nil
	}
	as := client.Preconditions{UID: &job.UID, ResourceVersion: &job.ResourceVersion}
	return client.IgnoreNotFound(r.Delete(ctx, job, as))
}

// belongs reports whether an existing object may be changed for a store. That is so if the store controls
// the object, or if an earlier store of the same name did, by the object's labels and its controller's
// kind and name: a store that is deleted and applied again may find objects that are not garbage
// collected yet. A RoleBinding to another role cannot be corrected, because its roleRef is immutable.
func belongs(s *v1alpha1.ArtifactStore, want, have client.Object) bool {
	if want, ok := want.(*rbacv1.RoleBinding); ok {
		if have, ok := have.(*rbacv1.RoleBinding); !ok || have.RoleRef != want.RoleRef {
			return false
		}
	}
	owner := metav1.GetControllerOfNoCopy(have)
	if owner == nil || owner.UID == s.UID {
		return owner != nil
	}
	gv, err := schema.ParseGroupVersion(owner.APIVersion)
	return err == nil && gv.Group == v1alpha1.GroupVersion.Group && owner.Kind == v1alpha1.KindArtifactStore && owner.Name == s.Name && labelled(want, have)
}

// asWanted reports whether two objects agree in their labels
// and in everything that decides what a purge does and may do.
func asWanted(want, have client.Object) bool {
	if !labelled(want, have) {
		return false
	}
	switch want := want.(type) {
	case *batchv1.CronJob:
		have, ok := have.(*batchv1.CronJob)
		return ok && equality.Semantic.DeepEqual(want.Spec, have.Spec)
	case *rbacv1.RoleBinding:
		have, ok := have.(*rbacv1.RoleBinding)
		return ok && have.RoleRef == want.RoleRef && equality.Semantic.DeepEqual(want.Subjects, have.Subjects)
	}
	return true
}

// correct changes have to the wanted state. It keeps annotations,
// other labels and owners, and the pull secrets of a ServiceAccount.
func correct(want, have client.Object) {
	labels := have.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	for k, v := range want.GetLabels() {
		labels[k] = v
	}
	have.SetLabels(labels)
	others := slices.DeleteFunc(have.GetOwnerReferences(), func(o metav1.OwnerReference) bool { return o.Controller != nil && *o.Controller })
	have.SetOwnerReferences(append(others, want.GetOwnerReferences()...))
	switch have := have.(type) {
	case *batchv1.CronJob:
		if want, ok := want.(*batchv1.CronJob); ok {
			have.Spec = want.Spec
		}
	case *rbacv1.RoleBinding:
		if want, ok := want.(*rbacv1.RoleBinding); ok {
			have.Subjects = want.Subjects
		}
	}
}

// labelled reports whether have has all labels of want.
func labelled(want, have client.Object) bool {
	has := have.GetLabels()
	for k, v := range want.GetLabels() {
		if got, ok := has[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// blank returns a new object of the same Go type. A client that decodes into a filled object would keep
// fields that the API server's object does not have.
func blank(o client.Object) client.Object {
	return reflect.New(reflect.TypeOf(o).Elem()).Interface().(client.Object)
}

func objectID(o client.Object) string {
	return fmt.Sprintf("%s %s/%s", o.GetObjectKind().GroupVersionKind().Kind, o.GetNamespace(), o.GetName())
}
