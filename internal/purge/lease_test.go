package purge

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgofake "k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func aLease(c *clientgofake.Clientset, identity string) lease {
	return lease{
		client: c.CoordinationV1(), store: storeKey, identity: identity, log: slog.New(slog.DiscardHandler),
		times: leaseTimes{duration: 4 * time.Second, renew: 2 * time.Second, retry: 20 * time.Millisecond, wait: time.Second},
	}
}

func TestI13SecondPurgeIsTold(t *testing.T) {
	t.Parallel()
	c := clientgofake.NewClientset()
	err := aLease(c, "first").hold(t.Context(), func(ctx context.Context) error {
		return aLease(c, "second").hold(ctx, func(context.Context) error {
			t.Error("two purges run at the same time")
			return nil
		})
	})
	if !errors.Is(err, ErrRunning) || !strings.Contains(err.Error(), "first holds Lease publisher/acme-purge") {
		t.Errorf("the error is %v, want ErrRunning that names the holder", err)
	}
	ran := false
	err = aLease(c, "third").hold(t.Context(), func(context.Context) error { ran = true; return nil })
	if err != nil || !ran {
		t.Errorf("a released lease was not taken: %v", err)
	}
}

func TestLeaseOfTheDeadIsTaken(t *testing.T) {
	t.Parallel()
	l := aLease(clientgofake.NewClientset(&coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "acme-purge"},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: new("dead"), LeaseDurationSeconds: new(int32(1)),
			RenewTime: new(metav1.NewMicroTime(now)), AcquireTime: new(metav1.NewMicroTime(now)),
		},
	}), "us")
	l.times.wait = 10 * time.Second
	ran := false
	if err := l.hold(t.Context(), func(context.Context) error { ran = true; return nil }); err != nil || !ran {
		t.Errorf("the lease was not taken: %v", err)
	}
}

func TestLosingTheLeaseStopsTheSweep(t *testing.T) {
	t.Parallel()
	c := clientgofake.NewClientset()
	var away atomic.Bool
	c.PrependReactor("update", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
		return away.Load(), nil, errors.New("the API server is away")
	})
	err := aLease(c, "us").hold(t.Context(), func(ctx context.Context) error {
		away.Store(true)
		<-ctx.Done()
		return context.Cause(ctx)
	})
	if !errors.Is(err, errLeaseLost) {
		t.Errorf("the error is %v, want errLeaseLost", err)
	}
}

func TestLeaseThatCannotBeHad(t *testing.T) {
	t.Parallel()
	c := clientgofake.NewClientset()
	c.PrependReactor("*", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(coordinationv1.Resource("leases"), "acme-purge", errors.New("no role"))
	})
	err := aLease(c, "us").hold(t.Context(), func(context.Context) error { return nil })
	if !apierrors.IsForbidden(err) || errors.Is(err, ErrRunning) {
		t.Errorf("the error is %v, want the API server's", err)
	}
}

func TestLeaseIsReleasedAfterTheLastWrite(t *testing.T) {
	t.Parallel()
	c := clientgofake.NewClientset()
	ctx, cancel := context.WithCancel(t.Context())
	err := aLease(c, "us").hold(ctx, func(working context.Context) error {
		cancel()
		<-working.Done()
		l, err := c.CoordinationV1().Leases(namespace).Get(t.Context(), "acme-purge", metav1.GetOptions{})
		if err == nil && *l.Spec.HolderIdentity != "us" {
			t.Error("the lease is released while the sweep still writes")
		}
		return errors.Join(err, context.Cause(working))
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v, want context.Canceled", err)
	}
}
