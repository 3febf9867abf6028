package reference

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// DefinitionSettles is the time after the creation of a CustomResourceDefinition in which its
// objects may still be missing, as while a cluster or a kind is being restored from a backup.
const DefinitionSettles = 24 * time.Hour

// ErrHoldersUnknown is wrapped when the objects that may hold a subject cannot be listed reliably.
var ErrHoldersUnknown = errors.New("it is unknown what references this object")

// DefinitionKind is the kind of CustomResourceDefinitions. It is used to read their metadata.
var DefinitionKind = schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}

// Definition is what the API server reports of the CustomResourceDefinition of a kind.
type Definition struct {
	Created     time.Time
	Terminating bool
	// Restored is true if an administrator has confirmed, by the annotation
	// nfo.dev/objects-restored, that all of its objects exist again.
	Restored bool
}

// Definitions has the definitions of some kinds, by kind. A kind that is missing from it has no definition.
type Definitions map[string]Definition

// ReadDefinitions reads the definitions of nfo's kinds with r. Read after their
// objects were listed, they decide whether the lists can be trusted: a definition that
// is not being deleted now has existed, with all of its objects, since it was created.
func ReadDefinitions(ctx context.Context, r client.Reader, kinds ...string) (Definitions, error) {
	found := make([]*metav1.PartialObjectMetadata, len(kinds))
	reads, ctx := errgroup.WithContext(ctx)
	for i, kind := range kinds {
		reads.Go(func() error {
			crd := BlankDefinition()
			err := r.Get(ctx, client.ObjectKey{Name: definitionName(kind)}, crd)
			switch {
			case err == nil:
				found[i] = crd
			case !apierrors.IsNotFound(err):
				return fmt.Errorf("reading CustomResourceDefinition %s: %w", definitionName(kind), err)
			}
			return nil
		})
	}
	if err := reads.Wait(); err != nil {
		return nil, err
	}
	all := Definitions{}
	for i, crd := range found {
		if crd != nil {
			_, restored := crd.Annotations[v1alpha1.AnnotationObjectsRestored]
			all[kinds[i]] = Definition{Created: crd.CreationTimestamp.Time, Terminating: !crd.DeletionTimestamp.IsZero(), Restored: restored}
		}
	}
	return all, nil
}

// BlankDefinition is an empty CustomResourceDefinition to read metadata into.
func BlankDefinition() *metav1.PartialObjectMetadata {
	crd := &metav1.PartialObjectMetadata{}
	crd.SetGroupVersionKind(DefinitionKind)
	return crd
}

func definitionName(kind string) string {
	return v1alpha1.Resource(kind) + "." + v1alpha1.GroupVersion.Group
}

// KindOf returns the kind of nfo that a CustomResourceDefinition defines, or "" for other kinds.
func KindOf(definition string) string {
	for _, kind := range v1alpha1.Kinds() {
		if definitionName(kind) == definition {
			return kind
		}
	}
	return ""
}

// Doubt returns why an object's absence from the lists of some kinds does not prove that it does not exist, and what to do,
// or "" if it does. since is when the object that they could reference was created, and now is the API server's time. met
// returns the latest creation time of the objects of a kind that were seen to reference it, or zero if there were none.
func (ds Definitions) Doubt(kinds []string, since, now time.Time, met func(kind string) time.Time) string {
	for _, kind := range kinds {
		name := definitionName(kind)
		d, ok := ds[kind]
		switch {
		case !ok:
			return fmt.Sprintf("CustomResourceDefinition %s does not exist. Apply it and its objects again; until then nothing that they may reference is released.", name)
		case d.Terminating:
			return fmt.Sprintf("CustomResourceDefinition %s is being deleted with its objects. Until it is applied again, with them, nothing that they may reference is released.", name)
		case d.Restored, d.Created.Before(since), !met(kind).Before(d.Created) && !met(kind).IsZero():
		case now.Before(d.Created.Add(DefinitionSettles)):
			return fmt.Sprintf("CustomResourceDefinition %s was created at %s, after this object, so %s that reference it may have been lost. Apply them again. nfo goes on at %s, or when you say that they are all there: kubectl annotate crd %s %s=",
				name, d.Created.UTC().Format(time.RFC3339), v1alpha1.Resource(kind), d.Created.Add(DefinitionSettles).UTC().Format(time.RFC3339), name, v1alpha1.AnnotationObjectsRestored)
		}
	}
	return ""
}

// NeverMet is the met function of Doubt for callers that have not watched the objects.
func NeverMet(string) time.Time { return time.Time{} }

// HolderKindsOf returns the kinds whose objects can hold an object of a kind, sorted.
func HolderKindsOf(subject string) []string {
	var kinds []string
	for _, k := range holdersOf(subject) {
		kinds = append(kinds, k.name)
	}
	return kinds
}

// doubtError returns an error for a doubt, or nil if the doubt is "".
func doubtError(doubt string) error {
	if doubt == "" {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrHoldersUnknown, strings.TrimSuffix(doubt, "."))
}
