package registry_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/test/program"
)

// The memory for an answer must be a small multiple of the answer's size: allocated is all memory that the
// call allocates, garbage included, and held is the memory that is in use while the caller has the result.
//
// The test is not parallel, because the allocations of other tests would count.
func TestAnswersCostAMultipleOfTheirBytes(t *testing.T) {
	tagged := func(ctx context.Context, c *registry.Client) (any, error) { return c.Tagged(ctx, "app", "1") }
	resolved := func(ctx context.Context, c *registry.Client) (any, error) { return c.Resolve(ctx, "app", "1") }
	tags := func(ctx context.Context, c *registry.Client) (any, error) { return c.Tags(ctx, "app") }
	rows := map[string]struct {
		reason          string
		attack          registrytest.Attack
		call            func(context.Context, *registry.Client) (any, error)
		err             error
		allocated, held float64 // of allocated and held, as multiples of the body
	}{
		"empty children":   {"the first one is invalid", registrytest.EmptyChildren(), resolved, registry.ErrUnreadable, 2, 0.1},
		"many children":    {"no index has so many", registrytest.ManyChildren(), resolved, registry.ErrUnreadable, 6, 0.1},
		"rich children":    {"what nobody reads is not decoded", registrytest.RichChildren(), tagged, nil, 3, 1.5},
		"long config type": {"it is held once more than the bytes", registrytest.LongConfigType(), tagged, nil, 8, 2.5},
		"long number":      {"an error does not repeat it", registrytest.LongNumber(), tagged, registry.ErrUnreadable, 8, 0.1},
		"many tags":        {"shorter ones do not exist: most of what is allocated is garbage at once", registrytest.ManyTags(1 << 20), tags, nil, 64, 6},
		"too many tags":    {"no repository has so many", registrytest.ManyTags(8 << 20), tags, registry.ErrUnreadable, 6, 0.1},
		"page of too many": {"it is not even read", registrytest.ManyTags(9 << 20), tags, registry.ErrUnreadable, 0.2, 0.1},
		"many errors":      {"some say what there is to say", registrytest.ManyErrors(), resolved, registry.ErrUnavailable, 8, 2},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			r, c := start(t)
			r.Attack(row.attack)
			_ = c.Ping(t.Context()) // the connection and other one-time allocations do not count
			allocated, held := memory(func() any {
				v, err := row.call(t.Context(), c)
				if row.err == nil && err != nil || row.err != nil && !errors.Is(err, row.err) {
					t.Errorf("%v, want %v: %s", err, row.err, row.reason)
				}
				return []any{v, err}
			})
			size := float64(max(floor, len(row.attack.Body)))
			t.Logf("allocated %.1f times the bytes, holds %.1f times the bytes", allocated/size, held/size)
			if program.Racing { // the race detector needs additional memory
				return
			}
			if allocated > row.allocated*size || held > row.held*size {
				t.Errorf("%d bytes cost %.0f and then %.0f, want at most %.1f times and %.1f times: %s", len(row.attack.Body), allocated, held, row.allocated, row.held, row.reason)
			}
		})
	}
}

// floor is the minimum size in bytes with which the body of an
// answer counts, because the rest of an answer needs memory, too.
const floor = 64 << 10

// memory returns how many bytes f allocates, and how many of them are in use while its result is held.
func memory(f func() any) (allocated, held float64) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	v := f()
	runtime.ReadMemStats(&after)
	allocated = float64(after.TotalAlloc - before.TotalAlloc)
	runtime.GC()
	runtime.ReadMemStats(&after)
	held = float64(after.HeapAlloc) - float64(before.HeapAlloc)
	runtime.KeepAlive(v)
	return allocated, held
}

func TestEndlessTagsEnd(t *testing.T) {
	t.Parallel()
	r, c := start(t)
	r.Attack(registrytest.EndlessTags())
	_, err := c.Tags(t.Context(), "app")
	if !errors.Is(err, registry.ErrUnreadable) || r.Count(nil) > 70 {
		t.Errorf("%v after %d requests, want ErrUnreadable after 8 MiB, which are 66 pages", err, r.Count(nil))
	}
}

func TestMediaTypesThatNobodyCanStore(t *testing.T) {
	t.Parallel()
	r, c := start(t)
	want := push(t, r.Host, "app", "1", "seed")
	want.MediaType = ""
	r.Attack(r.LongType())
	d, err := c.Resolve(t.Context(), "app", "1")
	if err != nil || d.MediaType != want.MediaType || d.Digest != want.Digest || d.Size != want.Size {
		t.Errorf("%v, %v; want %v: only the digest counts", d, err, want)
	}
}

func TestSlowAnswersEnd(t *testing.T) {
	t.Parallel()
	r := registrytest.Start(t)
	c := open(t, registry.Config{Location: r.Location(""), BodyTimeout: 200 * time.Millisecond})
	r.Attack(registrytest.Drip())
	begun := time.Now()
	_, err := c.Tagged(t.Context(), "app", "1")
	if took := time.Since(begun); !errors.Is(err, registry.ErrUnavailable) || !strings.Contains(err.Error(), "too slowly") || took > 10*time.Second {
		t.Errorf("%v after %s, want ErrUnavailable after 200 ms", err, took)
	}
}

// A tenant whose registries keep as many answers open as they can must leave room for another tenant.
func TestTenantsLeaveRoomForOthers(t *testing.T) {
	t.Parallel()
	budget := registry.NewBudget(4)
	bad, good := registrytest.Start(t), registrytest.Start(t)
	push(t, good.Host, "app", "1", "seed")
	bad.Attack(registrytest.Drip())
	ctx, cancel := context.WithCancel(t.Context())
	var slow sync.WaitGroup
	for range 2 { // two stores of one tenant, with 24 answers of 4 MiB
		c := open(t, registry.Config{Location: bad.Location(""), Budget: budget, Tenant: "bad", BodyTimeout: time.Minute})
		for range 12 {
			slow.Go(func() { _, _ = c.Tagged(ctx, "app", "1") })
		}
	}
	for bad.Count(nil) < 24 {
		runtime.Gosched()
	}
	c := open(t, registry.Config{Location: good.Location(""), Budget: budget, Tenant: "good"})
	soon, end := context.WithTimeout(ctx, 5*time.Second)
	defer end()
	if _, err := c.Tagged(soon, "app", "1"); err != nil {
		t.Errorf("another tenant cannot read: %v", err)
	}
	cancel()
	slow.Wait()
}

// A tenant reads one long list at a time, and another tenant can read one at the same time.
func TestLongListsAreCounted(t *testing.T) {
	t.Parallel()
	held := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, _ := strconv.Atoi(r.URL.Query().Get("last"))
		switch {
		case page == 11 && strings.Contains(r.URL.Path, "/held/"):
			held <- struct{}{}
			<-r.Context().Done()
			return
		case page < 11:
			w.Header().Set("Link", fmt.Sprintf(`<%s?last=%d>; rel="next"`, r.URL.Path, page+1))
		}
		var tags []string
		for i := range 1000 {
			tags = append(tags, strconv.Quote(strconv.Itoa(page*1000+i)))
		}
		say(w, `{"tags":[`+strings.Join(tags, ",")+`]}`)
	}))
	t.Cleanup(server.Close)
	budget := registry.NewBudget(4)
	client := func(tenant string) *registry.Client {
		return open(t, registry.Config{Location: v1alpha1.RegistryLocation{PlainHTTP: true, Host: server.Listener.Addr().String()}, Budget: budget, Tenant: tenant})
	}
	ctx, cancel := context.WithCancel(t.Context())
	var holding sync.WaitGroup
	holding.Go(func() { _, _ = client("bad").Tags(ctx, "held") })
	<-held
	soon, end := context.WithTimeout(ctx, 500*time.Millisecond)
	defer end()
	if _, err := client("bad").Tags(soon, "app"); !errors.Is(err, registry.ErrUnavailable) || !strings.Contains(err.Error(), "too much is being read") {
		t.Errorf("a second long list of the same tenant: %v, want ErrUnavailable", err)
	}
	if tags, err := client("good").Tags(ctx, "app"); err != nil || len(tags) != 12_000 {
		t.Errorf("another tenant lists %d tags (%v), want 12,000", len(tags), err)
	}
	cancel()
	holding.Wait()
}
