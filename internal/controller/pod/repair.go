package pod

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/mirrored"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

const (
	// Interval is how often the pods that do not start are listed, with a jitter of a quarter. wholeEvery
	// is how often running pods are listed, too, and wholeSoon the same while some of these are stuck.
	Interval, wholeEvery, wholeSoon = 20 * time.Second, 10 * time.Minute, time.Minute
	// passLimit is the longest time of one pass.
	passLimit = 2 * time.Minute
	// patchesPerSecond is how many pods are changed, on average, and maxPatchesOf how many of one namespace in a pass.
	patchesPerSecond, maxPatchesOf = 5, 20
	// deniedFor is how long the Repairer pauses if a permission is missing.
	deniedFor = 5 * time.Minute
	// refusedFor is how long a pod is left alone after its change was refused.
	refusedFor = 10 * time.Minute
)

// Options are what a Repairer needs.
type Options struct {
	Client client.Client
	Facts  *mirrored.Facts
	Events events.EventRecorder
	// Uses takes the images that pods wait for and that have no Artifact.
	Uses interface {
		Use(namespace string, image rewrite.Image)
	}
	Clock clock.PassiveClock
	// Now returns the API server's time.
	Now func() time.Time
	// Interval is the time between two passes. Default: Interval.
	Interval time.Duration
}

// Repairer repairs pods that cannot pull their images. It runs only in the leader.
type Repairer struct {
	o     Options
	lists *lists
	pace  *rate.Limiter

	// whole is when running pods are listed next, and denied when a permission was last missing.
	whole, denied time.Time
	// since is when pods of a phase were first seen to fail, and refused until when pods are left alone.
	since   map[corev1.PodPhase]map[types.UID]time.Time
	refused map[types.UID]time.Time
	// after is the key of the last pod of a phase that a pass had room for; "" if it had room for all.
	after map[corev1.PodPhase]string
}

// New makes a Repairer for an API server.
func New(kube *rest.Config, through *http.Client, o Options) (*Repairer, error) {
	l, err := newLists(kube, through)
	if o.Interval == 0 {
		o.Interval = Interval
	}
	return &Repairer{o: o, lists: l, pace: rate.NewLimiter(patchesPerSecond, 2*patchesPerSecond), since: map[corev1.PodPhase]map[types.UID]time.Time{}, refused: map[types.UID]time.Time{}, after: map[corev1.PodPhase]string{}}, err
}

// Start runs a pass every Interval until ctx ends. Errors are logged and retried.
func (r *Repairer) Start(ctx context.Context) error {
	for {
		timer := time.NewTimer(wait.Jitter(r.o.Interval, 0.25))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		if err := r.pass(ctx); err != nil && ctx.Err() == nil {
			log.FromContext(ctx).Error(err, "Repairing pods that cannot pull their images")
		}
	}
}

func (r *Repairer) pass(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, passLimit)
	defer cancel()
	if r.o.Clock.Since(r.denied) < deniedFor {
		return nil
	}
	rules, err := r.o.Facts.Rules(ctx)
	if err != nil {
		return err
	}
	// Without a mirror, only a cluster that once had one grants the permission.
	if rules.Policy() == v1alpha1.RewriteNever {
		if may, err := r.may(ctx); err != nil || !may {
			return err
		}
	}
	all, err := r.list(ctx, rules)
	if apierrors.IsForbidden(err) {
		r.denied = r.o.Clock.Now()
	}
	patched := map[string]int{}
	for _, s := range all {
		if patched[s.namespace] >= maxPatchesOf {
			continue
		}
		if s.fault == nil && len(s.todo.changes) > 0 {
			patched[s.namespace]++
			s.fault = r.patch(ctx, s.stuck, s.todo)
		}
		err = errors.Join(err, s.fault)
	}
	return err
}

// may reports whether pods can be changed in any of the namespaces.
func (r *Repairer) may(ctx context.Context) (bool, error) {
	for _, namespace := range r.namespaces() {
		may, err := mirrored.May(ctx, r.o.Client, authorizationv1.ResourceAttributes{Verb: "patch", Resource: "pods", Namespace: namespace})
		if err != nil || may {
			return may, err
		}
	}
	r.denied = r.o.Clock.Now()
	return false, nil
}

func (r *Repairer) namespaces() []string {
	if len(r.o.Facts.Watched) == 0 {
		return []string{metav1.NamespaceAll}
	}
	return slices.SortedFunc(slices.Values(r.o.Facts.Watched), func(a, b string) int { return strings.Compare(a+"/", b+"/") }) // in the order of key
}

// list finds the pods that cannot pull an image.
func (r *Repairer) list(ctx context.Context, rules rewrite.Rules) ([]kept, error) {
	now := r.o.Clock.Now()
	for uid, until := range r.refused {
		if now.After(until) {
			delete(r.refused, uid)
		}
	}
	all, err := r.listPhase(ctx, rules, corev1.PodPending, nil)
	if err != nil || now.Before(r.whole) {
		return all, err
	}
	starting := len(all)
	if all, err = r.listPhase(ctx, rules, corev1.PodRunning, all); err != nil {
		return all, err
	}
	r.whole = now.Add(wholeEvery)
	if len(all) > starting || len(all) >= maxStuck {
		r.whole = now.Add(wholeSoon)
	}
	return all, nil
}

// listPhase adds the pods of a phase that can be repaired, now or once they have waited. If the list has
// a pod twice, the first one counts. If there are too many, the next pass continues after the last one.
func (r *Repairer) listPhase(ctx context.Context, rules rewrite.Rules, phase corev1.PodPhase, all []kept) ([]kept, error) {
	now, seen, of := r.o.Clock.Now(), map[types.UID]time.Time{}, map[string]int{}
	after, added, full := r.after[phase], r.after[phase], false
	keep := func(s stuck) error {
		since, known := r.since[phase][s.uid]
		_, twice := seen[s.uid]
		switch {
		case s.key() <= after:
			if known {
				seen[s.uid] = since
			}
			return nil
		case len(all) >= maxStuck:
			full = true
			return errEnough
		case twice, of[s.namespace] >= maxStuckOf, now.Before(r.refused[s.uid]), spent(s):
			return nil
		case !known:
			since = now
		}
		s.since = since
		// If a pod waits for its own images, and the mirror does not have them, there is nothing to do.
		waits := s.rewritten(rules.Address())
		if todo, err := r.decide(ctx, rules, s); waits || err != nil || len(todo.changes) > 0 {
			seen[s.uid] = since
			of[s.namespace]++
			all, added = append(all, kept{stuck: s, todo: todo, fault: err}), s.key()
		}
		return nil
	}
	for _, namespace := range r.namespaces() {
		if err := r.lists.stuck(ctx, namespace, phase, keep); err != nil {
			return all, err
		}
	}
	if full {
		carry(seen, r.since[phase])
	} else {
		added = ""
	}
	r.since[phase], r.after[phase] = seen, added
	return all, nil
}

// carry keeps the times since when pods fail that have no turn in this pass.
func carry(seen, before map[types.UID]time.Time) {
	for uid, since := range before {
		if _, known := seen[uid]; !known && len(seen) < maxSince {
			seen[uid] = since
		}
	}
}

// spent reports whether a pod has used up its repairs.
func spent(s stuck) bool {
	count, _ := repairsOf(s.pod.Metadata.Annotations)
	return count >= maxRepairs
}

// decide decides what to do about a pod, applies the changes to the pod in memory, and
// asks the mirror for the images that the pod waits for.
func (r *Repairer) decide(ctx context.Context, rules rewrite.Rules, s stuck) (decision, error) {
	selected, err := r.o.Facts.Selected(ctx, rules, s.namespace)
	if err != nil && !errors.Is(err, mirrored.ErrUnknown) {
		return decision{}, err
	}
	var unread error
	d := decide(s, facts{rules: rules, selected: selected && err == nil, own: s.namespace == metav1.NamespaceSystem, now: r.o.Now(), failing: r.o.Clock.Since(s.since), unreachable: r.o.Facts.Agents.None(), state: func(i rewrite.Image) v1alpha1.MirrorState {
		state, err := r.o.Facts.State(ctx, s.namespace, i)
		unread = errors.Join(unread, err)
		return state
	}})
	if unread != nil {
		return decision{}, unread
	}
	if selected {
		for _, i := range d.wanted {
			r.o.Uses.Use(s.namespace, i)
		}
	}
	return d, nil
}

func (r *Repairer) patch(ctx context.Context, s stuck, d decision) error {
	patch, err := d.pod.StrategicPatch(s.version, d.changes, v1alpha1.AnnotationImageRepairs, d.repairs)
	if err != nil {
		return err
	}
	if err := r.pace.Wait(ctx); err != nil {
		return fmt.Errorf("waiting to repair a pod: %w", err)
	}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: s.name, UID: s.uid}}
	switch err := r.o.Client.Patch(ctx, p, client.RawPatch(types.StrategicMergePatchType, patch)); {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return nil // the pod has been replaced or changed; the next pass reads it
	case err != nil:
		r.refused[s.uid] = r.o.Clock.Now().Add(refusedFor)
		return fmt.Errorf("changing the images of Pod %s/%s: %w", s.namespace, s.name, err)
	}
	for _, since := range r.since { // the time of the new image begins now
		delete(since, s.uid)
	}
	pass.Tell(r.o.Events, p, corev1.EventTypeNormal, d.reason, "Repairing", d.why)
	return nil
}
