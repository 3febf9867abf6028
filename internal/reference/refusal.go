package reference

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// NamedHolders is how many holders a refusal names before it says how many more there are.
const NamedHolders = 10

// Refusal is the sentence that says why a subject cannot go: AOSM's words, then each holder
// with the first artifact and application concerned.
func Refusal(subject Object, holders []Holder) string {
	names := make([]string, len(holders))
	for i, h := range holders {
		names[i] = fmt.Sprintf("%q%s", h.String(), h.detail())
	}
	// The names of applications are of no pattern, and other tenants read the refusal.
	return v1alpha1.Line(fmt.Sprintf("The resource '%s' has some resources attached to it. The dependent resources are: %s", subject, v1alpha1.FirstOf(names, NamedHolders)))
}

// NextStep is the sentence that says how a subject whose deletion is refused can be deleted.
func NextStep(subject Object) string {
	return fmt.Sprintf("Delete these objects first, or change what they reference. To see everything that depends on it: kubectl nfo why %s/%s -n %s", v1alpha1.ShortName(subject.Kind), subject.Name, subject.Namespace)
}

func (h Holder) detail() string {
	var parts []string
	if r := h.References[0]; r.Artifact != "" {
		parts = append(parts, "artifact "+r.Artifact+":"+r.Version)
	}
	if r := h.References[0]; r.Application != "" {
		parts = append(parts, "application "+r.Application)
	}
	if r := h.References[0]; r.Part != "" {
		parts = append(parts, r.Part)
	}
	if h.Terminating {
		parts = append(parts, "itself being deleted")
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// Recorded are the workloads that hold a manifest by its status.
func Recorded(m *v1alpha1.ArtifactManifest) []Holder {
	var all []Holder
	for _, d := range m.Status.Dependents.Dependents {
		if !Runs(d.Kind) {
			continue
		}
		h := Holder{Object: Object{d.Kind, d.Namespace, d.Name}}
		for _, a := range d.Artifacts {
			name, version, _ := strings.Cut(a, ":")
			h.References = append(h.References, Reference{To: Self(m), Artifact: name, Version: version})
		}
		if len(h.References) > 0 {
			all = append(all, h)
		}
	}
	return all
}

// RecordedBeside are those of the Recorded workloads that are not among holders that were read now.
func RecordedBeside(m *v1alpha1.ArtifactManifest, now []Holder) []Holder {
	return slices.DeleteFunc(Recorded(m), func(h Holder) bool {
		return slices.ContainsFunc(now, func(o Holder) bool { return o.Object == h.Object })
	})
}

// Dependents is the holders as a status shows them: the first 16, and how many there are.
func Dependents(holders []Holder) v1alpha1.Dependents {
	count := int32(len(holders))
	d := v1alpha1.Dependents{DependentCount: &count}
	for _, h := range holders[:min(len(holders), 16)] {
		dep := v1alpha1.Dependent{Kind: h.Kind, Namespace: h.Namespace, Name: h.Name}
		for _, r := range h.References {
			if a := r.Artifact + ":" + r.Version; r.Artifact != "" && len(dep.Artifacts) < 8 && !slices.Contains(dep.Artifacts, a) {
				dep.Artifacts = append(dep.Artifacts, a)
			}
		}
		d.Dependents = append(d.Dependents, dep)
	}
	return d
}
