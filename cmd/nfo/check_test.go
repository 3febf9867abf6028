package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// checked is a cluster for `nfo check`.
type checked struct {
	kinds   []string
	manager *appsv1.Deployment
	// answer is the API server's answer to the object that a webhook must refuse.
	answer error
	stores []client.Object
}

func sound() checked {
	d := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Replicas: new(int32(2))}}
	d.Namespace, d.Name, d.Generation = "operators", "nfo-manager", 3
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: 3, Replicas: 2, UpdatedReplicas: 2, AvailableReplicas: 2}
	return checked{
		kinds:   []string{"Artifact", "ArtifactStore", "ArtifactManifest", "NetworkFunctionDefinitionVersion", "NetworkServiceDesignVersion", "SiteNetworkService", "Tombstone"},
		manager: d,
		answer: &apierrors.StatusError{ErrStatus: metav1.Status{Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid,
			Message: `admission webhook "artifactstores.nfo.dev" denied the request: ArtifactStore.nfo.dev "nfo-check" is invalid: spec.purge.schedule: Invalid value`}},
	}
}

// unreached returns the error of an API server that could not call a webhook.
func unreached(why string) error {
	return apierrors.NewInternalError(errors.New(`failed calling webhook "artifactstores.nfo.dev": failed to call webhook: Post "https://nfo-webhooks.operators.svc:443/": ` + why))
}

func (c checked) client(t *testing.T) client.Client {
	t.Helper()
	scheme, err := reference.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	known := apimeta.NewDefaultRESTMapper(nil)
	known.Add(appsv1.SchemeGroupVersion.WithKind("Deployment"), apimeta.RESTScopeNamespace)
	for _, kind := range c.kinds {
		known.Add(schema.GroupVersion{Group: "nfo.dev", Version: "v1alpha1"}.WithKind(kind), apimeta.RESTScopeNamespace)
	}
	b := fake.NewClientBuilder().WithScheme(scheme).WithRESTMapper(known).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(_ context.Context, _ client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			var all client.CreateOptions
			all.ApplyOptions(opts)
			if s, ok := o.(*v1alpha1.ArtifactStore); !ok || s.Namespace != "operators" || len(all.DryRun) != 1 || all.DryRun[0] != metav1.DryRunAll {
				t.Errorf("it creates %T %s/%s with %+v, and only a dry run changes nothing", o, o.GetNamespace(), o.GetName(), all)
			}
			return c.answer
		},
	})
	b = b.WithObjects(c.stores...)
	if c.manager != nil {
		b = b.WithObjects(c.manager)
	}
	return b.Build()
}

func TestCheck(t *testing.T) {
	t.Parallel()
	const kinds, runs, answer = "ok: the API server has the operator's kinds\n", "ok: the operator runs\n", "ok: the webhooks answer\n"
	for name, tc := range map[string]struct {
		reason string
		change func(*checked)
		out    string
		says   []string // of the error; nil for none
	}{
		"Sound":     {"the webhook refused", func(*checked) {}, kinds + runs + answer, nil},
		"NoKind":    {"a CRD is missing", func(c *checked) { c.kinds = c.kinds[:6] }, "", []string{"Tombstone", "crds.install=true"}},
		"NoCopies":  {"that of what the mirror has is one of them", func(c *checked) { c.kinds = c.kinds[1:] }, "", []string{"the kind Artifact of", "crds.install=true"}},
		"NoManager": {"it is in another namespace", func(c *checked) { c.manager = nil }, kinds, []string{"no Deployment nfo-manager in the namespace operators", "--namespace"}},
		"Stopped":   {"as nfo remove leaves it", func(c *checked) { c.manager.Spec.Replicas = new(int32(0)) }, kinds, []string{"is stopped", "kubectl scale -n operators deployment/nfo-manager --replicas=1"}},
		"NotReady": {"its image is not there", func(c *checked) {
			c.manager.Status.AvailableReplicas = 0
			c.manager.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionFalse, Message: "Deployment does not have minimum availability."}}
		}, kinds, []string{"does not run", "minimum availability", "kubectl describe pod -n operators", "kubectl logs -n operators deployment/nfo-manager"}},
		"NoQuota": {"no pod may be made", func(c *checked) {
			c.manager.Status = appsv1.DeploymentStatus{ObservedGeneration: 3, Conditions: []appsv1.DeploymentCondition{{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Message: "exceeded quota"}}}
		}, kinds, []string{"exceeded quota", "0 of 0 updated"}},
		"NotSeenYet": {"what is available is what was there before", func(c *checked) { c.manager.Generation = 4 }, kinds, []string{"does not run"}},
		"OldOnly":    {"the new form does not come up", func(c *checked) { c.manager.Status.UpdatedReplicas = 0 }, kinds, []string{"0 of 2 updated"}},

		"NotAsked": {"the configuration was deleted", func(c *checked) { c.answer = nil }, kinds + runs, []string{"does not ask the webhooks", "nfo-validating"}},
		"Certificate": {"another authority is in the bundle", func(c *checked) {
			c.answer = unreached("tls: failed to verify certificate: x509: certificate signed by unknown authority")
		}, kinds + runs, []string{"does not trust their certificate", "nfo-webhook-certificate", "cert-manager"}},
		"NoEndpoints": {"no replica is ready", func(c *checked) { c.answer = unreached(`no endpoints available for service "nfo-webhooks"`) }, kinds + runs, []string{"No replica is ready"}},
		"NoService":   {"somebody deleted it", func(c *checked) { c.answer = unreached(`service "nfo-webhooks" not found`) }, kinds + runs, []string{"Their Service is missing"}},
		"Firewall":    {"packets are dropped", func(c *checked) { c.answer = unreached("context deadline exceeded") }, kinds + runs, []string{"port 9443", "NetworkPolicies"}},
		"Refused":     {"nothing listens", func(c *checked) { c.answer = unreached("dial tcp 10.0.0.1:9443: connect: connection refused") }, kinds + runs, []string{"No replica listens"}},
		"Unknown":     {"what nobody has seen yet", func(c *checked) { c.answer = unreached("EOF") }, kinds + runs, []string{"EOF", "kubectl describe service -n operators nfo-webhooks"}},
		"Denied": {"the caller may not", func(c *checked) {
			c.answer = apierrors.NewForbidden(schema.GroupResource{Group: "nfo.dev", Resource: "artifactstores"}, "", errors.New(`User "ann" cannot create resource "artifactstores"`))
		}, kinds + runs, []string{"cannot be seen without the right", "namespace operators"}},
		"Schema": {"the refusal is not a webhook's", func(c *checked) {
			c.answer = apierrors.NewInvalid(schema.GroupKind{Group: "nfo.dev", Kind: "ArtifactStore"}, "nfo-check", nil)
		}, kinds + runs, []string{"asking for what a webhook has to refuse"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := sound()
			tc.change(&c)
			var out strings.Builder
			err := runCheck(t.Context(), c.client(t), checkFlags{namespace: "operators"}, &out)
			if out.String() != tc.out {
				t.Errorf("%s: it says %q, want %q", tc.reason, out.String(), tc.out)
			}
			if (err != nil) != (tc.says != nil) {
				t.Fatalf("%s: the error is %v", tc.reason, err)
			}
			for _, text := range tc.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%s: the error is %q, and has no %q", tc.reason, err, text)
				}
			}
		})
	}
}

func TestCheckWaits(t *testing.T) {
	t.Parallel()
	c := sound()
	refuses := c.answer
	api := c.client(t)
	asked := 0
	late := interceptor.NewClient(api.(client.WithWatch), interceptor.Funcs{
		Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
			if asked++; asked < 2 {
				return unreached("connection refused")
			}
			return refuses
		},
	})
	var out strings.Builder
	if err := runCheck(t.Context(), late, checkFlags{namespace: "operators", timeout: 30 * checkInterval}, &out); err != nil || asked != 2 {
		t.Errorf("asked %d times: %v", asked, err)
	}

	ended, end := context.WithCancel(t.Context())
	end()
	if err := runCheck(ended, late, checkFlags{namespace: "elsewhere", timeout: 30 * checkInterval}, &out); !errors.Is(err, context.Canceled) {
		t.Errorf("anyone who interrupts it sees %v", err)
	}
}

func TestCheckUsage(t *testing.T) {
	t.Parallel()
	for reason, args := range map[string][]string{
		"there is nothing to name": {"check", "now"},
		"no such flag":             {"check", "--store=acme"},
	} {
		if code := run(t.Context(), args); code != 2 {
			t.Errorf("%s: %v ends with %d, want 2", reason, args, code)
		}
	}
}

func TestCheckRegistry(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		change func(*appsv1.Deployment)
		says   []string // of the error; nil for none
	}{
		"Sound":   {"a replica is ready", func(*appsv1.Deployment) {}, nil},
		"Missing": {"it is not enabled", func(d *appsv1.Deployment) { d.Name = "nfo-manager" }, []string{"no Deployment nfo-registry in the namespace operators"}},
		"Full":    {"its volume does not work, so that no replica is ready", func(d *appsv1.Deployment) { d.Status.AvailableReplicas = 0 }, []string{"the registry does not run", "component=registry", "kubectl logs -n operators deployment/nfo-registry"}},
		"Stopped": {"somebody stopped it", func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(0)) }, []string{"the registry is stopped", "deployment/nfo-registry --replicas=1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := sound()
			c.manager.Name = "nfo-registry"
			tc.change(c.manager)
			err := checkRegistry(t.Context(), c.client(t), "operators")
			if (err != nil) != (tc.says != nil) {
				t.Fatalf("%s: the error is %v", tc.reason, err)
			}
			for _, text := range tc.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%s: the error is %q, and has no %q", tc.reason, err, text)
				}
			}
		})
	}
}
