package admission

import (
	"cmp"
	"context"
	"errors"

	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/journal"
	"github.com/nfo-operator/nfo/internal/reference"
)

// printable wraps a validator and makes its answers safe to show in a terminal, because names in
// them may come from other users and have any characters. It records each refusal in the journal.
type printable[T client.Object] struct {
	of      admission.Validator[T]
	journal *journal.Journal
}

// ValidateCreate calls the validator.
func (p printable[T]) ValidateCreate(ctx context.Context, o T) (admission.Warnings, error) {
	warnings, err := inPrint(p.of.ValidateCreate(ctx, o))
	p.tell(ctx, o, admissionv1.Create, err)
	return warnings, err
}

// ValidateUpdate calls the validator.
func (p printable[T]) ValidateUpdate(ctx context.Context, was, is T) (admission.Warnings, error) {
	warnings, err := inPrint(p.of.ValidateUpdate(ctx, was, is))
	p.tell(ctx, is, admissionv1.Update, err)
	return warnings, err
}

// ValidateDelete calls the validator.
func (p printable[T]) ValidateDelete(ctx context.Context, o T) (admission.Warnings, error) {
	warnings, err := inPrint(p.of.ValidateDelete(ctx, o))
	p.tell(ctx, o, admissionv1.Delete, err)
	return warnings, err
}

// tell records a refusal in the journal.
func (p printable[T]) tell(ctx context.Context, o T, operation admissionv1.Operation, err error) {
	if err == nil {
		return
	}
	self := reference.Self(o)
	req, unknown := admission.RequestFromContext(ctx)
	p.journal.Refused(ctx, journal.Refusal{
		Kind: self.Kind, Namespace: self.Namespace, Name: self.Name, Operation: string(operation),
		Reason: cmp.Or(string(apierrors.ReasonForError(err)), v1alpha1.ReasonUnknown), Message: err.Error(),
		DryRun: unknown == nil && req.DryRun != nil && *req.DryRun,
	})
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
