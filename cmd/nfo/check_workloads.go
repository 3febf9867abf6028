package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/backend"
)

// +kubebuilder:rbac:groups=nfo.dev,resources=artifactstores,verbs=list

// checkWorkloads reports, for each store with spec.workloads, which of its sources the operator could read last. The
// operator's rights count, not those of this program. The error says how many could not be read, or have not been read yet.
func checkWorkloads(ctx context.Context, api client.Client, now time.Time) (lines []string, err error) {
	var stores v1alpha1.ArtifactStoreList
	err = api.List(ctx, &stores)
	if apierrors.IsForbidden(err) {
		return nil, fmt.Errorf("whether the operator can read what workloads run cannot be seen without the right to list artifactstores in all namespaces: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("listing artifactstores: %w", err)
	}
	slices.SortFunc(stores.Items, func(a, b v1alpha1.ArtifactStore) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	bad := 0
	for i := range stores.Items {
		s := &stores.Items[i]
		// The operator does not read the workloads of a store that is inert or being deleted.
		if s.Spec.Workloads == nil || !s.DeletionTimestamp.IsZero() || backend.Inert(s) != nil {
			continue
		}
		for _, name := range s.Spec.Workloads.Sources {
			line, readable := checkSource(s, name, now)
			if lines = append(lines, line); !readable {
				bad++
			}
		}
	}
	if bad > 0 {
		return lines, fmt.Errorf("the operator could not read %s of what workloads run, and releases nothing of these stores until it can; the lines that begin with \"failed:\" say what to do", count(bad, "source"))
	}
	return lines, nil
}

// checkSource reports in one line whether the operator could read a source of a store the last time.
func checkSource(s *v1alpha1.ArtifactStore, name v1alpha1.WorkloadSource, now time.Time) (line string, readable bool) {
	id := v1alpha1.ResourceID(v1alpha1.KindArtifactStore, s.Namespace, s.Name)
	source := v1alpha1.WorkloadSourceStatus{Message: fmt.Sprintf("the operator has not read it yet; see kubectl describe artifactstore -n %s %s", s.Namespace, s.Name)}
	age := ""
	if w := s.Status.Workloads; w != nil {
		age = " " + now.Sub(w.ObservedAt.Time).Round(time.Second).String() + " ago"
		if i := slices.IndexFunc(w.Sources, func(o v1alpha1.WorkloadSourceStatus) bool { return o.Name == name }); i >= 0 {
			source = w.Sources[i]
		}
	}
	where := ""
	if w := s.Status.Workloads; w != nil && w.Namespaces != nil {
		where = " in " + count(int(*w.Namespaces), "namespace")
	}
	switch source.State {
	case v1alpha1.WorkloadsRead:
		if n := s.Status.Workloads.Namespaces; n != nil && *n == 0 {
			return fmt.Sprintf("failed: %s: %s: spec.workloads.namespaceSelector matches no namespace, so that nothing that runs is protected", id, name), false
		}
		return fmt.Sprintf("ok: %s: %s read%s (%s%s, %s of the store)", id, name, age, count(int(source.Objects), "object"), where, count(int(source.Uses), "use")), true
	case v1alpha1.WorkloadsNotInstalled:
		return fmt.Sprintf("ok: %s: %s not installed%s", id, name, age), true
	case "":
		return fmt.Sprintf("failed: %s: %s: %s", id, name, source.Message), false
	}
	return fmt.Sprintf("failed: %s: %s %s%s: %s", id, name, strings.ToLower(string(source.State)), age, v1alpha1.Line(source.Message)), false
}

// count returns a number with a noun in the singular or plural.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
