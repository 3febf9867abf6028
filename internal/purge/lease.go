package purge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/internal/purge/cronjob"
)

// ErrRunning is wrapped if a purge does not begin because another purge of the store is running.
var ErrRunning = errors.New("another purge of the store is running")

// errLeaseLost ends a sweep that could not renew its Lease in time.
var errLeaseLost = errors.New("the lease was lost")

// leaseTimes are the times of a Lease. The Lease of a purge that died can be taken
// after duration and one retry, so wait is a little longer than both together.
type leaseTimes struct{ duration, renew, retry, wait time.Duration }

var usualTimes = leaseTimes{duration: 15 * time.Second, renew: 10 * time.Second, retry: 2 * time.Second, wait: 20 * time.Second}

// lease is the Lease that a purge holds while it sweeps a store (I13).
type lease struct {
	client   coordinationv1client.LeasesGetter
	store    client.ObjectKey
	identity string
	times    leaseTimes
	log      *slog.Logger
}

// hold runs act while it holds the Lease. The context of act ends when the Lease is lost. The Lease
// is released only after act has returned. Errors wrap ErrRunning if another purge holds the Lease.
func (l lease) hold(ctx context.Context, act func(context.Context) error) error {
	// Not ctx, because a purge that was asked to stop needs the Lease until its last write.
	electing, stop := context.WithCancel(klog.NewContext(context.WithoutCancel(ctx), klog.Logger{}))
	defer stop()
	leading := make(chan context.Context, 1)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: l.store.Namespace, Name: cronjob.LeaseName(l.store.Name)},
			Client:     l.client,
			LockConfig: resourcelock.ResourceLockConfig{Identity: l.identity},
			Labels:     cronjob.Labels(),
		},
		LeaseDuration: l.times.duration, RenewDeadline: l.times.renew, RetryPeriod: l.times.retry,
		ReleaseOnCancel: true,
		Name:            cronjob.LeaseName(l.store.Name),
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(lead context.Context) { leading <- lead },
			OnStoppedLeading: func() {},
			OnNewLeader: func(identity string) {
				if identity != l.identity && identity != "" {
					l.log.Info("Waiting for the lease", "lease", cronjob.LeaseName(l.store.Name), "holder", identity)
				}
			},
		},
	})
	if err != nil {
		return fmt.Errorf("preparing the lease: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		elector.Run(electing)
	}()
	defer func() { stop(); <-ended }() // the Lease is released before hold returns

	timeout := time.NewTimer(l.times.wait)
	defer timeout.Stop()
	select {
	case lead := <-leading:
		working, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		defer context.AfterFunc(lead, func() { cancel(errLeaseLost) })()
		return act(working)
	case <-ctx.Done():
		return fmt.Errorf("waiting for the lease: %w", context.Cause(ctx))
	case <-timeout.C:
		return l.unheld(ctx, elector.GetLeader())
	}
}

// unheld returns why the Lease could not be taken.
func (l lease) unheld(ctx context.Context, holder string) error {
	if holder != "" && holder != l.identity {
		return fmt.Errorf("%w: %s holds Lease %s/%s", ErrRunning, holder, l.store.Namespace, cronjob.LeaseName(l.store.Name))
	}
	// The elector does not return its errors.
	_, err := l.client.Leases(l.store.Namespace).Get(ctx, cronjob.LeaseName(l.store.Name), metav1.GetOptions{})
	if err == nil {
		err = errors.New("it cannot be written")
	}
	return fmt.Errorf("taking Lease %s/%s: %w", l.store.Namespace, cronjob.LeaseName(l.store.Name), err)
}
