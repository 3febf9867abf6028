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

// errLeft is no failure: what is there is the better of the two.
var errLeft = errors.New("it is in the new form already, and the file has the old one: it is left as it is")

// newForm reports whether what is there was made, or was migrated to, as of the API version 2025-03-30, and
// what is wanted is of before. There is no way back.
func newForm(there, wanted client.Object) bool {
	if m, ok := wanted.(*v1alpha1.ArtifactManifest); ok {
		before, same := there.(*v1alpha1.ArtifactManifest)
		return same && before.Spec.UploadPath == v1alpha1.ManifestScoped && m.Spec.UploadPath == v1alpha1.StoreScoped
	}
	was := sources(there)
	for name, s := range sources(wanted) {
		if s.ArtifactStoreRef != nil && was[name].ArtifactManifestRef != nil {
			return true
		}
	}
	return false
}

// sources are what the applications of a definition, or the templates of a design, are taken from, by name.
func sources(o client.Object) map[string]v1alpha1.ArtifactSource {
	all := map[string]v1alpha1.ArtifactSource{}
	switch o := o.(type) {
	case *v1alpha1.NetworkFunctionDefinitionVersion:
		for _, app := range o.Spec.NetworkFunctionTemplate.NetworkFunctionApplications {
			all[app.Name] = app.ArtifactProfile.ArtifactSource
		}
	case *v1alpha1.NetworkServiceDesignVersion:
		for _, t := range o.Spec.ResourceElementTemplates {
			if p := t.Configuration.ArtifactProfile; p != nil {
				all[t.Name] = p.ArtifactSource
			}
		}
	}
	return all
}

// leave says that what is there is left as it is; as a failure, if the file lists what it does not.
func leave(there, wanted client.Object) error {
	before, ok := there.(*v1alpha1.ArtifactManifest)
	m, same := wanted.(*v1alpha1.ArtifactManifest)
	if !ok || !same {
		return errLeft
	}
	if more := lacking(before, m); len(more) > 0 {
		return fmt.Errorf("it is ManifestScoped already, which the file is not, and does not list %s of it; add to its spec.artifacts what it needs, or import an answer with --api-version 2025-03-30", strings.Join(more, ", "))
	}
	return errLeft
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
