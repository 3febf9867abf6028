package running

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/workload"
)

// Reader reads what runs in the workloads that a store selects.
type Reader func(context.Context, *v1alpha1.ArtifactStore) (*workload.Reading, error)

// NewReader returns a Reader of the cluster of kubectl's flags.
func NewReader(flags *genericclioptions.ConfigFlags) (Reader, error) {
	kube, err := flags.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	through, err := rest.HTTPClientFor(kube)
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	r, err := workload.NewReader(kube, through, nil, clock.RealClock{}, time.Now)
	if err != nil {
		return nil, err
	}
	return r.Read, nil
}

// Running is what is known of the workloads that a store selects.
type Running struct {
	// Reading is what was read now; nil for a store without spec.workloads.
	*workload.Reading
	// Selected is false for a store without spec.workloads, whose artifacts no workload holds.
	Selected bool
	// Missing says what could not be read now, and what is known from the manager instead; "" if all was read.
	Missing string
	// Doubt says what the manager could not read last; until it can, it releases nothing of the store. "" if it read all.
	Doubt string
	// Observed is when the manager last read the workloads; "" if it never did.
	Observed string
}

// Of returns what is known of one store. Its error is that of the context.
func (r Reader) Of(ctx context.Context, s *v1alpha1.ArtifactStore) (Running, error) {
	if s.Spec.Workloads == nil {
		return Running{}, nil
	}
	all := Running{Selected: true}
	if w := s.Status.Workloads; w != nil {
		all.Observed = w.ObservedAt.UTC().Format(time.RFC3339)
	}
	if unread := s.Status.Workloads.Unreadable(); unread != "" {
		all.Doubt = fmt.Sprintf("nfo could not read what runs of %s at %s, and lets nothing of it go until it can (%s)", reference.Self(s), all.Observed, unread)
	}
	public := s.DeepCopy()
	public.Spec.Workloads.Sources = slices.DeleteFunc(public.Spec.Workloads.Sources, secret)
	var err error
	if all.Reading, err = r(ctx, public); err != nil {
		return Running{}, err
	}
	if missing := missing(s, all.Sources); missing != "" {
		all.Missing = fmt.Sprintf("what runs of %s could not be read in full (%s); %s", reference.Self(s), missing, all.instead())
	}
	return all, nil
}

// secret reports whether a source is stored in Secrets.
func secret(s v1alpha1.WorkloadSource) bool { return s == v1alpha1.WorkloadHelmReleases }

// missing lists the sources of a store that were not read, with the reasons.
func missing(s *v1alpha1.ArtifactStore, sources []v1alpha1.WorkloadSourceStatus) string {
	var all []string
	for _, source := range sources {
		switch source.State {
		case v1alpha1.WorkloadsDenied:
			all = append(all, fmt.Sprintf("%s: you may not: %s", source.Name, workload.Cause(source.Message)))
		case v1alpha1.WorkloadsFailed:
			all = append(all, fmt.Sprintf("%s: %s", source.Name, source.Message))
		}
	}
	if slices.ContainsFunc(s.Spec.Workloads.Sources, secret) {
		all = append(all, fmt.Sprintf("%s: they are in Secrets, which this command does not read", v1alpha1.WorkloadHelmReleases))
	}
	return strings.Join(all, "; ")
}

// instead says what is known from the manager in place of what could not be read.
func (r Running) instead() string {
	switch {
	case r.Observed == "":
		return "nfo has not read it either yet"
	case r.Doubt != "":
		return "nfo could not read it either at " + r.Observed
	}
	return fmt.Sprintf("what nfo saw at %s is used as well, which is up to 16 holders of a manifest", r.Observed)
}

// Recorded returns the workloads that the manager saw using a manifest, without
// those in now. It returns none if everything was read now, which is more recent.
func (r Running) Recorded(m *v1alpha1.ArtifactManifest, now []reference.Holder) []reference.Holder {
	if !r.Selected || r.Missing == "" {
		return nil
	}
	return reference.RecordedBeside(m, now)
}

// Because returns how a workload uses an artifact, given the part that uses it: "container web runs it".
func Because(part string) string {
	switch {
	case part == "":
		return "uses it"
	case strings.Contains(part, "container "):
		return part + " runs it"
	}
	return part + " uses it"
}
