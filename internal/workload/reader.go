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
	pageSize = 500 // objects of one page, for kinds without their own page size
	// readingsAtOnce bounds the readings of a Reader that run at
	// the same time. They are of different namespaces; others wait.
	readingsAtOnce = 2
	// listsAtOnce bounds the concurrent requests of one reading.
	listsAtOnce = 4
	// mostOfStore and mostOfImages bound the memory of the uses that a reading finds, in bytes. A use takes about 300.
	mostOfStore, mostOfImages = 32 << 20, 64 << 20
	// goneFor is how long a kind that was read before must be missing until nfo accepts that it was removed.
	goneFor = 24 * time.Hour
)

// Reader reads which images and charts workloads use. It is safe for concurrent use.
type Reader struct {
	api   rest.Interface
	clock clock.PassiveClock
	now   func() time.Time
	slots chan struct{}
	// turns has one slot for each namespace with stores, so that a namespace with many stores does not delay others.
	turns sync.Map
	// releases decodes release records; nil if this program cannot decode them.
	releases ReleaseReader
	decoded  *decoded.Records
}

// NewReader returns a Reader for an API server. now is the API server's time. If releases is nil, HelmReleases is Failed.
func NewReader(kube *rest.Config, through *http.Client, releases ReleaseReader, c clock.PassiveClock, now func() time.Time) (*Reader, error) {
	api, err := livelist.Streams(kube, through)
	if err != nil {
		return nil, err
	}
	return &Reader{api: api, clock: c, now: now, slots: make(chan struct{}, readingsAtOnce), releases: releases, decoded: decoded.New(c)}, nil
}

// Read returns what the workloads that a store selects use of it, from lists that begin after the call; nil for a store
// that selects none. The Reading says which sources cannot be read. Errors are those of the context.
func (r *Reader) Read(ctx context.Context, s *v1alpha1.ArtifactStore) (*Reading, error) {
	if s.Spec.Workloads == nil {
		return nil, nil //nolint:nilnil // a nil Reading is one, of nothing
	}
	return r.read(ctx, selection(s))
}

// scope defines what a reading reads.
type scope struct {
	// of is the namespace whose turn the reading takes.
	of    string
	names named.Names
	// limit bounds first the time that the reading waits for its turn, then the time that it takes; 0 means no limit.
	limit time.Duration
	// most returns the bound of the uses in bytes. It is called when the reading begins.
	most     func() int
	selector labels.Selector
	sources  []v1alpha1.WorkloadSource
	// before is the result of the previous reading.
	before *v1alpha1.WorkloadsStatus
	// invalid, if not nil, says why no source can be read.
	invalid error
}

// last returns the previous result of a source, nil if there is none, and a copy of the definitions that were seen before.
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

// turn waits until no other reading of the namespace runs, and then for a free slot.
// The caller must call done also after an error. Errors are those of ctx.
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

// within returns ctx with a timeout, or without one if limit is 0.
func within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if limit == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, limit)
}

// read executes a reading. A source that its limits leave no time for is Failed.
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

// readSources reads the selected sources in the fixed order and returns the state of each. If unknown is not nil, it
// reads nothing, and unknown is the error of every source.
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

// selection returns the scope of a store: what it selects, and the locations by which images reference it.
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

// defaultSources are the sources of the mirror if its store selects none.
var defaultSources = []v1alpha1.WorkloadSource{v1alpha1.WorkloadPods, v1alpha1.WorkloadControllers}

// Find returns the name of the repository at a host and path in a Reading; see named.Find.
type Find = named.Find

// ReadImages returns which images the workloads of all namespaces use, for the mirror, from lists that begin after the
// call. It reads the sources that the mirror's store selects. find says which images count. A Use has both the tag and
// the digest of the image reference; an image that only a node reports is Seen. Errors are those of the context.
func (r *Reader) ReadImages(ctx context.Context, mirror *v1alpha1.ArtifactStore, find Find) (*Reading, error) {
	of := scope{of: mirror.Namespace, most: func() int { return mostOfImages }, names: named.Names{Inside: find, Images: true}, selector: labels.Everything(), sources: defaultSources, before: mirror.Status.Workloads}
	if w := mirror.Spec.Workloads; w != nil && len(w.Sources) > 0 {
		of.sources = w.Sources
	}
	return r.read(ctx, of)
}

// errNotInstalled says that the API server has no CustomResourceDefinition for any kind of a source.
var errNotInstalled = errors.New("none of its CustomResourceDefinitions is installed")

// state returns the status of a source after its reading.
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

// believed reports whether nfo accepts that none of a source's
// kinds exist: they were never seen, or were missing for goneFor.
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

// source reads the kinds of one source, one after the other. seen are the definitions that were seen before. It checks
// the definitions of all kinds even if one is missing, so that goneFor starts at once for each of them.
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
			err = r.version(ctx, &k, seen) // if it was deleted during the list, the list may be incomplete
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

// objectError is an error about one object of a list. Its message names the object.
type objectError struct{ error }

func (e *objectError) Unwrap() error { return e.error }

// kind lists the objects of one kind in each namespace.
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
				return object // without the context of the list
			}
			return err
		})
	}
	if err := lists.Wait(); err != nil || k.finish == nil {
		return err
	}
	return k.finish(ctx, c, true)
}

// namespaces returns the names of the selected namespaces; "" stands for all.
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

// list reads a list, page by page. It calls paged after each page, when no response is open.
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

// page returns the request for one page of a list.
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

// root returns the path of the resources of a group and version.
func root(k listed) []string {
	if k.Group == "" {
		return []string{"api", k.Version}
	}
	return []string{"apis", k.Group, k.Version}
}
