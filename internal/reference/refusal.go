package reference

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// NamedHolders is the number of holders that a refusal names before it gives the number of the others.
const NamedHolders = 10

// Refusal returns the sentence that says why a subject cannot be deleted: AOSM's
// words, then each holder with the first artifact and application concerned.
func Refusal(subject Object, holders []Holder) string {
	names := make([]string, len(holders))
	for i, h := range holders {
		names[i] = fmt.Sprintf("%q%s", h.String(), h.detail())
	}
	// Names of applications may contain any characters, and other tenants read the refusal.
	return v1alpha1.Line(fmt.Sprintf("The resource '%s' has some resources attached to it. The dependent resources are: %s", subject, v1alpha1.FirstOf(names, NamedHolders)))
}

// NextStep returns the sentence that says how to delete a subject whose deletion was refused.
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

// Recorded returns the workloads that hold a manifest according to its status.
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

// RecordedBeside returns the Recorded workloads that are missing from now, the holders that were just read.
func RecordedBeside(m *v1alpha1.ArtifactManifest, now []Holder) []Holder {
	return slices.DeleteFunc(Recorded(m), func(h Holder) bool {
		return slices.ContainsFunc(now, func(o Holder) bool { return o.Object == h.Object })
	})
}

// Dependents returns the holders in the form of a status: the first 16, and the number of all.
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

// LastDependents returns what a status reports while the holders are unknown: those that it
// recorded last or, if it recorded none, no count, because 0 would say that nothing holds the object.
func LastDependents(recorded v1alpha1.Dependents) v1alpha1.Dependents {
	if len(recorded.Dependents) == 0 {
		return v1alpha1.Dependents{}
	}
	return recorded
}
