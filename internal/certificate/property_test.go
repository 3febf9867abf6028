package certificate

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// chaos is several replicas in one cluster. Before and after every request of a replica,
// others may make a pass, time may pass, and the request or its answer may be lost.
type chaos struct {
	t        *testing.T
	rand     *rand.Rand
	clk      *clocktesting.FakeClock
	cluster  client.WithWatch
	replicas []*Keeper
	busy     []bool
	depth    int
	h        history
	checks   int
	leaves   map[string]bool
	verified map[string]bool // by leaf and bundle, so that each pair is verified once
}

var errLost = errors.New("the connection was lost")

func newChaos(t *testing.T, seed uint64) *chaos {
	c := &chaos{
		t: t, rand: rand.New(rand.NewPCG(seed, 0)), clk: clocktesting.NewFakeClock(start), leaves: map[string]bool{}, verified: map[string]bool{},
		cluster: aCluster(aConfiguration()), replicas: make([]*Keeper, 3), busy: make([]bool, 3),
	}
	for i := range c.replicas {
		c.restart(i)
	}
	return c
}

func (c *chaos) restart(i int) {
	around := func(request func() error) error {
		c.between()
		if c.rand.IntN(40) == 0 {
			return errLost
		}
		err := request()
		c.record()
		c.between()
		if c.rand.IntN(40) == 0 {
			return errLost
		}
		return err
	}
	c.replicas[i] = aKeeper(interceptor.NewClient(c.cluster, interceptor.Funcs{
		Get: func(ctx context.Context, w client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return around(func() error { return w.Get(ctx, key, o, opts...) })
		},
		Create: func(ctx context.Context, w client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return around(func() error { return w.Create(ctx, o, opts...) })
		},
		Update: func(ctx context.Context, w client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			return around(func() error { return w.Update(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, w client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return around(func() error { return w.Patch(ctx, o, p, opts...) })
		},
	}), c.clk)
}

// between does what may happen while a replica waits for an answer.
func (c *chaos) between() {
	switch {
	case c.rand.IntN(20) == 0:
		c.clk.Step(time.Duration(c.rand.IntN(int(10 * time.Second))))
	case c.depth < 3 && c.rand.IntN(12) == 0:
		c.pass(c.rand.IntN(len(c.replicas)))
	}
}

// pass makes a pass of one replica, unless that replica is making one already. Errors are expected.
func (c *chaos) pass(i int) {
	if c.busy[i] {
		return
	}
	c.busy[i], c.depth = true, c.depth+1
	_ = c.replicas[i].Ensure(c.t.Context())
	c.busy[i], c.depth = false, c.depth-1
	c.check()
}

// record records the injected bundle.
func (c *chaos) record() {
	if bundle := injected(c.t, c.cluster); len(bundle) > 0 {
		c.h.add(c.clk.Now(), bundle)
	}
}

// check checks the property: the leaf that a ready replica serves verifies
// against every bundle that was injected within the last overlap.
func (c *chaos) check() {
	c.t.Helper()
	now := c.clk.Now()
	for i, k := range c.replicas {
		leaf := k.serving.Load()
		if leaf == nil || k.Ready(nil) != nil {
			continue
		}
		c.leaves[leaf.Leaf.SerialNumber.String()] = true
		for j := len(c.h.entries) - 1; j >= 0; j-- {
			c.checks++
			pair := leaf.Leaf.SerialNumber.String() + c.h.entries[j].bundle
			c.verified[pair] = c.verified[pair] || good(leaf, parseBundle([]byte(c.h.entries[j].bundle)), names, now)
			if !c.verified[pair] {
				c.t.Fatalf("%s: replica %d serves a leaf that bundle %d of %d does not verify, injected at %s", now, i, j+1, len(c.h.entries), c.h.entries[j].from)
			}
			if !c.h.entries[j].from.After(now.Add(-overlap)) {
				break // the earlier ones were replaced more than an overlap ago
			}
		}
	}
}

// pause steps the clock, usually by seconds or minutes, sometimes by weeks.
func (c *chaos) pause(rare int, long time.Duration) {
	d := time.Duration(c.rand.Int64N(int64(5 * time.Minute)))
	if c.rand.IntN(rare) == 0 {
		d = time.Duration(c.rand.Int64N(int64(long)))
	}
	c.clk.Step(d)
}

// The property must hold for any order in which replicas run,
// crash and lose answers, through jumps of time and rotations.
func TestServedLeavesVerify(t *testing.T) {
	t.Parallel()
	checks, leaves, bundles := 0, 0, 0
	for seed := range uint64(4) {
		c := newChaos(t, seed)
		for range 400 {
			c.pause(12, 300*day)
			if i := c.rand.IntN(len(c.replicas)); c.rand.IntN(25) == 0 && !c.busy[i] {
				c.restart(i)
			}
			c.pass(c.rand.IntN(len(c.replicas)))
		}
		checks, leaves, bundles = checks+c.checks, leaves+len(c.leaves), bundles+len(c.h.entries)
	}
	t.Logf("%d checks, %d leaves, %d bundles", checks, leaves, bundles)
	if leaves < 40 || bundles < 12 {
		t.Errorf("%d leaves and %d bundles: nothing was tried", leaves, bundles)
	}
}

// The property must also hold for replicas that stay ready while the Secret is
// deleted, damaged or restored from a copy, and the configuration is emptied.
func TestServedLeavesVerifyThroughDamage(t *testing.T) {
	t.Parallel()
	checks, leaves, damages := 0, 0, 0
	for seed := range uint64(3) {
		c := newChaos(t, seed)
		c.allReady()
		var copies []corev1.Secret
		for range 200 {
			c.pause(10, maxAge-5*time.Minute)
			if c.rand.IntN(25) == 0 {
				damages++
				copies = c.damage(copies)
			}
			c.pass(c.rand.IntN(len(c.replicas)))
			c.allReady()
		}
		checks, leaves = checks+c.checks, leaves+len(c.leaves)
	}
	t.Logf("%d checks, %d leaves, %d damages", checks, leaves, damages)
	if leaves < 5 || damages < 10 {
		t.Errorf("%d leaves, %d damages: nothing was tried", leaves, damages)
	}
}

// allReady makes passes of every replica until one has succeeded.
func (c *chaos) allReady() {
	for i, k := range c.replicas {
		for before := c.clk.Now(); k.passed.Load() == nil || k.passed.Load().Before(before); {
			c.pass(i)
		}
	}
}

// damage damages the Secret or the configuration in one of many ways, and adds a copy of the Secret to copies.
func (c *chaos) damage(copies []corev1.Secret) []corev1.Secret {
	c.t.Helper()
	var s corev1.Secret
	if err := c.cluster.Get(c.t.Context(), client.ObjectKey{Namespace: namespace, Name: secretName}, &s); err != nil {
		return copies // deleted just before
	}
	if string(injected(c.t, c.cluster)) != string(encodeBundle(decode(&s).bundle)) {
		return copies // authorities that are lost in both places cannot be recovered
	}
	copies = append(copies, *s.DeepCopy())
	parts := []string{"ca.crt", "tls.crt", "tls.key", "signer.crt", "signer.key"}
	var err error
	switch c.rand.IntN(5) {
	case 0:
		err = c.cluster.Delete(c.t.Context(), &s)
	case 1:
		s.Data = nil
		err = c.cluster.Update(c.t.Context(), &s)
	case 2:
		s.Data[parts[c.rand.IntN(len(parts))]] = []byte("nonsense")
		err = c.cluster.Update(c.t.Context(), &s)
	case 3:
		old := copies[c.rand.IntN(len(copies))]
		s.Data, s.Annotations = old.Data, old.Annotations
		err = c.cluster.Update(c.t.Context(), &s)
	case 4:
		o := aConfiguration()
		err = c.cluster.Delete(c.t.Context(), o)
		if err == nil {
			o.ObjectMeta = metav1.ObjectMeta{Name: hookName}
			err = c.cluster.Create(c.t.Context(), o)
		}
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return copies
}
