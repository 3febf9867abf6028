package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/aosm"
	"github.com/nfo-operator/nfo/internal/aosm/input"
	"github.com/nfo-operator/nfo/internal/reference"
)

// read reads the existing object with the name of o; nil if there is none.
func read(ctx context.Context, api client.Client, o client.Object) (client.Object, error) {
	kind := o.GetObjectKind().GroupVersionKind()
	empty, err := api.Scheme().New(kind)
	if err != nil {
		return nil, err
	}
	there, ok := empty.(client.Object)
	if !ok {
		return nil, errors.New("it is not an object: " + kind.String())
	}
	err = api.Get(ctx, client.ObjectKeyFromObject(o), there)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return there, err
}

// repeatImport repeats the import so that objects of earlier imports keep their names and namespaces.
func (a *applier) repeatImport(ctx context.Context, first *aosm.Result, sources []input.Source, options aosm.Options) (*aosm.Result, error) {
	for _, namespace := range first.Namespaces {
		for kind, list := range map[string]client.ObjectList{
			v1alpha1.KindArtifactStore: &v1alpha1.ArtifactStoreList{}, v1alpha1.KindArtifactManifest: &v1alpha1.ArtifactManifestList{},
			v1alpha1.KindDefinition: &v1alpha1.NetworkFunctionDefinitionVersionList{}, v1alpha1.KindDesign: &v1alpha1.NetworkServiceDesignVersionList{},
			v1alpha1.KindSite: &v1alpha1.SiteNetworkServiceList{},
		} {
			there, err := a.imported(ctx, kind, list, namespace)
			if err != nil {
				return nil, fmt.Errorf("reading what is there: %w", err)
			}
			options.There = append(options.There, there...)
		}
	}
	if len(options.There) == 0 {
		return first, nil
	}
	return aosm.ImportAll(sources, options)
}

// imported lists the objects of earlier imports in a namespace. A user who may not list them can still import.
func (a *applier) imported(ctx context.Context, kind string, list client.ObjectList, namespace string) (all []aosm.There, err error) {
	err = a.api.List(ctx, list, client.InNamespace(namespace))
	if apierrors.IsForbidden(err) {
		fmt.Fprintf(a.streams.ErrOut, "note: you may not list objects of the kind %s in the namespace %s: one that is there under another name is not found\n", kind, namespace)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	err = apimeta.EachListItem(list, func(item runtime.Object) error {
		if o, ok := item.(client.Object); ok {
			if t, made := aosm.ThereOf(o, kind); made {
				all = append(all, t)
			}
		}
		return nil
	})
	return all, err
}

// otherRegistry refuses to change the URL of an existing store: the new URL would be that of another store.
func otherRegistry(there, o client.Object) error {
	before, ok := there.(*v1alpha1.ArtifactStore)
	store, same := o.(*v1alpha1.ArtifactStore)
	if !ok || !same || before.RegistryURL() == store.RegistryURL() {
		return nil
	}
	return fmt.Errorf("it exists with the URL %s, which cannot be changed; import without --registry for it, or with this URL", before.RegistryURL())
}

// errLeft is not a failure: the existing object is more recent than the file.
var errLeft = errors.New("it is in the new form already, and the file has the old one: it is left as it is")

// newForm reports whether the existing object has the form of the API version 2025-03-30,
// and the wanted one an older form. An import never changes an object to the older form.
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

// sources returns where the applications of a definition, or the templates of a design, get their artifacts from, by name.
func sources(o client.Object) map[string]v1alpha1.ArtifactSource {
	all := map[string]v1alpha1.ArtifactSource{}
	switch o := o.(type) {
	case *v1alpha1.NetworkFunctionDefinitionVersion:
		for _, app := range o.Spec.NetworkFunctionTemplate.NetworkFunctionApplications {
			all[app.Name] = app.ArtifactProfile.ArtifactSource
		}
	case *v1alpha1.NetworkServiceDesignVersion:
		for _, t := range o.Spec.ResourceElementTemplates {
			all[t.Name] = v1alpha1.ArtifactSource{} // a template may only reference a definition
			if p := t.Configuration.ArtifactProfile; p != nil {
				all[t.Name] = p.ArtifactSource
			}
		}
	}
	return all
}

// leave returns errLeft, or a failure if the file has entries that
// the existing object lacks, because nothing would hold them.
func leave(there, wanted client.Object) error {
	before, ok := there.(*v1alpha1.ArtifactManifest)
	m, same := wanted.(*v1alpha1.ArtifactManifest)
	if !ok || !same {
		more, has := sources(wanted), sources(there)
		maps.DeleteFunc(more, func(name string, _ v1alpha1.ArtifactSource) bool { _, ok := has[name]; return ok })
		if len(more) > 0 {
			return fmt.Errorf("it is in the new form already, which the file is not, and lacks %s of it; add to its spec what it needs, or import an answer with --api-version 2025-03-30", strings.Join(slices.Sorted(maps.Keys(more)), ", "))
		}
		return errLeft
	}
	if more := lacking(before, m); len(more) > 0 {
		return fmt.Errorf("it is ManifestScoped already, which the file is not, and does not list %s of it; add to its spec.artifacts what it needs, or import an answer with --api-version 2025-03-30", strings.Join(more, ", "))
	}
	return errLeft
}

// checkRemoval refuses to remove entries from an existing manifest, which would release them, or references
// from a definition, design or site, which would then no longer hold their objects. It asks the API server in
// a dry run which ones would be removed, because entries that other field managers have set too would remain.
func (a *applier) checkRemoval(ctx context.Context, there, o client.Object, u *unstructured.Unstructured) error {
	if a.allowRemoval || len(lacking(o, there)) == 0 {
		return nil
	}
	would := u.DeepCopy()
	if err := a.send(ctx, would, true); err != nil {
		return err
	}
	after, err := a.api.Scheme().New(o.GetObjectKind().GroupVersionKind())
	if err == nil {
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(would.Object, after)
	}
	if err != nil {
		return fmt.Errorf("reading what it would become: %w", err)
	}
	became, ok := after.(client.Object)
	if !ok {
		return fmt.Errorf("reading what it would become: %T is not an object", after)
	}
	gone := lacking(became, there)
	if len(gone) == 0 {
		return nil
	}
	does := "names what the file does not, and would hold it no more"
	if _, ok := there.(*v1alpha1.ArtifactManifest); ok {
		does = "lists what the file does not, and would release it"
	}
	return fmt.Errorf("it %s: %s; import a file that has all of it, or release it with --allow-removal", does, strings.Join(gone, ", "))
}

// lacking returns the entries or references that the object of has and o lacks.
func lacking(o, of client.Object) []string {
	have := map[string]bool{}
	for _, name := range content(o) {
		have[name] = true
	}
	return slices.DeleteFunc(content(of), func(name string) bool { return have[name] })
}

// content returns the artifacts that a manifest lists, or the objects that another object references.
func content(o client.Object) []string {
	var all []string
	if m, ok := o.(*v1alpha1.ArtifactManifest); ok {
		for _, a := range m.Spec.Artifacts {
			all = append(all, a.ArtifactName+":"+a.ArtifactVersion)
		}
		return all
	}
	for _, r := range reference.Of(o) {
		if name := r.To.String(); !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}
