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

// JSONPatch is the patch that makes changes to the pod as it was before them, for an answer to the API server. had are
// the annotations that it had then. It names single fields: what this program does not know of a pod stays in it.
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

// StrategicPatch is the patch that makes changes to a pod that exists, as long as it has a resourceVersion, and sets
// another annotation. It takes the changes that Mutable places have.
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
