// Package crashtest simulates the end of a process between any two of its writes.
//
// Contract: a fake API server with [Crash.Funcs] and a registry with [Crash.Refuse]
// accept the number of writes of [Crash.Set] and then either refuse all further
// writes or one. [AtEveryWrite] runs a test case once for each write in it.
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
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// ErrCrashed is the error of all writes after the simulated end of the process.
var ErrCrashed = errors.New("the process is dead")

// Crash lets a number of writes through, to the API server and to registries together, and then refuses
// all further writes, or one write: at the API server with a conflict. It is safe for concurrent use.
type Crash struct {
	mu     sync.Mutex
	left   int // remaining writes; below 0: no limit
	once   bool
	writes int
	made   int // created objects, for their UIDs
}

// NewCrash returns a Crash without a limit.
func NewCrash() *Crash { return &Crash{left: -1} }

// Set starts counting from 0, and allows left writes; below 0
// for no limit. With once, only the write after them is refused.
func (c *Crash) Set(left int, once bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left, c.once, c.writes = left, once, 0
}

// Writes returns how many writes were tried since Set.
func (c *Crash) Writes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writes
}

// passes counts a write, and reports whether it is allowed. once reports whether further writes are.
func (c *Crash) passes() (allowed, once bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes++
	if c.left == 0 {
		if c.once {
			c.left = -1
		}
		return false, c.once
	}
	c.left--
	return true, c.once
}

// try executes a write, or returns the API server's error for a write that is refused.
func (c *Crash) try(write func() error) error {
	switch allowed, once := c.passes(); {
	case allowed:
		return write()
	case once:
		return apierrors.NewConflict(schema.GroupResource{Resource: "any"}, "any", errors.New("somebody else wrote"))
	}
	return ErrCrashed
}

// Refuse answers a write to a registry if it is refused. It reports whether it has answered.
func (c *Crash) Refuse(rw http.ResponseWriter, req *http.Request) bool {
	if req.Method == http.MethodGet || req.Method == http.MethodHead {
		return false
	}
	if allowed, _ := c.passes(); allowed {
		return false
	}
	rw.WriteHeader(http.StatusForbidden) // clients do not retry after this status
	return true
}

// complete sets the fields of a new object that the fake API server does not set.
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

// Funcs returns the functions of a fake API server that refuses writes.
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
		DeleteAllOf: func(ctx context.Context, api client.WithWatch, o client.Object, opts ...client.DeleteAllOfOption) error {
			return c.try(func() error { return api.DeleteAllOf(ctx, o, opts...) })
		},
		Apply: func(ctx context.Context, api client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			return c.try(func() error { return api.Apply(ctx, o, opts...) })
		},
		SubResourceCreate: func(ctx context.Context, api client.Client, sub string, o, made client.Object, opts ...client.SubResourceCreateOption) error {
			return c.try(func() error { return api.SubResource(sub).Create(ctx, o, made, opts...) })
		},
		SubResourceApply: func(ctx context.Context, api client.Client, sub string, o runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
			return c.try(func() error { return api.SubResource(sub).Apply(ctx, o, opts...) })
		},
		SubResourceUpdate: func(ctx context.Context, api client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			return c.try(func() error { return api.SubResource(sub).Update(ctx, o, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, api client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			return c.try(func() error { return api.SubResource(sub).Patch(ctx, o, p, opts...) })
		},
	}
}

// AtEveryWrite runs story repeatedly. Each time the process ends at another write, from the first write until after
// the last one, and story then continues with a process that has just started. Then the same with only one refused
// write, which fails with a conflict. story returns how many writes it tried, which must be at least least.
func AtEveryWrite(t *testing.T, least int, story func(t *testing.T, at int, once bool) (writes int)) {
	t.Helper()
	for _, once := range []bool{false, true} {
		t.Run(fmt.Sprint("Once=", once), func(t *testing.T) {
			t.Parallel()
			if writes := runToEnd(t, once, story); writes < least {
				t.Errorf("it ends after %d writes, want at least %d", writes, least)
			}
		})
	}
}

// runToEnd runs story with one more allowed write each time until story
// reaches its end. It returns the number of writes of the whole story.
func runToEnd(t *testing.T, once bool, story func(t *testing.T, at int, once bool) int) int {
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
