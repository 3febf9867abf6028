package pods

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/nfo-operator/nfo/internal/mirrored"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

// errPod is wrapped by errors about a pod that cannot be read.
var errPod = errors.New("the pod cannot be read")

// maxPod is the maximum size of a request's pod, in bytes: a larger one would hardly fit into the API server's storage.
const maxPod = 1 << 20

// Uses records the images that namespaces use. It does not wait.
type Uses interface {
	Use(namespace string, image rewrite.Image)
}

// handler is the webhook: an admission.Handler.
type handler struct {
	facts *mirrored.Facts
	uses  Uses
}

// Handle allows every pod, rewritten if the rules and the mirror require it.
func (h *handler) Handle(ctx context.Context, req admission.Request) (resp admission.Response) {
	defer func() {
		if p := recover(); p != nil {
			log.FromContext(ctx).Error(fmt.Errorf("panic: %v", p), "A pod keeps its images", "namespace", req.Namespace)
			resp = admission.Allowed("")
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	patch, err := h.answer(ctx, req)
	if err != nil {
		log.FromContext(ctx).Error(err, "A pod keeps its images", "namespace", req.Namespace)
	}
	if err != nil || patch == nil {
		return admission.Allowed("")
	}
	json := admissionv1.PatchTypeJSONPatch
	return admission.Response{AdmissionResponse: admissionv1.AdmissionResponse{Allowed: true, Patch: patch, PatchType: &json}}
}

// answer returns the patch for a request, or nil for none.
func (h *handler) answer(ctx context.Context, req admission.Request) ([]byte, error) {
	rules, err := h.facts.Rules(ctx)
	if err != nil {
		return nil, err
	}
	if selected, err := h.facts.Selected(ctx, rules, req.Namespace); err != nil || !selected {
		return nil, err
	}
	pod, err := decode(req.Object.Raw)
	if err != nil || pod.OptsOut() {
		return nil, err
	}
	which, err := changeable(req)
	if err != nil {
		return nil, err
	}
	had := pod.Metadata.Annotations
	changes := pod.Rewrite(rules, func(i rewrite.Image) bool { return h.facts.Present(ctx, req.Namespace, i) }, which)
	if req.DryRun == nil || !*req.DryRun {
		for image := range pod.Mirrored(rules) {
			h.uses.Use(req.Namespace, image)
		}
	}
	if len(changes) == 0 {
		return nil, nil
	}
	return pod.JSONPatch(had, changes)
}

// changeable returns the places whose images a request may change: all places
// of a new pod, and only the new ephemeral containers of an existing one.
func changeable(req admission.Request) (rewrite.Which, error) {
	if req.SubResource == "" && req.Operation == admissionv1.Create {
		return nil, nil //nolint:nilnil // nil means all places
	}
	if req.SubResource != "ephemeralcontainers" || req.Operation != admissionv1.Update {
		return func(rewrite.Place) bool { return false }, nil
	}
	old, err := decode(req.OldObject.Raw)
	if err != nil {
		return nil, err
	}
	there := map[string]bool{}
	for _, c := range old.Spec.Ephemeral {
		there[c.Name] = true
	}
	return func(p rewrite.Place) bool { return p.List == rewrite.Ephemeral && !there[p.Name] }, nil
}

func decode(raw []byte) (*rewrite.Pod, error) {
	if len(raw) > maxPod {
		return nil, fmt.Errorf("%w: it has %d bytes, more than %d", errPod, len(raw), maxPod)
	}
	p := &rewrite.Pod{}
	if err := json.Unmarshal(raw, p); err != nil {
		return nil, fmt.Errorf("%w: %w", errPod, err)
	}
	return p, nil
}

const (
	// maxRequest is the maximum size of a request, in bytes: the API server accepts objects of 3 MiB, and an update has two.
	maxRequest = 7 << 20
	// requestsAtOnce is the number of requests that are answered at a time. It bounds their memory.
	requestsAtOnce = 8
	// slotWait is how long a request waits for its turn, and patience how long an answer may take.
	slotWait = time.Second
	patience = time.Second
)

// bounded answers at most requestsAtOnce requests at a time. Other requests
// wait up to slotWait, and then get an error that the API server ignores.
func bounded(of http.Handler) http.Handler {
	slots := make(chan struct{}, requestsAtOnce)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		waiting, cancel := context.WithTimeout(r.Context(), slotWait)
		defer cancel()
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		case <-waiting.Done():
			http.Error(w, "too many pods are being answered", http.StatusServiceUnavailable)
			return
		}
		if r.ContentLength > maxRequest {
			http.Error(w, "the request is too large", http.StatusRequestEntityTooLarge)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
		of.ServeHTTP(w, r)
	})
}
