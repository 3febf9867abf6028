package livelist

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Namespaces calls each with the metadata of every namespace, in no order. It has only one page of them in memory.
func Namespaces(ctx context.Context, api client.Reader, each func(*metav1.PartialObjectMetadata)) error {
	for token := ""; ; {
		var page metav1.PartialObjectMetadataList
		page.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
		if err := api.List(ctx, &page, client.Limit(pageSize), client.Continue(token)); err != nil {
			return fmt.Errorf("listing namespaces: %w", err)
		}
		for i := range page.Items {
			each(&page.Items[i])
		}
		if token = page.Continue; token == "" {
			return nil
		}
	}
}
