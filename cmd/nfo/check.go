package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
	"github.com/nfo-operator/nfo/internal/terminal"
)

const checkHelp = `Checks that the operator works, from inside the cluster or from outside: that the API server has its
kinds, that its Deployment is available, and that its webhooks answer through their Service with a
certificate that the API server trusts. For that it asks the API server, as a dry run, to create an
ArtifactStore that only a webhook can refuse. It changes nothing. With --registry, the Deployment of the
registry must be available, too: it is while its volume and its certificate can be used.

For each store with spec.workloads it then says of each source whether the operator could read it, and how long
ago. These lines are from the stores' status: the operator's rights count, and not those of this program.

It waits up to --timeout for checks that do not pass yet.

Exit codes:
  0  it works
  1  it does not; do what is said, and run this again
  2  wrong usage`

// checkInterval is how often a check is repeated while waiting for it to pass.
const checkInterval = time.Second

// checkFlags holds the flags of `nfo check`.
type checkFlags struct {
	namespace string
	registry  bool
	timeout   time.Duration
	clusterFlags
}

func newCheckCommand() *cobra.Command {
	var flags checkFlags
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check that the operator works",
		Long:  checkHelp,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &exitError{cronjob.ExitUsage, fmt.Errorf("unexpected argument %q", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, api, err := flags.connect(requestTimeout)
			if err == nil {
				err = runCheck(cmd.Context(), api, flags, terminal.Text(cmd.OutOrStdout()))
			}
			if err != nil {
				return &exitError{cronjob.ExitFailed, err}
			}
			return nil
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &exitError{cronjob.ExitUsage, err} })
	f := cmd.Flags()
	f.StringVarP(&flags.namespace, "namespace", "n", v1alpha1.ManagerNamespace, "namespace of the operator")
	f.BoolVar(&flags.registry, "registry", false, "check the registry that nfo ships, too")
	f.DurationVar(&flags.timeout, "timeout", time.Minute, "total time to wait for the checks to pass; 0 disables waiting")
	flags.add(cmd)
	return cmd
}

// +kubebuilder:rbac:groups=apps,namespace=nfo-system,resources=deployments,resourceNames=nfo-manager;nfo-registry,verbs=get
// +kubebuilder:rbac:groups=nfo.dev,namespace=nfo-system,resources=artifactstores,verbs=create

// runCheck reports each step that passes, and returns why the first one does not pass within the timeout.
func runCheck(ctx context.Context, api client.Client, flags checkFlags, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, flags.timeout)
	defer cancel()
	type step struct {
		holds string
		check func(context.Context, client.Client, string) error
	}
	steps := []step{{"the API server has the operator's kinds", checkKinds}, {"the operator runs", checkManager}, {"the webhooks answer", checkWebhooks}}
	if flags.registry {
		steps = append(steps, step{"the registry runs", checkRegistry})
	}
	for _, step := range steps {
		if err := await(ctx, func(ctx context.Context) error { return step.check(ctx, api, flags.namespace) }); err != nil {
			return err
		}
		fmt.Fprintln(out, "ok:", step.holds)
	}
	if err := await(ctx, func(ctx context.Context) error { return checkPods(ctx, api, flags.namespace) }); err != nil {
		return err
	}
	var lines []string
	err := await(ctx, func(ctx context.Context) (err error) {
		lines, err = checkWorkloads(ctx, api, time.Now())
		return err
	})
	for _, line := range lines {
		fmt.Fprintln(out, line)
	}
	return err
}

// await repeats a check until it passes. When ctx ends, it returns the last error of the check.
func await(ctx context.Context, check func(context.Context) error) error {
	var why error
	err := wait.PollUntilContextCancel(ctx, checkInterval, true, func(ctx context.Context) (bool, error) {
		// A check that the end of the wait interrupted would say nothing about the operator.
		why = check(context.WithoutCancel(ctx))
		return why == nil, nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return why
	}
	if err != nil {
		return errors.Join(why, err)
	}
	return nil
}

// checkKinds checks that the API server has all kinds in the version of this program.
func checkKinds(_ context.Context, api client.Client, _ string) error {
	v := v1alpha1.GroupVersion
	for _, kind := range append(v1alpha1.Kinds(), v1alpha1.KindArtifact) {
		_, err := api.RESTMapper().RESTMapping(schema.GroupKind{Group: v.Group, Kind: kind}, v.Version)
		switch {
		case apimeta.IsNoMatchError(err):
			return fmt.Errorf("the API server does not have the kind %s of %s: its CustomResourceDefinition is missing, or of another version of nfo; upgrade the chart with crds.install=true, and if it was deleted apply its objects again, which went with it", kind, v)
		case err != nil:
			return fmt.Errorf("asking the API server for its kinds: %w", err)
		}
	}
	return nil
}

// checkManager checks that the manager's Deployment has an available replica.
func checkManager(ctx context.Context, api client.Client, namespace string) error {
	return checkDeployment(ctx, api, namespace, v1alpha1.ManagerName, "the operator", "manager")
}

// checkRegistry checks that the registry's Deployment has an available replica.
// A replica is ready while its volume and its certificate can be used.
func checkRegistry(ctx context.Context, api client.Client, namespace string) error {
	return checkDeployment(ctx, api, namespace, v1alpha1.RegistryName, "the registry", "registry")
}

// checkDeployment checks that a Deployment has been observed in its present form, and has updated and available replicas.
func checkDeployment(ctx context.Context, api client.Client, namespace, name, what, component string) error {
	var d appsv1.Deployment
	err := api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &d)
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("no Deployment %s in the namespace %s: if nfo is in another one, say so with --namespace; otherwise install it", name, namespace)
	case err != nil:
		return fmt.Errorf("reading the Deployment %s/%s: %w", namespace, name, err)
	case d.Spec.Replicas != nil && *d.Spec.Replicas == 0:
		return fmt.Errorf("%s is stopped: Deployment %s/%s has no replicas; start it with kubectl scale -n %[2]s deployment/%[3]s --replicas=1", what, namespace, d.Name)
	case d.Status.ObservedGeneration >= d.Generation && d.Status.AvailableReplicas > 0 && d.Status.UpdatedReplicas > 0:
		return nil
	}
	var said []string
	for _, c := range d.Status.Conditions {
		if (c.Status == corev1.ConditionTrue) == (c.Type == appsv1.DeploymentReplicaFailure) && c.Message != "" {
			said = append(said, c.Message)
		}
	}
	return fmt.Errorf("%s does not run: Deployment %s/%s has no replica that is ready (%s); see kubectl describe pod -n %[2]s -l app.kubernetes.io/component=%[5]s, and kubectl logs -n %[2]s deployment/%[3]s",
		what, namespace, d.Name, strings.Join(append(said, fmt.Sprintf("%d of %d updated, %d available", d.Status.UpdatedReplicas, d.Status.Replicas, d.Status.AvailableReplicas)), " "), component)
}
