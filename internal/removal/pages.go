package removal

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// pageSize is the page size of a list, in objects.
const pageSize = 500

// pages reads the metadata of all objects of a kind, in all namespaces, and calls do for each page, with the number
// of objects read so far, this page included, and the number that follows. A kind that the cluster does not know has
// no objects. If the API server no longer has the list, pages starts it again, so do must accept an object twice.
func (r *remover) pages(ctx context.Context, kind schema.GroupVersionKind, with client.ListOption, do func(items []metav1.PartialObjectMetadata, seen, left int64) error) error {
	token, seen := "", int64(0)
	for {
		page := &metav1.PartialObjectMetadataList{}
		page.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		opts := []client.ListOption{client.Limit(pageSize), client.Continue(token)}
		if with != nil {
			opts = append(opts, with)
		}
		err := r.Client.List(ctx, page, opts...)
		switch {
		case apimeta.IsNoMatchError(err), apierrors.IsNotFound(err):
			r.say("there are no %s.%s in this cluster", kind.Kind, kind.Group)
			return nil
		case apierrors.IsResourceExpired(err) && token != "":
			token, seen = "", 0
			continue
		case err != nil:
			return fmt.Errorf("listing %s.%s: %w", kind.Kind, kind.Group, err)
		}
		for i := range page.Items {
			page.Items[i].SetGroupVersionKind(kind)
		}
		seen += int64(len(page.Items))
		left := int64(0)
		if page.RemainingItemCount != nil {
			left = *page.RemainingItemCount
		}
		if err := do(page.Items, seen, left); err != nil {
			return err
		}
		if token = page.GetContinue(); token == "" {
			return nil
		}
	}
}
