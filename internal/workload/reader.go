package workload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/livelist"
	"github.com/nfo-operator/nfo/internal/workload/decoded"
	"github.com/nfo-operator/nfo/internal/workload/named"
)

const (
	pageSize = 500 // objects of one answer, of kinds without a page of their own
	// readingsAtOnce bounds the readings of a Reader that run, of different namespaces; others wait.
	readingsAtOnce = 2
	// listsAtOnce bounds the requests of one reading.
	listsAtOnce = 4
	// mostOfStore and mostOfImages bound what a reading finds, in bytes: some 300 for a use.
	mostOfStore, mostOfImages = 32 << 20, 64 << 20
	// goneFor is how long a kind that was read must be gone before that is believed.
	goneFor = 24 * time.Hour
)

// Reader reads what workloads run. It is safe for concurrent use.
type Reader struct {
	api   rest.Interface
	clock clock.PassiveClock
	now   func() time.Time
	slots chan struct{}
	// turns has one place for each namespace with stores, so that many stores of one keep no other one waiting.
	turns sync.Map
	// releases decodes release records; nil if they cannot be read.
	releases ReleaseReader
	decoded  *decoded.Records
}

// NewReader makes a Reader of an API server, whose time now tells. releases decodes the records of Helm; without one,
// the source HelmReleases is Failed.
func NewReader(kube *rest.Config, through *http.Client, releases ReleaseReader, c clock.PassiveClock, now func() time.Time) (*Reader, error) {
	api, err := livelist.Streams(kube, through)
	if err != nil {
		return nil, err
	}
	return &Reader{api: api, clock: c, now: now, slots: make(chan struct{}, readingsAtOnce), releases: releases, decoded: decoded.New(c)}, nil
}

// Read reads what the workloads that a store selects use of it, from lists that begin after Read is called; nil for a
// store that selects none. That a source cannot be read is in the Reading. Errors are those of the context.
func (r *Reader) Read(ctx context.Context, s *v1alpha1.ArtifactStore) (*Reading, error) {
	if s.Spec.Workloads == nil {
		return nil, nil //nolint:nilnil // a nil Reading is one, of nothing
	}
	return r.read(ctx, selection(s))
}

// scope is what a reading is about.
type scope struct {
	// of is the namespace whose turn it takes.
	of    string
	names named.Names
	// limit bounds how long it waits for its turn, and then how long it takes; 0 for no limit.
	limit time.Duration
	// most bounds the uses, in bytes. It is asked when the reading begins.
	most     func() int
	selector labels.Selector
	sources  []v1alpha1.WorkloadSource
	// before is how the reading before this one ended.
	before *v1alpha1.WorkloadsStatus
	// invalid says why nothing can be read.
	invalid error
}

// last is how a source was read last, nil if it was not, and a copy of the definitions that were seen until then.
func (s scope) last(source v1alpha1.WorkloadSource) (*v1alpha1.WorkloadSourceStatus, []v1alpha1.WorkloadDefinition) {
	if s.before != nil {
		for i := range s.before.Sources {
			if one := &s.before.Sources[i]; one.Name == source {
				return one, slices.Clone(one.Definitions)
			}
		}
	}
	return nil, nil
}

// turn waits for the turn of a namespace, and for a place. The caller calls done in any case. Errors are those of ctx.
func (r *Reader) turn(ctx context.Context, namespace string) (done func(), err error) {
	own, _ := r.turns.LoadOrStore(namespace, make(chan struct{}, 1))
	var taken []chan struct{}
	done = func() {
		for _, places := range taken {
			<-places
		}
	}
	for _, places := range []chan struct{}{own.(chan struct{}), r.slots} {
		select {
		case places <- struct{}{}:
			taken = append(taken, places)
		case <-ctx.Done():
			return done, ctx.Err()
		}
	}
	return done, nil
}

// within is ctx with a limit, 0 for none.
func within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if limit == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, limit)
}

// read reads. What its limits leave no time for is a source that is Failed, and says so.
func (r *Reader) read(ctx context.Context, s scope) (*Reading, error) {
	waiting, cancel := within(ctx, s.limit)
	done, late := r.turn(waiting, s.of)
	cancel()
	defer done()
	unknown := s.invalid
	if late != nil && unknown == nil {
		unknown = fmt.Errorf("other readings took the %s for which it waits. It is tried again", s.limit)
	}
	reading, cancel := within(ctx, s.limit)
	defer cancel()
	begun, c := r.clock.Now(), newCollector(s.names, s.most())
	c.records = &records{releases: r.releases, decoded: r.decoded}
	var namespaces []string
	if unknown == nil {
		namespaces, unknown = r.namespaces(reading, s.selector)
	}
	states := r.readSources(reading, s, namespaces, unknown, c)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("reading what workloads run: %w", ctx.Err())
	}
	all := NewReading(begun, c.uses())
	all.bytes = c.bytes.All()
	if unknown == nil && !s.selector.Empty() {
		all.Namespaces = new(int32(len(namespaces)))
	}
	for _, source := range s.sources {
		all.Sources = append(all.Sources, states[source])
	}
	return all, nil
}

// readSources reads the sources that are selected, in their order, and says how each ended: as unknown says, if that is not
// nil.
func (r *Reader) readSources(ctx context.Context, s scope, namespaces []string, unknown error, c *collector) map[v1alpha1.WorkloadSource]v1alpha1.WorkloadSourceStatus {
	states := map[v1alpha1.WorkloadSource]v1alpha1.WorkloadSourceStatus{}
	for _, source := range order {
		if !slices.Contains(s.sources, source) {
			continue
		}
		c.objects, c.references = 0, 0
		before, seen := s.last(source)
		err := unknown
		if err == nil {
			err = r.source(ctx, source, namespaces, c, &seen)
		}
		if err != nil && unknown == nil && ctx.Err() != nil {
			err = fmt.Errorf("it takes longer than %s, and is tried again; if that stays so, select fewer namespaces or sources in spec.workloads: %w", s.limit, err)
		}
		state := r.state(before, source, c, err)
		state.Definitions = seen
		states[source] = state
	}
	return states
}

// selection is what a store selects, and where it can be named.
func selection(s *v1alpha1.ArtifactStore) scope {
	of := scope{of: s.Namespace, most: func() int { return mostOfStore }, sources: s.Spec.Workloads.Sources, before: s.Status.Workloads}
	var at named.Places
	if of.selector, of.invalid = s.Spec.Workloads.Selector(); of.invalid != nil {
		return of
	}
	if at, of.invalid = s.Names(); of.invalid == nil {
		at, of.invalid = s.Spec.Workloads.Locations(at...)
	}
	of.names.Inside = at.Inside
	return of
}

// defaultSources are those of the mirror if its store does not say.
var defaultSources = []v1alpha1.WorkloadSource{v1alpha1.WorkloadPods, v1alpha1.WorkloadControllers}

// Find finds by which name a Reading has the repository at a host and path; see named.Find.
type Find = named.Find

// ReadImages reads which images the workloads of all namespaces use, for the mirror, from lists that begin after it is
// called. Its sources are those of the mirror's store. find says which images count. A Use of an image has its tag and its
// digest, as it is named; what a node has pulled is Seen. Errors are those of the context.
func (r *Reader) ReadImages(ctx context.Context, mirror *v1alpha1.ArtifactStore, find Find) (*Reading, error) {
	of := scope{of: mirror.Namespace, most: func() int { return mostOfImages }, names: named.Names{Inside: find, Images: true}, selector: labels.Everything(), sources: defaultSources, before: mirror.Status.Workloads}
	if w := mirror.Spec.Workloads; w != nil && len(w.Sources) > 0 {
		of.sources = w.Sources
	}
	return r.read(ctx, of)
}

// errNotInstalled: the API server does not have the CustomResourceDefinition of any kind of a source.
var errNotInstalled = errors.New("none of its CustomResourceDefinitions is installed")

// state says how the reading of a source ended.
func (r *Reader) state(before *v1alpha1.WorkloadSourceStatus, source v1alpha1.WorkloadSource, c *collector, err error) v1alpha1.WorkloadSourceStatus {
	state := v1alpha1.WorkloadSourceStatus{Name: source, State: v1alpha1.WorkloadsRead, Objects: c.objects, Uses: c.references}
	switch {
	case err == nil:
	case errors.Is(err, errNotInstalled) && r.believed(before):
		state.State, state.Message = v1alpha1.WorkloadsNotInstalled, err.Error()
	case errors.Is(err, errNotInstalled):
		state.State = v1alpha1.WorkloadsFailed
		state.Message = fmt.Sprintf("%s, and it was read before. Install it again, or remove %s from spec.workloads.sources; nfo believes after %s that it has gone", err, source, goneFor)
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		state.State, state.Message = v1alpha1.WorkloadsDenied, denial(source, err)
	default:
		state.State, state.Message = v1alpha1.WorkloadsFailed, err.Error()
	}
	state.Message = v1alpha1.Clip(v1alpha1.Line(state.Message), 1024)
	state.Since = metav1.NewTime(r.now())
	if before != nil && before.State == state.State {
		state.Since = before.Since
	}
	if state.State == v1alpha1.WorkloadsRead || state.State == v1alpha1.WorkloadsNotInstalled {
		state.ReadAt = new(metav1.NewTime(r.now()))
	} else if before != nil {
		state.ReadAt = before.ReadAt
	}
	return state
}

// believed reports whether the absence of a source's kinds is believed: they were never seen, or not for long.
func (r *Reader) believed(before *v1alpha1.WorkloadSourceStatus) bool {
	if before == nil || before.State == v1alpha1.WorkloadsNotInstalled {
		return true
	}
	return before.State == v1alpha1.WorkloadsFailed && r.now().Sub(before.Since.Time) >= goneFor
}

func denial(source v1alpha1.WorkloadSource, err error) string {
	role, value := "nfo-workloads", "workloads.enabled"
	if source == v1alpha1.WorkloadHelmReleases {
		role, value = "nfo-workloads-helm", "workloads.helmReleases"
	}
	return fmt.Sprintf("%v%s by binding the ClusterRole %s, as the chart does with its values %s and, for purges, workloads.purgers; or remove the source from spec.workloads.sources", err, remedy, role, value)
}

// source reads the kinds of one source, one after the other. seen are its definitions that were seen before. It looks at
// all of them also when one is missing, so that the day after which that is believed begins at once for each.
func (r *Reader) source(ctx context.Context, source v1alpha1.WorkloadSource, namespaces []string, c *collector, seen *[]v1alpha1.WorkloadDefinition) error {
	if source == v1alpha1.WorkloadHelmReleases && r.releases == nil {
		return errNoReleaseReader
	}
	absent, failed := 0, error(nil)
	for _, k := range kinds[source] {
		switch err := r.version(ctx, &k, seen); {
		case errors.Is(err, errNotInstalled):
			absent++
			continue
		case err != nil:
			failed = cmp.Or(failed, err)
			continue
		}
		err := r.kind(ctx, k, namespaces, c)
		if err == nil {
			err = r.version(ctx, &k, seen) // its objects may have gone with it while they were listed
		}
		if err != nil {
			return err
		}
	}
	if absent == len(kinds[source]) {
		return errNotInstalled
	}
	return failed
}

// objectError is about one object of a list, which it names.
type objectError struct{ error }

func (e *objectError) Unwrap() error { return e.error }

// kind lists one kind in each namespace.
func (r *Reader) kind(ctx context.Context, k listed, namespaces []string, c *collector) error {
	lists, listing := errgroup.WithContext(ctx)
	lists.SetLimit(listsAtOnce)
	if k.finish != nil {
		lists.SetLimit(1)
	}
	for _, ns := range namespaces {
		lists.Go(func() error {
			err := r.list(listing, k, ns, func(one livelist.Decoder) error { return k.read(c, one) }, func() error {
				if k.finish == nil {
					return nil
				}
				return k.finish(listing, c, false)
			})
			if object := new(objectError); errors.As(err, &object) {
				return object // it is about the object, and not about the list
			}
			return err
		})
	}
	if err := lists.Wait(); err != nil || k.finish == nil {
		return err
	}
	return k.finish(ctx, c, true)
}

// namespaces are those that are selected; "" for all.
func (r *Reader) namespaces(ctx context.Context, selector labels.Selector) (names []string, err error) {
	if selector.Empty() {
		return []string{""}, nil
	}
	k := workloadKind("", "namespaces", "Namespace")
	k.labels = selector.String()
	err = r.list(ctx, k, "", func(one livelist.Decoder) error {
		var ns struct {
			Metadata metadata `json:"metadata"`
		}
		err := one.Decode(&ns)
		names = append(names, ns.Metadata.Name)
		return err
	}, func() error { return nil })
	return names, err
}

// list reads a list, page by page. It calls paged after each page, while no answer is open.
func (r *Reader) list(ctx context.Context, k listed, namespace string, each func(livelist.Decoder) error, paged func() error) error {
	for token := ""; ; {
		meta, err := livelist.Page(ctx, r.page(k, namespace, token), k.kind+"List", each)
		if err != nil {
			return fmt.Errorf("listing %s: %w", k.Resource, err)
		}
		if err := paged(); err != nil {
			return err
		}
		if token = meta.Continue; token == "" {
			return nil
		}
	}
}

// page is the request for one answer of a list.
func (r *Reader) page(k listed, namespace, token string) *rest.Request {
	q := r.api.Get().AbsPath(root(k)...)
	if namespace != "" {
		q = q.Namespace(namespace)
	}
	q = q.Resource(k.Resource).Param("limit", strconv.Itoa(cmp.Or(k.page, pageSize)))
	for name, value := range map[string]string{"continue": token, "fieldSelector": k.fields, "labelSelector": k.labels} {
		if value != "" {
			q = q.Param(name, value)
		}
	}
	return q
}

// root is where the resources of a group and version are.
func root(k listed) []string {
	if k.Group == "" {
		return []string{"api", k.Version}
	}
	return []string{"apis", k.Group, k.Version}
}
