package admission

import (
	"context"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/reference/referencetest"
)

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "publisher", Name: name}
}

// going marks an object as being deleted.
func going[T client.Object](o T) T {
	now := metav1.Now()
	o.SetDeletionTimestamp(&now)
	o.SetFinalizers([]string{v1alpha1.Finalizer})
	return o
}

func manifest(name string, artifacts ...string) *v1alpha1.ArtifactManifest {
	m := &v1alpha1.ArtifactManifest{ObjectMeta: meta(name)}
	m.Spec.ArtifactStoreRef.Name = "acme"
	m.Spec.ArtifactManifestState, m.Spec.UploadPath = v1alpha1.ManifestUploading, v1alpha1.ManifestScoped
	for _, a := range artifacts {
		n, v, _ := strings.Cut(a, ":")
		m.Spec.Artifacts = append(m.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: n, ArtifactVersion: v})
	}
	return m
}

func sealed(m *v1alpha1.ArtifactManifest) *v1alpha1.ArtifactManifest {
	m.Spec.ArtifactManifestState = v1alpha1.ManifestUploaded
	return m
}

func storeScoped(m *v1alpha1.ArtifactManifest) *v1alpha1.ArtifactManifest {
	m.Spec.UploadPath = v1alpha1.StoreScoped
	return m
}

// shows sets the status of a manifest from strings like name:version=State.
func shows(m *v1alpha1.ArtifactManifest, artifacts ...string) *v1alpha1.ArtifactManifest {
	for _, a := range artifacts {
		name, state, _ := strings.Cut(a, "=")
		n, v, _ := strings.Cut(name, ":")
		m.Status.Artifacts = append(m.Status.Artifacts, v1alpha1.ArtifactStatus{ArtifactName: n, ArtifactVersion: v, State: v1alpha1.ArtifactState(state)})
	}
	return m
}

func byManifest(name string) v1alpha1.ArtifactSource {
	return v1alpha1.ArtifactSource{ArtifactManifestRef: &v1alpha1.LocalReference{Name: name}}
}

func byStore(name string) v1alpha1.ArtifactSource {
	return v1alpha1.ArtifactSource{ArtifactStoreRef: &v1alpha1.LocalReference{Name: name}}
}

// definition has one application for each source.
func definition(name string, state v1alpha1.VersionState, sources ...v1alpha1.ArtifactSource) *v1alpha1.NetworkFunctionDefinitionVersion {
	d := &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: meta(name)}
	d.Spec.VersionState = state
	for i, s := range sources {
		d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications = append(d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications, v1alpha1.NetworkFunctionApplication{
			Name: string(rune('a' + i)),
			ArtifactProfile: v1alpha1.HelmApplicationProfile{
				ArtifactSource:      s,
				HelmArtifactProfile: v1alpha1.HelmArtifactProfile{HelmPackageName: "chart", HelmPackageVersionRange: "~1.0.0"},
			},
		})
	}
	return d
}

func design(name string, state v1alpha1.VersionState, source v1alpha1.ArtifactSource, nfdv string) *v1alpha1.NetworkServiceDesignVersion {
	d := &v1alpha1.NetworkServiceDesignVersion{ObjectMeta: meta(name)}
	d.Spec.VersionState = state
	d.Spec.ResourceElementTemplates = []v1alpha1.ResourceElementTemplate{{Name: "site", Configuration: v1alpha1.ResourceElementConfiguration{
		ArtifactProfile:                     &v1alpha1.TemplateArtifactProfile{ArtifactSource: source, ArtifactName: "template", ArtifactVersion: "1"},
		NetworkFunctionDefinitionVersionRef: &v1alpha1.LocalReference{Name: nfdv},
	}}}
	return d
}

func site(namespace, name, publisher, nsdv string) *v1alpha1.SiteNetworkService {
	s := &v1alpha1.SiteNetworkService{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	s.Spec.NetworkServiceDesignVersionRef = v1alpha1.DesignReference{Namespace: publisher, Name: nsdv}
	return s
}

// home is the namespace of all objects but the sites of other namespaces.
func home() *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "publisher"}}
}

// world is a cluster whose cache and API server have different objects.
type world struct {
	*preflight
	live   client.Client
	events *events.FakeRecorder
}

func api(t *testing.T, f interceptor.Funcs, objects ...client.Object) client.WithWatch {
	t.Helper()
	s := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	if err := v1alpha1.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	all := referencetest.Definitions(time.Unix(1, 0))
	for _, o := range objects { // the rows share the objects
		all = append(all, o.DeepCopyObject().(client.Object))
	}
	b := fake.NewClientBuilder().WithScheme(s).WithObjects(all...).WithInterceptorFuncs(f)
	for _, o := range []client.Object{&v1alpha1.ArtifactManifest{}, &v1alpha1.NetworkFunctionDefinitionVersion{}, &v1alpha1.NetworkServiceDesignVersion{}, &v1alpha1.SiteNetworkService{}} {
		b = b.WithIndex(o, reference.Field, reference.Keys)
	}
	return b.Build()
}

func newWorld(t *testing.T, cached, live []client.Object) world {
	t.Helper()
	return worldOf(api(t, interceptor.Funcs{}, cached...), api(t, interceptor.Funcs{}, live...))
}

func worldOf(cached, live client.Client) world {
	r := events.NewFakeRecorder(10)
	return world{live: live, events: r, preflight: &preflight{events: r, lookup: &lookup{
		cached: cached, live: live, synced: func(context.Context) bool { return true }, holders: reference.NewFinder(cached, live, time.Now),
	}}}
}

// asked returns a context with the request of a user, as webhooks get it.
func asked(t *testing.T, dryRun bool) context.Context {
	t.Helper()
	return admission.NewContextWithRequest(t.Context(), admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		DryRun:   &dryRun,
		UserInfo: authenticationv1.UserInfo{Username: "jane", UID: "7", Groups: []string{"operators"}, Extra: map[string]authenticationv1.ExtraValue{"scopes": {"a", "b"}}},
	}})
}

// reported returns the events recorded so far.
func (w world) reported() []string {
	var all []string
	for {
		select {
		case e := <-w.events.Events:
			all = append(all, e)
		default:
			return all
		}
	}
}
