// Package crashtest ends a process between any two of its writes.
//
// Contract: what [Crash.Funcs] and [Crash.Refuse] are given to, a fake API server and a real registry, take as many writes
// as [Crash.Set] says and then none, or fail one. [AtEveryWrite] tells a story once for each write of it.
package crashtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// ErrCrashed is what a process gets for its writes once it is dead.
var ErrCrashed = errors.New("the process is dead")

// Crash lets so many writes through, to the API server and to registries together, and then none, or fails one: at the
// API server by a conflict. It is safe for concurrent use.
type Crash struct {
	mu     sync.Mutex
	left   int // below 0: no end
	once   bool
	writes int
	made   int // objects, for their UIDs
}

// NewCrash is one that never comes.
func NewCrash() *Crash { return &Crash{left: -1} }

// Set begins to count, and ends with so many writes; below 0: never.
func (c *Crash) Set(left int, once bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left, c.once, c.writes = left, once, 0
}

// Writes is how many writes were tried since Set.
func (c *Crash) Writes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writes
}

// passes reports whether a write is done.
func (c *Crash) passes() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes++
	if c.left == 0 {
		if c.once {
			c.left = -1
		}
		return false
	}
	c.left--
	return true
}

// try does a write, or is the API server's answer to one that is not done.
func (c *Crash) try(write func() error) error {
	switch {
	case c.passes():
		return write()
	case c.once:
		return apierrors.NewConflict(schema.GroupResource{Resource: "any"}, "any", errors.New("somebody else wrote"))
	}
	return ErrCrashed
}

// Refuse is the answer of a registry to a write that is not done. It reports whether it has answered.
func (c *Crash) Refuse(rw http.ResponseWriter, req *http.Request) bool {
	if req.Method == http.MethodGet || req.Method == http.MethodHead || c.passes() {
		return false
	}
	rw.WriteHeader(http.StatusForbidden) // it is not tried again
	return true
}

// complete gives an object what a fake API server does not.
func (c *Crash) complete(o client.Object) {
	if o.GetCreationTimestamp().Time.IsZero() {
		o.SetCreationTimestamp(metav1.Now())
	}
	if o.GetUID() != "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made++
	o.SetUID(types.UID(fmt.Sprintf("uid-%d-of-%s", c.made, o.GetName())))
}

// Funcs are of a fake API server whose writes end.
func (c *Crash) Funcs() interceptor.Funcs {
	return interceptor.Funcs{
		Create: func(ctx context.Context, api client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return c.try(func() error { c.complete(o); return api.Create(ctx, o, opts...) })
		},
		Update: func(ctx context.Context, api client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			return c.try(func() error { return api.Update(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, api client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return c.try(func() error { return api.Patch(ctx, o, p, opts...) })
		},
		Delete: func(ctx context.Context, api client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return c.try(func() error { return api.Delete(ctx, o, opts...) })
		},
		SubResourceUpdate: func(ctx context.Context, api client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			return c.try(func() error { return api.SubResource(sub).Update(ctx, o, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, api client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			return c.try(func() error { return api.SubResource(sub).Patch(ctx, o, p, opts...) })
		},
	}
}

// AtEveryWrite runs a story again and again: each time it ends with another write, from the first one to behind the last
// one, and is then gone on with by a process that has just started; and the same with one write that fails by a conflict.
// story reports how many writes it has tried until the end. It must have at least so many.
func AtEveryWrite(t *testing.T, least int, story func(t *testing.T, at int, once bool) (writes int)) {
	t.Helper()
	for _, once := range []bool{false, true} {
		t.Run(fmt.Sprint("Once=", once), func(t *testing.T) {
			t.Parallel()
			if writes := behindTheLast(t, once, story); writes < least {
				t.Errorf("it ends after %d writes, want at least %d", writes, least)
			}
		})
	}
}

// behindTheLast runs a story with one write more each time until it comes to its end, and returns how many it has.
func behindTheLast(t *testing.T, once bool, story func(t *testing.T, at int, once bool) int) int {
	t.Helper()
	for at := 0; ; at++ {
		writes := story(t, at, once)
		if t.Failed() {
			t.Fatalf("after %d writes", at)
		}
		if writes <= at {
			return writes
		}
	}
}
