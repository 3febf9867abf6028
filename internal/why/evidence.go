package why

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
	"github.com/nfo-operator/nfo/internal/plugin/running"
	"github.com/nfo-operator/nfo/internal/reference"
)

// anywhere lists objects of all namespaces or, for anyone who may not, of one. unseen then says what was
// not seen.
func anywhere(ctx context.Context, r client.Reader, namespace string, into client.ObjectList, resource string) (list client.ObjectList, unseen string, err error) {
	err = r.List(ctx, into)
	if apierrors.IsForbidden(err) {
		unseen = fmt.Sprintf("%s of other namespaces than %s were not looked at, for want of the right to list them", resource, namespace)
		err = r.List(ctx, into, client.InNamespace(namespace))
	}
	if err != nil {
		return nil, "", fmt.Errorf("listing %s: %w", resource, err)
	}
	return into, unseen, nil
}

// evidence is what the cluster showed of one namespace. All that is said of it is pure.
type evidence struct {
	namespace  string
	now        time.Time
	stores     []v1alpha1.ArtifactStore
	tombstones []v1alpha1.Tombstone
	// unseen says what could not be seen.
	unseen []string

	objects map[reference.Object]client.Object
	naming  reference.Naming
	shown   map[reference.Object]bool
	running map[string]running.Running // by the name of the store
}

// use takes what holds, by what it names.
func (e *evidence) use(s reference.Snapshot) {
	e.objects, e.naming, e.shown = map[reference.Object]client.Object{}, s.Naming(), map[reference.Object]bool{}
	for _, items := range s {
		for _, o := range items {
			e.objects[reference.Self(o)] = o
		}
	}
	for i := range e.stores {
		e.objects[reference.Self(&e.stores[i])] = &e.stores[i]
	}
}

// link is one object in the chain that keeps what was asked for, and what keeps it in its turn.
type link struct {
	// Object is the resource, namespace and name.
	Object string `json:"object"`
	// Because says by what it keeps the one below.
	Because string `json:"because,omitempty"`
	// Terminating is true when it is itself being deleted. It still keeps.
	Terminating bool `json:"terminating,omitempty"`
	// KeptBy is what keeps it; nothing for a root.
	KeptBy []*link `json:"keptBy,omitempty"`
	// ShownAbove is true when what keeps it was said where it came up first.
	ShownAbove bool `json:"shownAbove,omitempty"`
	// stands: deletions of what it keeps are refused, and do not wait for it.
	stands bool
}

// chain is what keeps an object, up to the roots. Each object is followed once.
func (e *evidence) chain(subject client.Object) []*link {
	var all []*link
	for _, h := range e.naming.Holders(subject) {
		all = append(all, e.follow(h))
	}
	if m, ok := subject.(*v1alpha1.ArtifactManifest); ok {
		all = append(all, e.workloads(m)...)
	}
	return all
}

func (e *evidence) follow(h reference.Holder) *link {
	l := &link{Object: h.String(), Because: because(h), Terminating: h.Terminating, stands: h.Stands()}
	if e.shown[h.Object] {
		l.ShownAbove = len(e.naming.Holders(e.objects[h.Object])) > 0
		return l
	}
	e.shown[h.Object] = true
	l.KeptBy = e.chain(e.objects[h.Object])
	return l
}

// because says by which of its references a holder keeps.
func because(h reference.Holder) string {
	var parts []string
	for _, r := range h.References {
		part := ""
		if r.Artifact != "" {
			part = "artifact " + r.Artifact + ":" + r.Version
		}
		if r.Application != "" {
			part = strings.TrimPrefix(part+", by "+r.Application, ", ")
		}
		if r.Part != "" {
			part = strings.TrimPrefix(part+", "+running.Because(r.Part), ", ")
		}
		if part != "" && r.To.Kind == v1alpha1.KindArtifactStore {
			part += ", of any manifest of its store"
		}
		if part != "" && !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	const most = 4
	if len(parts) > most {
		parts = append(parts[:most], fmt.Sprintf("and %d more", len(parts)-most))
	}
	return strings.Join(parts, "; ")
}

// roots are what keeps in the end, and nothing keeps, each once, sorted.
func roots(links []*link) []string {
	var all []string
	for _, l := range links {
		if len(l.KeptBy) == 0 && !l.ShownAbove {
			all = append(all, l.Object)
		}
		all = append(all, roots(l.KeptBy)...)
	}
	slices.SortFunc(all, cmp.Compare[string])
	return slices.Compact(all)
}
