package controller

import (
	"context"
	"errors"

	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/nfo-operator/nfo/internal/controller/pod"
)

// setupPods adds the creation of Artifacts for images that pods use, in
// every replica, and the repair of pods that cannot pull their images.
func setupPods(ctx context.Context, mgr manager.Manager, o Options) error {
	if err := o.MirrorFacts.Setup(ctx, mgr); err != nil {
		return err
	}
	o.Used.Client = mgr.GetClient()
	repairer, err := pod.New(mgr.GetConfig(), mgr.GetHTTPClient(), pod.Options{
		Client: mgr.GetClient(), Facts: o.MirrorFacts, Events: mgr.GetEventRecorder("nfo"), Uses: o.Used, Clock: o.Clock, Now: o.now, Interval: o.RepairInterval,
	})
	if err != nil {
		return err
	}
	return errors.Join(mgr.Add(o.Used), mgr.Add(repairer))
}
