package removal

import (
	"context"
	"errors"
	"fmt"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// managerLabels are the labels of the manager's pods. They are used if there is no Deployment to read them from.
var managerLabels = labels.Set{"app.kubernetes.io/name": "nfo", "app.kubernetes.io/component": "manager"}

// removeWebhooks deletes the webhooks unless they call a manager in another namespace. It deletes the webhook of
// pods first, so that no new pod depends on what is removed next. It reads all webhooks before it deletes any.
func (r *remover) removeWebhooks(ctx context.Context) error {
	pods, own := &admissionregistrationv1.MutatingWebhookConfiguration{}, &admissionregistrationv1.ValidatingWebhookConfiguration{}
	pods.Name, own.Name = v1alpha1.MutatingWebhookName, v1alpha1.WebhookConfigurationName
	all := []*hooks{
		{object: pods, kind: "MutatingWebhookConfiguration", optional: true, configs: func() (configs []admissionregistrationv1.WebhookClientConfig) {
			for _, w := range pods.Webhooks {
				configs = append(configs, w.ClientConfig)
			}
			return configs
		}},
		{object: own, kind: "ValidatingWebhookConfiguration", configs: func() (configs []admissionregistrationv1.WebhookClientConfig) {
			for _, w := range own.Webhooks {
				configs = append(configs, w.ClientConfig)
			}
			return configs
		}},
	}
	for _, h := range all {
		if err := r.findWebhooks(ctx, h); err != nil {
			return err
		}
	}
	for _, h := range all {
		if err := r.deleteWebhooks(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

// hooks are the webhooks of one configuration.
type hooks struct {
	object  client.Object
	kind    string
	configs func() []admissionregistrationv1.WebhookClientConfig
	// optional is true for webhooks that only an installation with a mirror has.
	optional, missing bool
}

func (h *hooks) what() string { return h.kind + " " + h.object.GetName() }

// hand returns how to delete the webhooks by hand.
func (h *hooks) hand() string {
	return "by hand: kubectl delete " + strings.ToLower(h.kind) + " " + h.object.GetName() + again
}

func (r *remover) findWebhooks(ctx context.Context, h *hooks) error {
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(h.object), h.object)
	if h.missing = apierrors.IsNotFound(err); h.missing {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w; %s", h.what(), err, h.hand())
	}
	for _, w := range h.configs() {
		if s := w.Service; s != nil && s.Namespace != r.Namespace {
			return fmt.Errorf("%w: %s leads to %s, not to %s; say --namespace=%s", ErrNamespace, h.what(), s.Namespace, r.Namespace, s.Namespace)
		}
	}
	return nil
}

func (r *remover) deleteWebhooks(ctx context.Context, h *hooks) error {
	const step = "webhooks"
	if h.missing {
		if !h.optional {
			r.say("%s: not there: %s", step, h.what())
		}
		return nil
	}
	if !r.DryRun {
		if err := client.IgnoreNotFound(r.Client.Delete(ctx, h.object)); err != nil {
			return fmt.Errorf("deleting %s: %w; %s", h.what(), err, h.hand())
		}
	}
	r.did(step, "deleted", h.what())
	return nil
}

// stopManager scales the manager to 0 and waits until all of its pods have ended.
func (r *remover) stopManager(ctx context.Context) error {
	const step = "manager"
	d := &appsv1.Deployment{}
	d.Namespace, d.Name = r.Namespace, v1alpha1.ManagerName
	what := fmt.Sprintf("Deployment %s/%s", d.Namespace, d.Name)
	hand := fmt.Sprintf("by hand: kubectl scale -n %s deployment/%s --replicas=0%s", d.Namespace, d.Name, again)
	pods := labels.SelectorFromSet(managerLabels)
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(d), d)
	switch {
	case apierrors.IsNotFound(err):
		r.say("%s: not there: %s", step, what)
	case err != nil:
		return fmt.Errorf("reading %s: %w; %s", what, err, hand)
	default:
		if pods, err = metav1.LabelSelectorAsSelector(d.Spec.Selector); err != nil {
			return fmt.Errorf("reading the selector of %s: %w", what, err)
		}
		if err := r.scaleDown(ctx, d); err != nil {
			return fmt.Errorf("scaling %s to 0: %w; %s", what, err, hand)
		}
	}
	err = r.until(ctx, step, func(ctx context.Context) (string, error) { return r.runningManager(ctx, pods) })
	if err != nil {
		return fmt.Errorf("%w; while it may run nothing else can be done. A pod whose node is gone permanently: kubectl delete pod -n %s NAME --force%s", err, d.Namespace, again)
	}
	return nil
}

// scaleDown patches only the scale: the remover has no right to change what the Deployment runs.
func (r *remover) scaleDown(ctx context.Context, d *appsv1.Deployment) error {
	if replicas := d.Spec.Replicas; replicas != nil && *replicas == 0 {
		return nil
	}
	if !r.DryRun {
		none := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"replicas":0}}`))
		err := r.Client.SubResource("scale").Patch(ctx, d.DeepCopy(), none, client.WithSubResourceBody(&autoscalingv1.Scale{}))
		if client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	r.did("manager", "scaled to 0", fmt.Sprintf("Deployment %s/%s", d.Namespace, d.Name))
	return nil
}

// runningManager returns what may still run of the manager, or "" if nothing does. It also reads
// the Deployment, because its controller could create another pod until it has seen the change.
func (r *remover) runningManager(ctx context.Context, selector labels.Selector) (string, error) {
	d := &appsv1.Deployment{}
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: v1alpha1.ManagerName}, d)
	if client.IgnoreNotFound(err) != nil {
		return "", fmt.Errorf("reading Deployment %s/%s: %w", r.Namespace, v1alpha1.ManagerName, err)
	}
	var all corev1.PodList
	if err := r.Client.List(ctx, &all, client.InNamespace(r.Namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return "", fmt.Errorf("listing the pods of %s: %w", r.Namespace, err)
	}
	var running []string
	for _, p := range all.Items {
		if p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			running = append(running, podName(p))
		}
	}
	if len(running) == 0 && (d.Status.ObservedGeneration < d.Generation || d.Status.Replicas > 0) {
		return fmt.Sprintf("Deployment %s/%s to have no replicas", d.Namespace, d.Name), nil
	}
	return strings.Join(running, ", "), nil
}

func podName(p corev1.Pod) string {
	name := fmt.Sprintf("pod %s/%s", p.Namespace, p.Name)
	if p.Spec.NodeName != "" {
		name += " on node " + p.Spec.NodeName
	}
	return name
}

// removeLeftovers deletes what the manager made for itself: its certificate and its
// Lease. The remover has no right to read them, so it deletes them without checking.
func (r *remover) removeLeftovers(ctx context.Context) error {
	secret, lease := &corev1.Secret{}, &coordinationv1.Lease{}
	secret.Name, lease.Name = v1alpha1.WebhookSecretName, v1alpha1.ManagerName
	var failed []error
	for _, o := range []client.Object{secret, lease} {
		o.SetNamespace(r.Namespace)
		kind := strings.TrimPrefix(fmt.Sprintf("%T", o), "*v1.")
		what := fmt.Sprintf("%s %s/%s", kind, o.GetNamespace(), o.GetName())
		if r.DryRun {
			r.did("manager", "deleted", what+", if it is there")
			continue
		}
		err := r.Client.Delete(ctx, o)
		switch {
		case err == nil:
			r.did("manager", "deleted", what)
		case !apierrors.IsNotFound(err):
			failed = append(failed, fmt.Errorf("deleting %s: %w; by hand: kubectl delete %s -n %s %s", what, err, strings.ToLower(kind), o.GetNamespace(), o.GetName()))
		}
	}
	return errors.Join(failed...)
}
