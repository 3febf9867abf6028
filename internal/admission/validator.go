package admission

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// patience is shorter than the API server's timeout (timeoutSeconds in
// config/webhook), so that the answer can say what could not be read.
const patience = 4 * time.Second

// validator is the webhook of one kind: an admission.Validator.
type validator[T client.Object] struct {
	*preflight
	spec func(T) any
	// check returns the warnings and errors about a new spec. was is nil if the object is being created.
	check func(ctx context.Context, was, is T) (admission.Warnings, error)
	// allowed, if not nil, refuses a new spec that needs a right which the user does not have. Unlike check,
	// it is also called for objects that are being deleted, because the manager still acts on their spec.
	allowed func(ctx context.Context, was, is T) error
	// leaves, if not nil, warns about what an admitted deletion leaves behind.
	leaves func(context.Context, T) (admission.Warnings, error)
	// late, if not nil, returns the warning for a change of an object that is being deleted.
	late func(context.Context, T) string
}

// ValidateCreate checks a new object.
func (v *validator[T]) ValidateCreate(ctx context.Context, is T) (admission.Warnings, error) {
	if !v.watched.Has(is.GetNamespace()) {
		return nil, unwatched(is, v.watched)
	}
	var none T
	return v.checked(ctx, none, is)
}

// ValidateUpdate checks a changed spec. It admits changes of metadata and changes of an
// object that is being deleted, unless they need a right that the user does not have.
func (v *validator[T]) ValidateUpdate(ctx context.Context, was, is T) (admission.Warnings, error) {
	same := equality.Semantic.DeepEqual(v.spec(was), v.spec(is))
	if !is.GetDeletionTimestamp().IsZero() {
		if !same && v.allowed != nil {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			if err := v.allowed(ctx, was, is); err != nil {
				return nil, err
			}
		}
		if v.late == nil {
			return nil, nil
		}
		return admission.Warnings{v.late(ctx, is)}, nil
	}
	if same {
		return nil, nil
	}
	return v.checked(ctx, was, is)
}

func (v *validator[T]) checked(ctx context.Context, was, is T) (admission.Warnings, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if v.allowed != nil {
		if err := v.allowed(ctx, was, is); err != nil {
			return nil, err
		}
	}
	if err := v.ready(ctx); err != nil {
		return nil, err
	}
	return v.check(ctx, was, is)
}

// ValidateDelete refuses to delete an object that is held.
func (v *validator[T]) ValidateDelete(ctx context.Context, o T) (admission.Warnings, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if !o.GetDeletionTimestamp().IsZero() {
		return nil, nil
	}
	if !v.watched.Has(o.GetNamespace()) && controllerutil.ContainsFinalizer(o, v1alpha1.Finalizer) {
		return nil, stranded(o)
	}
	if err := v.deletable(ctx, o); err != nil || v.leaves == nil {
		return nil, err
	}
	return v.leaves(ctx, o)
}
