package removal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// pollInterval is how often a wait checks whether it is over.
const pollInterval = time.Second

// again ends an error that says what to do by hand.
const again = "; then run this again"

// ErrNamespace is wrapped when the manager is in another namespace than Config.Namespace. Then nothing has been changed.
var ErrNamespace = errors.New("the manager is in another namespace")

// Config configures one removal.
type Config struct {
	// Client is uncached. Its scheme has the built-in kinds of Kubernetes.
	Client client.Client
	// Namespace is the manager's namespace.
	Namespace string
	// Timeout is the maximum total time to wait for the manager's pods and for purges.
	// It must be above 0. Purges are ended after half of the time that is left for them.
	Timeout time.Duration
	// DryRun only reads, and reports what would be done.
	DryRun bool
	// Out gets a line for each action.
	Out io.Writer
}

// These are the rights of a removal; the roles are generated from them. The namespace is the manager's.
//
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations,resourceNames=nfo-validating,verbs=get;delete
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingwebhookconfigurations,resourceNames=nfo-pods,verbs=get;delete
// +kubebuilder:rbac:groups=apps,namespace=nfo-system,resources=deployments,resourceNames=nfo-manager,verbs=get
// +kubebuilder:rbac:groups=apps,namespace=nfo-system,resources=deployments/scale,resourceNames=nfo-manager,verbs=patch
// +kubebuilder:rbac:groups="",namespace=nfo-system,resources=pods,verbs=list
// +kubebuilder:rbac:groups="",namespace=nfo-system,resources=secrets,resourceNames=nfo-webhook-certificate,verbs=delete
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=nfo-system,resources=leases,resourceNames=nfo-manager,verbs=delete
// +kubebuilder:rbac:groups=batch,resources=cronjobs,verbs=list;patch;delete
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=list;delete
// +kubebuilder:rbac:groups="",resources=serviceaccounts,verbs=list;delete
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=roles;rolebindings,verbs=list;delete
// +kubebuilder:rbac:groups=nfo.dev,resources=artifactstores;artifactmanifests;networkfunctiondefinitionversions;networkservicedesignversions;sitenetworkservices,verbs=get;list;patch

// remover is one removal in progress.
type remover struct {
	Config
	// deadline ends all waits.
	deadline time.Time
}

// Run removes the operator from the cluster; see the package for the order. It can be
// run again at any time. The error joins all failures, each with what to do by hand.
// It wraps ErrNamespace if the manager is in another namespace and nothing was done.
func Run(ctx context.Context, cfg Config) error {
	r := &remover{Config: cfg, deadline: time.Now().Add(cfg.Timeout)}
	if err := r.removeWebhooks(ctx); err != nil {
		return err
	}
	if err := r.stopManager(ctx); err != nil {
		return err
	}
	var failed []error
	for _, step := range []func(context.Context) error{r.removePurges, r.removeLeftovers, r.removeFinalizers} {
		if failed = append(failed, step(ctx)); ctx.Err() != nil {
			break
		}
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	if r.DryRun {
		r.say("done: nothing was changed")
		return nil
	}
	r.say("done: what was installed can be deleted")
	return nil
}

func (r *remover) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.Out, format+"\n", args...) // a closed terminal must not stop the removal
}

// did reports what was done, or what a dry run would do.
func (r *remover) did(step, verb, what string) {
	if r.DryRun {
		r.say("%s: would be %s: %s", step, verb, what)
		return
	}
	r.say("%s: %s: %s", step, verb, what)
}

// until returns once nothing is pending. It checks every pollInterval, and reports what is pending
// whenever that changes. After the deadline its error says what is still pending. A dry run checks once.
func (r *remover) until(ctx context.Context, step string, pending func(context.Context) (string, error)) error {
	waiting, cancel := context.WithDeadline(ctx, r.deadline)
	defer cancel()
	var last string
	err := wait.PollUntilContextCancel(waiting, pollInterval, true, func(context.Context) (bool, error) {
		what, err := pending(ctx) // not bound to the deadline, so that the last check can report what is pending
		if err != nil || what == "" {
			return err == nil, err
		}
		switch {
		case r.DryRun:
			r.did(step, "waited for", what)
		case what != last:
			r.say("%s: waiting for: %s", step, what)
		}
		last = what
		return r.DryRun, nil
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: stopped while waiting for %s: %w", step, last, context.Cause(ctx))
	case waiting.Err() != nil:
		return fmt.Errorf("%s: still waiting after %s for: %s", step, r.Timeout, last)
	}
	return fmt.Errorf("%s: %w", step, err)
}
