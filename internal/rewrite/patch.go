package rewrite

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// JSONPatch returns the patch that makes the changes to the original pod, for an admission response. had are the
// annotations of the original pod. The patch changes single fields, so fields that this program does not know are kept.
func (p *Pod) JSONPatch(had map[string]string, changes []Change) ([]byte, error) {
	var patch []operation
	for _, c := range changes {
		patch = append(patch, operation{"replace", c.Pointer(), c.To})
	}
	switch value, has := p.Metadata.Annotations[v1alpha1.AnnotationOriginalImages]; {
	case has && had == nil:
		patch = append(patch, operation{"add", "/metadata/annotations", map[string]string{v1alpha1.AnnotationOriginalImages: value}})
	case has:
		patch = append(patch, operation{"add", "/metadata/annotations/" + strings.ReplaceAll(v1alpha1.AnnotationOriginalImages, "/", "~1"), value})
	}
	text, err := json.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("writing the patch of a pod: %w", err)
	}
	return text, nil
}

// StrategicPatch returns the patch that makes the changes to an existing pod and sets one more annotation. The API
// server refuses the patch if the pod's resourceVersion is not version any more. All changes must be of Mutable places.
func (p *Pod) StrategicPatch(version string, changes []Change, annotation, value string) ([]byte, error) {
	annotations := map[string]any{annotation: value, v1alpha1.AnnotationOriginalImages: nil}
	if has, ok := p.Metadata.Annotations[v1alpha1.AnnotationOriginalImages]; ok {
		annotations[v1alpha1.AnnotationOriginalImages] = has
	}
	spec := map[string][]map[string]string{}
	for _, c := range changes {
		spec[c.List] = append(spec[c.List], map[string]string{"name": c.Name, "image": c.To})
	}
	text, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": version, "annotations": annotations}, "spec": spec,
	})
	if err != nil {
		return nil, fmt.Errorf("writing the patch of a pod: %w", err)
	}
	return text, nil
}
