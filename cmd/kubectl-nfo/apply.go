package main

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/printers"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/internal/aosm"
)

// fieldManager is who the API server says has set the fields.
const fieldManager = "kubectl-nfo"

// deliver applies the objects as --dry-run says, and prints them as --output says.
func (f *importFlags) deliver(ctx context.Context, result *aosm.Result) error {
	printer, err := f.printer()
	if err != nil {
		return &exitError{exitUsage, err}
	}
	apply, err := f.applier()
	if err != nil {
		return err
	}
	done := &unstructured.UnstructuredList{Object: map[string]any{"apiVersion": "v1", "kind": "List"}}
	asList := *f.print.OutputFormat == "json"
	out := dataOut(f.streams.Out, *f.print.OutputFormat)
	failed := 0
	for _, o := range result.Objects {
		u, err := aosm.Applied(o)
		if err == nil {
			err = apply(ctx, o, u)
		}
		if err != nil {
			failed += f.tellNotApplied(o, err)
			continue
		}
		done.Items = append(done.Items, *u)
		if asList {
			continue
		}
		if err := printer.PrintObj(u, out); err != nil { // at once: who waits sees how far it is
			return &exitError{exitFailed, fmt.Errorf("printing: %w", err)}
		}
	}
	if asList {
		if err := printer.PrintObj(done, out); err != nil {
			return &exitError{exitFailed, fmt.Errorf("printing: %w", err)}
		}
	}
	if failed > 0 {
		return &exitError{exitFailed, fmt.Errorf("the cluster did not take %d of %d objects; mend what is said of each, and import again", failed, len(result.Objects))}
	}
	return nil
}

// tellNotApplied says why an object was not applied, and returns how many failures that is.
func (f *importFlags) tellNotApplied(o client.Object, err error) int {
	level, failures := "error", 1
	if errors.Is(err, errLeft) {
		level, failures = "note", 0
	}
	fmt.Fprintf(f.streams.ErrOut, "%s: %s %s: %v\n", level, o.GetObjectKind().GroupVersionKind().Kind, client.ObjectKeyFromObject(o), err)
	return failures
}

// applier applies one object as --dry-run says.
func (f *importFlags) applier() (func(context.Context, client.Object, *unstructured.Unstructured) error, error) {
	if f.dryRun == "client" {
		return func(context.Context, client.Object, *unstructured.Unstructured) error { return nil }, nil
	}
	api, err := connect(f.config, f.streams)
	if err != nil {
		return nil, &exitError{exitFailed, err}
	}
	return func(ctx context.Context, o client.Object, u *unstructured.Unstructured) error {
		return f.apply(ctx, api, o, u)
	}, nil
}

// printer prints as kubectl does.
func (f *importFlags) printer() (printers.ResourcePrinter, error) {
	success := map[string]string{"none": "%s", "client": "%s (dry run)", "server": "%s (server dry run)"}
	if err := f.print.Complete(success[f.dryRun]); err != nil {
		return nil, err
	}
	return f.print.ToPrinter()
}

// apply applies one object server-side: o, with the fields alone that u has of it. What is there stays when
// another resource of AOSM has become it, or when a manifest would lose entries unasked.
func (f *importFlags) apply(ctx context.Context, api client.Client, o client.Object, u *unstructured.Unstructured) error {
	there, err := read(ctx, api, o)
	if err != nil {
		return fmt.Errorf("reading what is there: %w", err)
	}
	if there != nil {
		if other := there.GetAnnotations()[aosm.AnnotationID]; other != "" && !aosm.SameResource(other, u.GetAnnotations()[aosm.AnnotationID]) {
			return fmt.Errorf("it is there already and stands for %q; import into another namespace (-n), or delete it first", other)
		}
		if newForm(there, o) {
			return leave(there, o)
		}
		if err := f.checkRemoval(ctx, api, there, o, u); err != nil {
			return err
		}
	}
	return f.send(ctx, api, u, f.dryRun == "server")
}

// send applies one object, or asks the API server what it would become, which u then is.
func (f *importFlags) send(ctx context.Context, api client.Client, u *unstructured.Unstructured, dryRun bool) error {
	options := []client.ApplyOption{client.FieldOwner(fieldManager)}
	if f.forceConflicts {
		options = append(options, client.ForceOwnership)
	}
	if dryRun {
		options = append(options, client.DryRunAll)
	}
	err := api.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), options...)
	switch {
	case apierrors.IsConflict(err):
		return fmt.Errorf("%w; --force-conflicts takes these fields over", err)
	case dryRun && apierrors.IsNotFound(err) && u.GetNamespace() != "":
		return errors.Join(err, errors.New("a dry run on the server needs its namespace to exist"))
	}
	return err
}
