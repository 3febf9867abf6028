package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// definition is what of a CustomResourceDefinition says how its objects are read.
type definition struct {
	Metadata struct {
		DeletionTimestamp *metav1.Time `json:"deletionTimestamp"`
	} `json:"metadata"`
	Spec struct {
		Versions []struct {
			Name   string `json:"name"`
			Served bool   `json:"served"`
		} `json:"versions"`
	} `json:"spec"`
}

// version sets the version in which a kind with a CustomResourceDefinition is read. Errors wrap errNotInstalled if
// the API server says that it does not exist.
func (r *Reader) version(ctx context.Context, k *listed) error {
	if len(k.versions) == 0 {
		return nil
	}
	called := k.Resource + "." + k.Group
	body, err := r.api.Get().AbsPath("apis", "apiextensions.k8s.io", "v1", "customresourcedefinitions", called).DoRaw(ctx)
	switch {
	case apierrors.IsNotFound(err):
		return errNotInstalled
	case err != nil:
		return fmt.Errorf("reading CustomResourceDefinition %s: %w", called, err)
	}
	var d definition
	if err := json.Unmarshal(body, &d); err != nil {
		return fmt.Errorf("reading CustomResourceDefinition %s: %w", called, err)
	}
	if d.Metadata.DeletionTimestamp != nil {
		return fmt.Errorf("CustomResourceDefinition %s is being deleted", called)
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
