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

// anywhere lists objects of all namespaces or, if the user may not, of one namespace. unseen then says what was not read.
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

// evidence is what was read of one namespace. All of its answers are pure.
type evidence struct {
	namespace  string
	now        time.Time
	stores     []v1alpha1.ArtifactStore
	tombstones []v1alpha1.Tombstone
	// unseen says what could not be read.
	unseen []string

	objects map[reference.Object]client.Object
	naming  reference.Naming
	shown   map[reference.Object]bool
	running map[string]running.Running // by the name of the store
}

// use indexes the objects of a snapshot and the stores, by identity and by what they hold.
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

// link is one object in the chain that keeps the subject, with the objects that keep it.
type link struct {
	// Object is the object's resource, namespace and name.
	Object string `json:"object"`
	// Because says by which reference the object keeps the one below it.
	Because string `json:"because,omitempty"`
	// Terminating is true if the object is being deleted. It still keeps the one below it.
	Terminating bool `json:"terminating,omitempty"`
	// KeptBy are the objects that keep this one; empty for a root.
	KeptBy []*link `json:"keptBy,omitempty"`
	// ShownAbove is true if the objects that keep this one were listed where it first occurred.
	ShownAbove bool `json:"shownAbove,omitempty"`
	// stands is true if a deletion of the kept object is refused, rather than waiting until this object is gone.
	stands bool
}

// chain returns the objects that keep an object, up to the roots. It follows each object once.
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

// because says by which references a holder holds.
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

// roots returns the objects at the ends of the chains, which nothing keeps, each once, sorted.
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
