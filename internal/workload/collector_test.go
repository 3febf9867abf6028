package workload

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/workload/named"
)

const digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// acme resolves image references for the store https://r.example/acme.
var acme = named.Names{Inside: named.Places{{Host: "r.example", Prefix: "acme"}}.Inside}

// deployment is the Deployment web of a namespace.
func deployment(namespace string) owned {
	return owned{object: reference.Object{Kind: "Deployment", Namespace: namespace, Name: "web"}}
}

// The uses of a tenant with more uses than there is room for are merged so
// that they still hold everything, and the uses of other tenants stay exact.
func TestI14UsesOfATenantThatHasMostAreCoarse(t *testing.T) {
	t.Parallel()
	const most = 100 << 10
	c := newCollector(named.Names{}, most)
	if err := c.add(nil, "", deployment("b"), map[Use]bool{{Repository: "r2", Tag: "1"}: true}); err != nil {
		t.Fatal(err)
	}
	uses := func(n int) map[Use]bool {
		all := map[Use]bool{}
		for i := range n {
			all[Use{Repository: "r1", Tag: fmt.Sprint(i), Part: "container " + fmt.Sprint(i)}] = true
		}
		return all
	}
	for range 3 {
		if err := c.add(nil, "", deployment("a"), uses(most/useBytes)); err != nil {
			t.Fatal(err)
		}
	}
	r := NewReading(time.Time{}, c.uses())
	if all := r.Of("r1", "never named"); len(all) != 1 || all[0].Holder.String() != "namespaces/a/a" || !all[0].Any {
		t.Errorf("what a uses is %v", all)
	}
	if use, ok := r.All("r1"); !ok || use.Holder.Namespace != "a" || len(r.Digests("r1")) > 0 {
		t.Errorf("what stands for all of r1 is %v", use)
	}
	if _, ok := r.All("r2"); ok || len(r.Of("r2", "1")) != 1 || len(r.Of("r2", "2")) > 0 {
		t.Error("what b uses is not told apart")
	}
	if c.bytes.All() > most {
		t.Errorf("%d bytes are kept", c.bytes.All())
	}
}

// A chart that is known by its digest may be in any repository, whatever its name is.
func TestI14ACoarseUseOfAChartHoldsItAnywhere(t *testing.T) {
	t.Parallel()
	exact := found{deployment("a"), Use{Chart: "upf", Digest: digestA, Whole: true}}
	if use := exact.coarse("a").use; !exact.use.fits("acme/upf-chart", "1", digestA) || !use.fits("acme/upf-chart", "1", digestA) || !use.Whole {
		t.Errorf("it is %+v", use)
	}
	named := found{deployment("a"), Use{Chart: "upf", Tag: "1"}}
	if use := named.coarse("a").use; !use.fits("acme/upf", "2") || use.fits("acme/smf", "1") {
		t.Errorf("by its name it is %+v", use)
	}
}

// If a tenant's uses are too many even after they are merged,
// the error names its namespace, and the source is not read.
func TestI2ATenantThatNamesTooManyRepositories(t *testing.T) {
	t.Parallel()
	c := newCollector(named.Names{}, 10<<10)
	uses := map[Use]bool{}
	for i := range 100 {
		uses[Use{Repository: fmt.Sprintf("r%d", i)}] = true
	}
	if err := c.add(nil, "", deployment("a"), uses); err == nil || !strings.Contains(err.Error(), "namespace a ") {
		t.Errorf("it says %v", err)
	}
}

// Beyond the bound of owners, the direct owner is the holder, and the use still holds.
func TestI14ManyOwnersHold(t *testing.T) {
	t.Parallel()
	c := newCollector(named.Names{}, mostOfStore)
	for i := range maxOwners {
		c.owners[types.UID(fmt.Sprint(i))] = owned{}
	}
	set := owned{object: reference.Object{Kind: "ReplicaSet", Namespace: "a", Name: "web-1"}, above: owner{"web", "Deployment", "web"}}
	if err := c.add(&set, "web-1", set, nil); err != nil {
		t.Fatal(err)
	}
	pod := owned{object: reference.Object{Namespace: "a"}, above: owner{"web-1", "ReplicaSet", "web-1"}}
	if err := c.add(nil, "pod", pod, map[Use]bool{{Repository: "r", Tag: "1"}: true}); err != nil {
		t.Fatal(err)
	}
	if all := usesOf(c); len(all) != 1 || all[0].Holder.String() != "replicasets/a/web-1" {
		t.Errorf("the use is by %v", all)
	}
}

// All stores of a namespace together may keep about as much as one store: many stores do not get a tenant more memory.
func TestStoresOfANamespaceShareWhatIsKept(t *testing.T) {
	t.Parallel()
	k := NewKnown((&api{}).reader(t))
	const full = mostOfStore // the size of each store's reading
	store := func(n int, namespace string) *v1alpha1.ArtifactStore {
		s := aStore(v1alpha1.WorkloadPods)
		s.Namespace, s.UID = namespace, types.UID(fmt.Sprint(namespace, n))
		return s
	}
	var rooms []int
	for n := range 4 {
		rooms = append(rooms, k.room(store(n, "a")))
		s := store(n, "a")
		if _, err := k.Live(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if small := k.room(store(n+1, "a")); n == 0 && small != mostOfStore {
			t.Errorf("beside one that has little there is room for %d bytes", small)
		}
		k.last[s.UID].reading.bytes = full
	}
	if want := []int{mostOfStore, mostOfStore / 2, mostOfStore / 3, mostOfStore / 4}; !slices.Equal(rooms, want) {
		t.Errorf("the stores have room for %v bytes", rooms)
	}
	if again, other := k.room(store(0, "a")), k.room(store(0, "b")); again != mostOfStore/4 || other != mostOfStore {
		t.Errorf("read again there is room for %d, and for another namespace %d", again, other)
	}
}
