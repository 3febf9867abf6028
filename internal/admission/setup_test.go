package admission

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// documents reads the documents of one kind from a file of config/webhook.
func documents[T any](t *testing.T, file, kind string) (all []T) {
	t.Helper()
	f, err := os.Open("../../config/webhook/" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // only read
	for d := yaml.NewYAMLOrJSONDecoder(f, 4096); ; {
		var raw runtime.RawExtension
		if err := d.Decode(&raw); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		var head struct{ Kind string }
		var o T
		if err := yaml.Unmarshal(raw.Raw, &head); err != nil {
			t.Fatal(err)
		}
		if head.Kind != kind {
			continue
		}
		if err := yaml.UnmarshalStrict(raw.Raw, &o); err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
}

// idleManager returns a manager that has the webhooks of Setup and is never started.
func idleManager(t *testing.T) manager.Manager {
	t.Helper()
	s := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(s), v1alpha1.AddToScheme(s)); err != nil {
		t.Fatal(err)
	}
	mapper := apimeta.NewDefaultRESTMapper(nil)
	for gvk := range s.AllKnownTypes() {
		if gvk.Group == v1alpha1.GroupVersion.Group {
			mapper.Add(gvk, apimeta.RESTScopeNamespace)
		}
	}
	mgr, err := ctrl.NewManager(&rest.Config{Host: "https://127.0.0.1:1"}, ctrl.Options{
		Scheme: s, Metrics: metricsserver.Options{BindAddress: "0"},
		MapperProvider: func(*rest.Config, *http.Client) (apimeta.RESTMapper, error) { return mapper, nil },
		WebhookServer:  webhook.NewServer(webhook.Options{Host: "127.0.0.1"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := Setup(t.Context(), mgr, Options{}); err != nil {
		t.Fatal(err)
	}
	return mgr
}

func TestConfigurationIsWhatIsServed(t *testing.T) {
	t.Parallel()
	mux := idleManager(t).GetWebhookServer().WebhookMux()
	all := documents[admissionregistrationv1.ValidatingWebhookConfiguration](t, "webhook.yaml", "ValidatingWebhookConfiguration")
	services := documents[corev1.Service](t, "webhook.yaml", "Service")
	if len(all) != 1 || len(services) != 1 {
		t.Fatalf("there are %d configurations and %d services", len(all), len(services))
	}
	kinds := map[string]string{}
	for _, kind := range []string{v1alpha1.KindArtifactStore, v1alpha1.KindArtifactManifest, v1alpha1.KindDefinition, v1alpha1.KindDesign, v1alpha1.KindSite} {
		kinds[strings.TrimSuffix(v1alpha1.ResourceID(kind, "", ""), "//")] = strings.ToLower(kind)
	}
	for _, w := range all[0].Webhooks {
		if len(w.Rules) != 1 || len(w.Rules[0].Resources) != 1 {
			t.Fatalf("%s has not one rule for one resource", w.Name)
		}
		resource := w.Rules[0].Resources[0]
		kind, known := kinds[resource]
		delete(kinds, resource)
		if !known {
			t.Errorf("%s is for %s, which is not a kind of ours or has a webhook already", w.Name, resource)
		}
		path := "/validate-nfo-dev-v1alpha1-" + kind
		if _, pattern := mux.Handler(&http.Request{Method: http.MethodPost, URL: &url.URL{Path: path}}); pattern != path {
			t.Errorf("nothing is served at %s", path)
		}
		want := admissionregistrationv1.ValidatingWebhook{
			Name: resource + ".nfo.dev",
			ClientConfig: admissionregistrationv1.WebhookClientConfig{Service: &admissionregistrationv1.ServiceReference{
				Namespace: services[0].Namespace, Name: services[0].Name, Path: &path,
			}},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{"CREATE", "UPDATE", "DELETE"},
				Rule: admissionregistrationv1.Rule{
					APIGroups: []string{"nfo.dev"}, APIVersions: []string{"v1alpha1"}, Resources: []string{resource},
					Scope: new(admissionregistrationv1.NamespacedScope),
				},
			}},
			FailurePolicy: new(admissionregistrationv1.Fail), MatchPolicy: new(admissionregistrationv1.Equivalent),
			SideEffects: new(admissionregistrationv1.SideEffectClassNoneOnDryRun), TimeoutSeconds: new(int32(5)),
			AdmissionReviewVersions: []string{"v1"}, MatchConditions: w.MatchConditions, // see the integration tests
		}
		if diff := cmp.Diff(want, w); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		if len(w.MatchConditions) != 1 || !strings.HasPrefix(w.MatchConditions[0].Expression, "request.operation != 'UPDATE' || object.spec != oldObject.spec") {
			t.Errorf("%s is asked about metadata too: %v", w.Name, w.MatchConditions)
		}
	}
	if len(kinds) > 0 {
		t.Errorf("no webhook for %v", kinds)
	}
	if float64(*all[0].Webhooks[0].TimeoutSeconds) <= patience.Seconds() {
		t.Error("the API server gives up before the webhook says why")
	}
}

func TestPolicyNamesTheManager(t *testing.T) {
	t.Parallel()
	policies := documents[admissionregistrationv1.ValidatingAdmissionPolicy](t, "tombstones.yaml", "ValidatingAdmissionPolicy")
	bindings := documents[admissionregistrationv1.ValidatingAdmissionPolicyBinding](t, "tombstones.yaml", "ValidatingAdmissionPolicyBinding")
	if len(policies) != 1 || len(bindings) != 1 || bindings[0].Spec.PolicyName != policies[0].Name {
		t.Fatalf("there are %d policies and %d bindings, or they do not match", len(policies), len(bindings))
	}
	identity, err := os.ReadFile("../../config/rbac/identity.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(identity), "kind: ServiceAccount\nmetadata:\n  name: nfo-manager\n  namespace: nfo-system\n") ||
		!strings.Contains(policies[0].Spec.Validations[0].Expression, "'system:serviceaccount:nfo-system:nfo-manager'") {
		t.Error("the policy lets another account write than the manager's")
	}
}
