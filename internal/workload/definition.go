package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// definition has the fields of a CustomResourceDefinition that say in
// which version its objects are read, and whether it was created anew.
type definition struct {
	Metadata struct {
		UID               types.UID         `json:"uid"`
		CreationTimestamp metav1.Time       `json:"creationTimestamp"`
		DeletionTimestamp *metav1.Time      `json:"deletionTimestamp"`
		Annotations       map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		Versions []struct {
			Name   string `json:"name"`
			Served bool   `json:"served"`
		} `json:"versions"`
	} `json:"spec"`
	// absent is true if the API server says that the definition does not exist.
	absent bool
}

// definition reads the CustomResourceDefinition with a name.
func (r *Reader) definition(ctx context.Context, called string) (d definition, err error) {
	body, err := r.api.Get().AbsPath("apis", "apiextensions.k8s.io", "v1", "customresourcedefinitions", called).DoRaw(ctx)
	if apierrors.IsNotFound(err) {
		return definition{absent: true}, nil
	}
	if err == nil {
		err = json.Unmarshal(body, &d)
	}
	if err != nil {
		return definition{}, fmt.Errorf("reading CustomResourceDefinition %s: %w", called, err)
	}
	return d, nil
}

// version sets the version in which a kind with a CustomResourceDefinition is read. It
// updates seen, which has the definitions that were seen before. The error is
// errNotInstalled if the definition does not exist and is not expected to exist.
func (r *Reader) version(ctx context.Context, k *listed, seen *[]v1alpha1.WorkloadDefinition) error {
	if len(k.versions) == 0 {
		return nil
	}
	called := k.Resource + "." + k.Group
	d, err := r.definition(ctx, called)
	if err == nil {
		err = r.expected(called, d, seen)
	}
	if err != nil {
		return err
	}
	for _, v := range k.versions {
		for _, has := range d.Spec.Versions {
			if has.Name == v && has.Served {
				k.Version = v
				return nil
			}
		}
	}
	return fmt.Errorf("CustomResourceDefinition %s serves none of the versions %v that nfo reads", called, slices.Clone(k.versions))
}

// expected compares a definition with the one of the same name that was seen before, and
// records it in seen. The error says why missing objects of the definition do not prove
// that there are none; see reference.Definitions.Doubt for nfo's own kinds.
func (r *Reader) expected(called string, d definition, seen *[]v1alpha1.WorkloadDefinition) error {
	at := slices.IndexFunc(*seen, func(o v1alpha1.WorkloadDefinition) bool { return o.Name == called })
	switch {
	case d.Metadata.DeletionTimestamp != nil:
		return fmt.Errorf("CustomResourceDefinition %s is being deleted", called)
	case at < 0 && d.absent:
		return errNotInstalled
	case at < 0:
		*seen = append(*seen, v1alpha1.WorkloadDefinition{Name: called, UID: d.Metadata.UID})
		return nil
	}
	before := &(*seen)[at]
	if d.absent {
		if before.MissingSince == nil {
			before.MissingSince = new(metav1.NewTime(r.now()))
		}
		believed := before.MissingSince.Add(goneFor)
		if !r.now().Before(believed) {
			*seen = slices.Delete(*seen, at, at+1)
			return errNotInstalled
		}
		return fmt.Errorf("CustomResourceDefinition %s does not exist, and it was read before. Apply it and its objects again, or remove their source from spec.workloads.sources. nfo goes on without it at %s",
			called, believed.UTC().Format(time.RFC3339))
	}
	before.MissingSince = nil
	created := d.Metadata.CreationTimestamp
	_, restored := d.Metadata.Annotations[v1alpha1.AnnotationObjectsRestored]
	if before.UID != d.Metadata.UID && !restored && r.now().Before(created.Add(goneFor)) {
		return fmt.Errorf("CustomResourceDefinition %s was created anew at %s, so some of its objects may have been lost. Apply them again. nfo goes on at %s, or when you say that they are all there: kubectl annotate crd %[1]s %[4]s=",
			called, created.UTC().Format(time.RFC3339), created.Add(goneFor).UTC().Format(time.RFC3339), v1alpha1.AnnotationObjectsRestored)
	}
	before.UID = d.Metadata.UID
	return nil
}
