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
	"github.com/nfo-operator/nfo/internal/plugin"
)

// fieldManager is the name under which the API server records the fields that an import sets.
const fieldManager = "kubectl-nfo"

// deliver applies the objects as --dry-run says, and prints them as --output says. If cluster is nil, it only prints them.
func (f *importFlags) deliver(ctx context.Context, result *aosm.Result, cluster *applier, printer printers.ResourcePrinter) error {
	done := &unstructured.UnstructuredList{Object: map[string]any{"apiVersion": "v1", "kind": "List"}}
	asList := *f.print.OutputFormat == "json"
	out := plugin.DataOut(f.streams.Out, *f.print.OutputFormat)
	failed := 0
	for _, o := range result.Objects {
		u, err := cluster.apply(ctx, o, result.Assumed[o])
		if err != nil {
			failed += f.tellNotApplied(o, err)
			continue
		}
		done.Items = append(done.Items, *u)
		if asList {
			continue
		}
		if err := printer.PrintObj(u, out); err != nil { // at once, so that the user sees the progress
			return plugin.Printed(err)
		}
	}
	if asList {
		if err := printer.PrintObj(done, out); err != nil {
			return plugin.Printed(err)
		}
	}
	if failed > 0 {
		return &plugin.Error{Code: plugin.ExitFailed, Err: fmt.Errorf("the cluster did not take %d of %d objects; mend what is said of each, and import again", failed, len(result.Objects))}
	}
	return nil
}

// tellNotApplied reports why an object was not applied, and returns the number of failures: 0 for errLeft, else 1.
func (f *importFlags) tellNotApplied(o client.Object, err error) int {
	level, failures := "error", 1
	if errors.Is(err, errLeft) {
		level, failures = "note", 0
	}
	fmt.Fprintf(f.streams.ErrOut, "%s: %s %s: %v\n", level, o.GetObjectKind().GroupVersionKind().Kind, client.ObjectKeyFromObject(o), err)
	return failures
}

// applier applies objects to a cluster as the flags say.
type applier struct {
	*importFlags
	api client.Client
	// unsealed is the number of manifests that the import left unsealed although they are sealed in AOSM.
	unsealed int
}

func (f *importFlags) connect() (*applier, error) {
	api, err := plugin.Connect(f.config, f.streams)
	if err != nil {
		return nil, &plugin.Error{Code: plugin.ExitFailed, Err: err}
	}
	return &applier{importFlags: f, api: api}, nil
}

// lost reports whether the cluster lacks something that the files contain.
func (a *applier) lost() bool { return a != nil && a.unsealed > 0 }

// printer returns the printer for --output, as kubectl has it.
func (f *importFlags) printer() (printers.ResourcePrinter, error) {
	success := map[string]string{"none": "%s", "client": "%s (dry run)", "server": "%s (server dry run)"}
	if err := f.print.Complete(success[f.dryRun]); err != nil {
		return nil, err
	}
	return f.print.ToPrinter()
}

// apply applies one object server-side, and returns it with only the fields that the import decides. It leaves an
// existing object alone if that is of another AOSM resource, or if a manifest would lose entries without permission.
func (a *applier) apply(ctx context.Context, o client.Object, assumed bool) (*unstructured.Unstructured, error) {
	if a == nil {
		return aosm.Applied(o)
	}
	there, err := read(ctx, a.api, o)
	if err != nil {
		return nil, fmt.Errorf("reading what is there: %w", err)
	}
	if there == nil {
		u, err := aosm.Applied(o)
		if err != nil {
			return nil, err
		}
		return u, a.send(ctx, u, a.dryRun == "server")
	}
	return a.applyOver(ctx, there, o, assumed)
}

// applyOver applies an object over the existing one.
func (a *applier) applyOver(ctx context.Context, there, o client.Object, assumed bool) (*unstructured.Unstructured, error) {
	if other := there.GetAnnotations()[aosm.AnnotationID]; other != "" && !aosm.SameResource(other, o.GetAnnotations()[aosm.AnnotationID]) {
		return nil, fmt.Errorf("it is there already and stands for %q; import into another namespace (-n), or delete it first", other)
	}
	if newForm(there, o) {
		return nil, leave(there, o)
	}
	unsealed := aosm.Keep(there, o, assumed)
	if err := otherRegistry(there, o); err != nil {
		return nil, err
	}
	u, err := aosm.Applied(o)
	if err != nil {
		return nil, err
	}
	if err := a.checkRemoval(ctx, there, o, u); err != nil {
		return nil, err
	}
	if err := a.send(ctx, u, a.dryRun == "server"); err != nil {
		return nil, err
	}
	if unsealed {
		a.unsealed++
		fmt.Fprintf(a.streams.ErrOut, "Not mapped:\n  %s %s: its state Uploaded: it moves to a path of its own (ManifestScoped), and is Uploading until its artifacts are seen there; when its condition Uploaded is True, import again to seal it\n",
			o.GetObjectKind().GroupVersionKind().Kind, client.ObjectKeyFromObject(o))
	}
	return u, nil
}

// send applies one object. In a dry run, it sets u to what the object would become.
func (a *applier) send(ctx context.Context, u *unstructured.Unstructured, dryRun bool) error {
	options := []client.ApplyOption{client.FieldOwner(fieldManager)}
	if a.forceConflicts {
		options = append(options, client.ForceOwnership)
	}
	if dryRun {
		options = append(options, client.DryRunAll)
	}
	err := a.api.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), options...)
	switch {
	case apierrors.IsConflict(err):
		return fmt.Errorf("%w; --force-conflicts takes these fields over", err)
	case dryRun && apierrors.IsNotFound(err) && u.GetNamespace() != "":
		return errors.Join(err, errors.New("a dry run on the server needs its namespace to exist"))
	}
	return err
}
