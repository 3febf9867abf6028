package admission

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// printable is a validator whose answers a terminal can show: names in them can be anybody's, and have any characters.
type printable[T client.Object] struct{ of admission.Validator[T] }

// ValidateCreate asks the validator.
func (p printable[T]) ValidateCreate(ctx context.Context, o T) (admission.Warnings, error) {
	return inPrint(p.of.ValidateCreate(ctx, o))
}

// ValidateUpdate asks the validator.
func (p printable[T]) ValidateUpdate(ctx context.Context, was, is T) (admission.Warnings, error) {
	return inPrint(p.of.ValidateUpdate(ctx, was, is))
}

// ValidateDelete asks the validator.
func (p printable[T]) ValidateDelete(ctx context.Context, o T) (admission.Warnings, error) {
	return inPrint(p.of.ValidateDelete(ctx, o))
}

func inPrint(warnings admission.Warnings, err error) (admission.Warnings, error) {
	for i := range warnings {
		warnings[i] = v1alpha1.Line(warnings[i])
	}
	if status := (*apierrors.StatusError)(nil); errors.As(err, &status) {
		plain := *status
		plain.ErrStatus.Message = v1alpha1.Line(plain.ErrStatus.Message)
		return warnings, &plain
	}
	return warnings, err
}
