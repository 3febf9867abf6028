package admission

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/place"
)

// workloadErrors refuses a selection of workloads that cannot be read, and aliases that are others' places: who uses what
// is there is for their owners to know. It is pure.
func workloadErrors(rules place.Rules, s *v1alpha1.ArtifactStore, all []v1alpha1.ArtifactStore) field.ErrorList {
	w := s.Spec.Workloads
	here, err := v1alpha1.ParseRegistryURL(s.Spec.Registry.URL)
	if w == nil || err != nil {
		return nil // an error of its own
	}
	at := field.NewPath("spec", "workloads")
	if _, err := w.Selector(); err != nil {
		return field.ErrorList{field.Invalid(at.Child("namespaceSelector"), w.NamespaceSelector.String(), err.Error())}
	}
	var errs field.ErrorList
	for i, alias := range w.RegistryAliases {
		one := v1alpha1.WorkloadsSpec{RegistryAliases: []string{alias}}
		path := at.Child("registryAliases").Index(i)
		locations, err := one.Locations(here)
		if err != nil {
			errs = append(errs, field.Invalid(path, alias, err.Error()))
			continue
		}
		if err := rules.Refusal(s.Namespace, locations[1]); err != nil {
			errs = append(errs, field.Forbidden(path, err.Error()))
		}
		for j := range all {
			o := &all[j]
			there, err := v1alpha1.ParseRegistryURL(o.Spec.Registry.URL)
			if err == nil && o.Namespace != s.Namespace && there.Overlaps(locations[1]) {
				errs = append(errs, field.Forbidden(path, fmt.Sprintf("it overlaps with a store of another namespace, %s/%s. An alias is another name of what is in this store", o.Namespace, o.Name)))
				break
			}
		}
	}
	return errs
}
