package environment

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
)

// counting is a webhook server that counts the requests it receives.
type counting struct {
	webhook.Server
	asked *atomic.Int64
}

func (c counting) Register(path string, hook http.Handler) {
	c.Server.Register(path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.asked.Add(1)
		hook.ServeHTTP(w, r)
	}))
}

func (w webhooks) counted(s webhook.Server) webhook.Server { return counting{s, w.asked} }

// installPods creates a copy of the product's MutatingWebhookConfiguration that sends requests
// for the manager's namespaces to this manager. It returns the copy's name once the API server
// calls the webhook. The copy is deleted at the end of the test, before the manager stops.
func (w webhooks) installPods(t testing.TB) string {
	t.Helper()
	c := &admissionregistrationv1.MutatingWebhookConfiguration{}
	if err := configuration("pods.yaml", c); err != nil {
		t.Fatal(err)
	}
	c.Name = fmt.Sprintf("nfo-pods-%d", w.port)
	for i := range c.Webhooks {
		w.lead(&c.Webhooks[i].ClientConfig, &c.Webhooks[i].NamespaceSelector)
	}
	if err := w.Client.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.IgnoreNotFound(w.Client.Delete(context.WithoutCancel(t.Context()), c)); err != nil {
			t.Error(err)
		}
	})
	if err := w.podsMinded(t.Context()); err != nil {
		t.Fatalf("the webhook %s is not asked: %v", c.Name, err)
	}
	return c.Name
}

// podsMinded waits until the API server calls the webhook for pods.
func (w webhooks) podsMinded(ctx context.Context) error {
	return wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		before := w.asked.Load()
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespaces[0], GenerateName: "probe-"}}
		p.Spec.Containers = []corev1.Container{{Name: "probe", Image: "probe.example/probe:1"}}
		return w.Client.Create(ctx, p, client.DryRunAll) == nil && w.asked.Load() > before, nil
	})
}
