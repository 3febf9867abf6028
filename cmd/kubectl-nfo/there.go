package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// read reads the object that is there under the name of o; nil for none.
func read(ctx context.Context, api client.Client, o client.Object) (client.Object, error) {
	kind := o.GetObjectKind().GroupVersionKind()
	empty, err := api.Scheme().New(kind)
	if err != nil {
		return nil, err
	}
	there, ok := empty.(client.Object)
	if !ok {
		return nil, errors.New("it is no object: " + kind.String())
	}
	err = api.Get(ctx, client.ObjectKeyFromObject(o), there)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return there, err
}

// checkRemoval refuses to take entries out of the list of a manifest that is there, which releases them.
// What goes the API server says itself: entries that somebody else has set, too, stay.
func (f *importFlags) checkRemoval(ctx context.Context, api client.Client, there, o client.Object, u *unstructured.Unstructured) error {
	before, ok := there.(*v1alpha1.ArtifactManifest)
	wanted, same := o.(*v1alpha1.ArtifactManifest)
	if !ok || !same || f.allowRemoval || len(lacking(wanted, before)) == 0 {
		return nil
	}
	would := u.DeepCopy()
	if err := f.send(ctx, api, would, true); err != nil {
		return err
	}
	after := &v1alpha1.ArtifactManifest{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(would.Object, after); err != nil {
		return fmt.Errorf("reading what it would become: %w", err)
	}
	gone := lacking(after, before)
	if len(gone) == 0 {
		return nil
	}
	return fmt.Errorf("it lists what the file does not, and would release it: %s; import a file that has all of it, or release it with --allow-removal", strings.Join(gone, ", "))
}

// lacking are the entries of one manifest that another one does not list.
func lacking(m, of *v1alpha1.ArtifactManifest) []string {
	var all []string
	for _, a := range of.Spec.Artifacts {
		if !slices.ContainsFunc(m.Spec.Artifacts, func(b v1alpha1.Artifact) bool {
			return a.ArtifactName == b.ArtifactName && a.ArtifactVersion == b.ArtifactVersion
		}) {
			all = append(all, a.ArtifactName+":"+a.ArtifactVersion)
		}
	}
	return all
}
