package caller

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
)

const stores, sites, pods = "/validate-stores", "/validate-sites", "/mutate-pods"

var deployment = client.ObjectKey{Namespace: "operators", Name: "nfo-manager"}

// cluster has a webhook configuration with the chart's paths and a Deployment. Its reads can fail.
type cluster struct {
	client.Client
	reads atomic.Int64
	down  atomic.Bool
	clock *clocktesting.FakeClock
}

func newCluster(t *testing.T, updated int32) *cluster {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c := &cluster{clock: clocktesting.NewFakeClock(time.Unix(1_700_000_000, 0))}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: deployment.Namespace, Name: deployment.Name}}
	d.Status.Replicas, d.Status.UpdatedReplicas = 2, updated
	c.Client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(hooks(), d).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, w client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			c.reads.Add(1)
			if c.down.Load() {
				return errors.New("the API server is down")
			}
			return w.Get(ctx, key, o, opts...)
		},
	}).Build()
	return c
}

func hooks() *admissionregistrationv1.ValidatingWebhookConfiguration {
	c := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "hooks"}}
	for _, path := range []string{stores, sites} {
		w := admissionregistrationv1.ValidatingWebhook{Name: path[1:] + ".nfo.dev"}
		w.ClientConfig.Service = &admissionregistrationv1.ServiceReference{Path: new(path)}
		c.Webhooks = append(c.Webhooks, w)
	}
	return c
}

// podHooks is the configuration of a mirror, which is created later.
func podHooks() *admissionregistrationv1.MutatingWebhookConfiguration {
	c := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "pod-hooks"}}
	w := admissionregistrationv1.MutatingWebhook{Name: "pods.nfo.dev"}
	w.ClientConfig.Service = &admissionregistrationv1.ServiceReference{Path: new(pods)}
	c.Webhooks = append(c.Webhooks, w)
	return c
}

func (c *cluster) gate() *Gate {
	return New(Options{Client: c, Configuration: "hooks", Mutating: "pod-hooks", Deployment: deployment, Clock: c.clock})
}

// paths returns the paths that the configuration has now.
func (c *cluster) paths(t *testing.T) []string {
	t.Helper()
	var have admissionregistrationv1.ValidatingWebhookConfiguration
	if err := c.Get(t.Context(), client.ObjectKey{Name: "hooks"}, &have); err != nil {
		t.Fatal(err)
	}
	var all []string
	for i := range have.Webhooks {
		all = append(all, *pathOf(&have.Webhooks[i].ClientConfig))
	}
	return all
}

// served returns a function that sends a request to a replica and returns the status of the answer.
func served(t *testing.T, g *Gate) func(path string) int {
	t.Helper()
	s := g.Server(webhook.NewServer(webhook.Options{}))
	for _, path := range []string{stores, sites, pods} {
		s.Register(path, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "{}") }))
	}
	return func(path string) int {
		w := httptest.NewRecorder()
		s.WebhookMux().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader("{}")))
		return w.Code
	}
}

// step advances the clock while something waits for it.
func (c *cluster) step(d time.Duration) { c.clock.Step(d) }

func TestTheAPIServerAloneIsAnswered(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	g := c.gate()
	ask := served(t, g)
	is := func(path string, want int) {
		t.Helper()
		c.step(pace)
		if got := ask(path); got != want {
			t.Errorf("%s: the answer is %d, want %d", path, got, want)
		}
	}
	is(stores, http.StatusOK) // the chart has just been applied
	is("/abcdefghijklmnopqrstuvwxyz"+stores, http.StatusForbidden)
	if err := g.addSecrets(t.Context()); err != nil {
		t.Fatal(err)
	}
	secret := c.paths(t)
	if !secretPath.MatchString(secret[0]) || strings.TrimSuffix(secret[0], stores) != strings.TrimSuffix(secret[1], sites) {
		t.Fatalf("the paths are %v", secret)
	}
	is(secret[0], http.StatusOK)
	is(secret[1], http.StatusOK)
	is(stores, http.StatusOK) // for an API server that has not seen the change yet
	c.step(remembered)
	is(stores, http.StatusForbidden)
	is(secret[0], http.StatusOK)
	is("/nothing", http.StatusNotFound)
	is("/x"+stores, http.StatusForbidden)

	// The chart is applied again.
	if err := errors.Join(c.Delete(t.Context(), hooks()), c.Create(t.Context(), hooks())); err != nil {
		t.Fatal(err)
	}
	is(stores, http.StatusOK)
	is(secret[0], http.StatusOK)
	if err := g.addSecrets(t.Context()); err != nil {
		t.Fatal(err)
	}
	if now := c.paths(t); now[0] == secret[0] || !secretPath.MatchString(now[0]) {
		t.Errorf("the paths are %v, and were %v", now, secret)
	}
}

// The webhook of pods has a separate configuration, which exists only with the mirror.
func TestTheSecondConfigurationIsGuardedToo(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	g := c.gate()
	ask := served(t, g)
	is := func(path string, want int) {
		t.Helper()
		c.step(fresh)
		if got := ask(path); got != want {
			t.Errorf("%s: the answer is %d, want %d", path, got, want)
		}
	}
	is(pods, http.StatusForbidden)
	is(stores, http.StatusOK)
	if err := c.Create(t.Context(), podHooks()); err != nil {
		t.Fatal(err)
	}
	is(pods, http.StatusOK)
	if err := errors.Join(g.addSecrets(t.Context()), g.addSecrets(t.Context())); err != nil {
		t.Fatal(err)
	}
	var have admissionregistrationv1.MutatingWebhookConfiguration
	if err := c.Get(t.Context(), client.ObjectKey{Name: "pod-hooks"}, &have); err != nil {
		t.Fatal(err)
	}
	secret := *have.Webhooks[0].ClientConfig.Service.Path
	if !secretPath.MatchString(secret) {
		t.Fatalf("the path is %s", secret)
	}
	is(secret, http.StatusOK)
	c.step(remembered)
	is(pods, http.StatusForbidden)
	is(secret, http.StatusOK)
	if err := c.Delete(t.Context(), podHooks()); err != nil {
		t.Fatal(err)
	}
	is(c.paths(t)[0], http.StatusOK)
	c.step(remembered)
	is(secret, http.StatusForbidden)
}

func TestAnUpgradeIsAwaited(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	if err := c.gate().addSecrets(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := c.paths(t); got[0] != stores {
		t.Errorf("a replica of the earlier version does not know %v", got)
	}
}

// A new webhook, as of an upgrade, gets the secret of the others.
func TestOneSecretForAll(t *testing.T) {
	t.Parallel()
	c := hooks()
	if !putSecret(validating(c)) {
		t.Fatal("no path has changed")
	}
	*c.Webhooks[1].ClientConfig.Service.Path = sites
	first := *c.Webhooks[0].ClientConfig.Service.Path
	if !putSecret(validating(c)) || putSecret(validating(c)) || *c.Webhooks[0].ClientConfig.Service.Path != first || *c.Webhooks[1].ClientConfig.Service.Path != strings.TrimSuffix(first, stores)+sites {
		t.Errorf("the paths are %q and %q", first, *c.Webhooks[1].ClientConfig.Service.Path)
	}
}

func TestWhatIsKnownIsAnsweredWithoutTheAPIServer(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	ask := served(t, c.gate())
	c.down.Store(true)
	if got := ask(stores); got != http.StatusServiceUnavailable {
		t.Errorf("before anything was read the answer is %d", got)
	}
	c.down.Store(false)
	if got := ask(stores); got != http.StatusOK {
		t.Errorf("the answer is %d", got)
	}
	c.down.Store(true)
	c.step(time.Hour)
	if got := ask(stores); got != http.StatusOK {
		t.Errorf("what was known is answered with %d", got)
	}
	if got := ask(sites + "x"); got != http.StatusNotFound {
		t.Errorf("what no hook has is answered with %d", got)
	}
}

// Guessed paths must not cause more than five reads a second of each configuration.
func TestGuessesAreBounded(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	ask := served(t, c.gate())
	ask(stores)
	before := c.reads.Load()
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			if got := ask(fmt.Sprintf("/guess%d%s", i, stores)); got == http.StatusOK {
				t.Errorf("guess %d is answered", i)
			}
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	steps := int64(0)
	for waiting := true; waiting; {
		select {
		case <-done:
			waiting = false
		case <-time.After(10 * time.Millisecond):
			c.step(pace)
			steps++
		}
	}
	if reads := c.reads.Load() - before; reads > 2*(steps+1) { // the test has two configurations
		t.Errorf("200 guesses cost %d reads in %s", reads, time.Duration(steps)*pace)
	}
}
