package pods

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/mirrored"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

const (
	own      = "r.example/upf:1"
	atMirror = "127.0.0.1:7439/r.example/upf:1"
)

// uses has the images that were reported.
type uses []string

func (t *uses) Use(namespace string, i rewrite.Image) { *t = append(*t, namespace+" "+i.String()) }

// panics panics at each use.
type panics struct{}

func (panics) Use(string, rewrite.Image) { panic("no reason") }

// newHandler returns a handler whose mirror has the image own for the namespace core.
func newHandler(t *testing.T, funcs interceptor.Funcs) (*handler, *uses) {
	t.Helper()
	scheme, err := reference.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	s := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.ManagerNamespace, Name: v1alpha1.MirrorName}}
	s.Spec.Mirror = &v1alpha1.MirrorSpec{Images: v1alpha1.MirrorAll, PullAddress: "127.0.0.1:7439"}
	a := &v1alpha1.Artifact{ObjectMeta: metav1.ObjectMeta{Namespace: "core", Name: v1alpha1.ArtifactName(own)}}
	a.Spec.SourceArtifact, a.Status.State = own, v1alpha1.MirrorPresent
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(s, a).WithInterceptorFuncs(funcs).Build()
	var images uses
	return &handler{facts: &mirrored.Facts{Cached: c, Namespace: v1alpha1.ManagerNamespace}, uses: &images}, &images
}

// request is a request to create a pod.
func request(t *testing.T, namespace string, change ...func(*corev1.Pod)) admission.Request {
	t.Helper()
	p := &corev1.Pod{}
	p.Spec.Containers = []corev1.Container{{Name: "upf", Image: own}}
	for _, c := range change {
		c(p)
	}
	return admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{Namespace: namespace, Operation: admissionv1.Create, Object: raw(t, p)}}
}

func raw(t *testing.T, p *corev1.Pod) runtime.RawExtension {
	t.Helper()
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return runtime.RawExtension{Raw: text}
}

func TestWhatIsAnswered(t *testing.T) {
	t.Parallel()
	ephemeral := func(names ...string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			for _, name := range names {
				p.Spec.EphemeralContainers = append(p.Spec.EphemeralContainers, corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: name, Image: own}})
			}
		}
	}
	update := request(t, "core", ephemeral("old", "new"))
	update.Operation, update.SubResource, update.OldObject = admissionv1.Update, "ephemeralcontainers", request(t, "core", ephemeral("old")).Object
	other := request(t, "core")
	other.Operation, other.SubResource = admissionv1.Update, "status"
	dry := request(t, "core")
	dry.DryRun = new(true)
	unreadable := request(t, "core")
	unreadable.Object.Raw = []byte(`{"spec": {"containers": "none"}}`)
	huge := request(t, "core", func(p *corev1.Pod) { p.Annotations = map[string]string{"a": strings.Repeat("a", maxPod)} })
	for _, tt := range []struct {
		reason string
		req    admission.Request
		patch  string // a part of the patch, "" for none
		uses   int
	}{
		{"a new pod", request(t, "core"), `{"op":"replace","path":"/spec/containers/0/image","value":"` + atMirror + `"}`, 1},
		{"of a namespace that the mirror has nothing for", request(t, "ran"), "", 1},
		{"of the operator's own namespace", request(t, v1alpha1.ManagerNamespace), "", 0},
		{"a dry run", dry, atMirror, 0},
		{"a new ephemeral container", update, `[{"op":"replace","path":"/spec/ephemeralContainers/1/image","value":"` + atMirror + `"},`, 1},
		{"another request", other, "", 1},
		{"a static pod", request(t, "core", func(p *corev1.Pod) { p.Annotations = map[string]string{rewrite.StaticPod: "x"} }), "", 0},
		{"a pod that opts out", request(t, "core", func(p *corev1.Pod) { p.Labels = map[string]string{v1alpha1.LabelMirror: v1alpha1.MirrorDisabled} }), "", 0},
		{"not a pod", unreadable, "", 0},
		{"nothing at all", admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{Namespace: "core", Operation: admissionv1.Create}}, "", 0},
		{"a huge pod", huge, "", 0},
	} {
		h, images := newHandler(t, interceptor.Funcs{})
		resp := h.Handle(t.Context(), tt.req)
		if err := resp.Complete(tt.req); err != nil || !resp.Allowed {
			t.Errorf("%s: refused: %v, %v", tt.reason, resp.Result, err)
		}
		if got := string(resp.Patch); (got == "") != (tt.patch == "") || !strings.Contains(got, tt.patch) || len(*images) != tt.uses {
			t.Errorf("%s: the patch is %s, and uses is %v", tt.reason, got, *images)
		}
		if (resp.PatchType == nil) != (tt.patch == "") {
			t.Errorf("%s: the type of the patch is %v", tt.reason, resp.PatchType)
		}
	}
}

// Faults of the cache and of the program itself must not refuse a pod.
func TestR5WhateverGoesWrongThePodIsAllowed(t *testing.T) {
	t.Parallel()
	for kind := range 3 {
		h, _ := newHandler(t, interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				if _, store := o.(*v1alpha1.ArtifactStore); store == (kind == 0) && kind < 2 {
					return errors.New("the cache is not filled")
				}
				return c.Get(ctx, key, o, opts...)
			},
			List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
				if kind == 2 {
					return errors.New("the cache is not filled")
				}
				return nil
			},
		})
		if resp := h.Handle(t.Context(), request(t, "core")); !resp.Allowed || resp.Patch != nil {
			t.Errorf("%d: %+v", kind, resp)
		}
	}
	h, _ := newHandler(t, interceptor.Funcs{})
	h.uses = panics{}
	if resp := h.Handle(t.Context(), request(t, "core")); !resp.Allowed || resp.Patch != nil {
		t.Errorf("a panic: %+v", resp)
	}
}

// A request that exceeds the bounds gets an error, not an answer that refuses the pod.
func TestRequestsAreBounded(t *testing.T) {
	t.Parallel()
	hold, held := make(chan struct{}), make(chan struct{}, requestsAtOnce)
	s := bounded(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		held <- struct{}{}
		<-hold
	}))
	ask := func(body []byte) int {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, Path, bytes.NewReader(body)))
		return w.Code
	}
	if got := ask(make([]byte, maxRequest+1)); got != http.StatusRequestEntityTooLarge {
		t.Errorf("a large request gets %d", got)
	}
	done := make(chan int)
	for range requestsAtOnce {
		go func() { done <- ask(nil) }()
	}
	for range requestsAtOnce {
		<-held
	}
	if got := ask(nil); got != http.StatusServiceUnavailable {
		t.Errorf("one more gets %d", got)
	}
	close(hold)
	for range requestsAtOnce {
		if got := <-done; got != http.StatusOK {
			t.Errorf("one of those gets %d", got)
		}
	}
}

// TestOverHTTP checks the response that controller-runtime makes of an answer.
func TestOverHTTP(t *testing.T) {
	t.Parallel()
	h, _ := newHandler(t, interceptor.Funcs{})
	review := fmt.Sprintf(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u1","operation":"CREATE","namespace":"core","object":%s}}`, request(t, "core").Object.Raw)
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, Path, strings.NewReader(review))
	r.Header.Set("Content-Type", "application/json")
	bounded(&admission.Webhook{Handler: h}).ServeHTTP(w, r)
	var answer admissionv1.AdmissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Response == nil || answer.Response.UID != "u1" || !strings.Contains(string(answer.Response.Patch), atMirror) {
		t.Errorf("%s, %v", w.Body, err)
	}
}
