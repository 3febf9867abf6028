package certificate

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

const (
	namespace  = "nfo-system"
	secretName = "nfo-webhook-certificate"
	hookName   = "nfo-validating"
)

func aConfiguration() *admissionregistrationv1.ValidatingWebhookConfiguration {
	hook := func(name string) admissionregistrationv1.ValidatingWebhook {
		return admissionregistrationv1.ValidatingWebhook{Name: name, ClientConfig: admissionregistrationv1.WebhookClientConfig{
			Service: &admissionregistrationv1.ServiceReference{Namespace: namespace, Name: "nfo-webhook"},
		}}
	}
	return &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: hookName},
		Webhooks:   []admissionregistrationv1.ValidatingWebhook{hook("a.nfo.dev"), hook("b.nfo.dev")},
	}
}

func aCluster(objects ...client.Object) client.WithWatch {
	return fake.NewClientBuilder().WithObjects(objects...).Build()
}

func aKeeper(c client.Client, clk clock.Clock) *Keeper {
	return New(Options{Client: c, Namespace: namespace, Secret: secretName, Service: "nfo-webhook", Webhooks: []string{hookName}, Clock: clk, Log: logr.Discard()})
}

func stored(t *testing.T, c client.Client) state {
	t.Helper()
	var s corev1.Secret
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: secretName}, &s); err != nil {
		t.Fatal(err)
	}
	return decode(&s)
}

// injected returns the bundle of the webhooks, and fails the test if they differ.
func injected(t *testing.T, c client.Client) []byte {
	t.Helper()
	var o admissionregistrationv1.ValidatingWebhookConfiguration
	if err := c.Get(t.Context(), client.ObjectKey{Name: hookName}, &o); err != nil {
		t.Fatal(err)
	}
	for _, w := range o.Webhooks {
		if !bytes.Equal(w.ClientConfig.CABundle, o.Webhooks[0].ClientConfig.CABundle) {
			t.Fatal("the webhooks carry different bundles")
		}
	}
	return o.Webhooks[0].ClientConfig.CABundle
}

func ensure(t *testing.T, k *Keeper) {
	t.Helper()
	if err := k.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestEnsure(t *testing.T) {
	t.Parallel()
	forbidden := func(resource, name string) error {
		return apierrors.NewForbidden(schema.GroupResource{Resource: resource}, name, errors.New("no such right"))
	}
	tests := map[string]struct {
		reason  string
		objects []client.Object
		fails   interceptor.Funcs
		err     string // also the error of Ready
	}{
		"New": {
			reason:  "nothing but the configuration is there",
			objects: []client.Object{aConfiguration()},
		},
		"NoConfiguration": {
			reason: "one that is missing calls nobody",
		},
		"ForeignSecret": {
			reason: "somebody made it for something else",
			objects: []client.Object{aConfiguration(), &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: secretName}, Type: corev1.SecretTypeOpaque, Data: map[string][]byte{"tls.crt": []byte("nonsense")},
			}},
		},
		"NotInjected": {
			reason:  "whose bundle is not injected must not be asked",
			objects: []client.Object{aConfiguration()},
			fails: interceptor.Funcs{Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
				return forbidden("validatingwebhookconfigurations", hookName)
			}},
			err: "publishing the certificate authorities in ValidatingWebhookConfiguration nfo-validating: validatingwebhookconfigurations",
		},
		"NotStored": {
			reason:  "a certificate that is not stored would be this replica's alone",
			objects: []client.Object{aConfiguration()},
			fails: interceptor.Funcs{Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
				return forbidden("secrets", secretName)
			}},
			err: "creating Secret nfo-system/nfo-webhook-certificate: secrets",
		},
		"AlwaysBeaten": {
			reason:  "it gives up, and says so",
			objects: []client.Object{aConfiguration()},
			fails: interceptor.Funcs{Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
				return apierrors.NewConflict(schema.GroupResource{Resource: "secrets"}, secretName, errors.New("changed"))
			}},
			err: "looking after the webhook's certificate: creating Secret",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := aCluster(tc.objects...)
			k := aKeeper(interceptor.NewClient(c, tc.fails), clocktesting.NewFakeClock(start))
			err := k.Ensure(t.Context())
			if tc.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), tc.err) {
					t.Errorf("%s: error %v, want %q", tc.reason, err, tc.err)
				}
				if k.Ready(nil) == nil {
					t.Errorf("%s: it is ready", tc.reason)
				}
				if _, err := k.GetCertificate(nil); err == nil {
					t.Errorf("%s: it serves", tc.reason)
				}
				return
			}
			if err != nil || k.Ready(nil) != nil {
				t.Fatalf("%s: %v, ready: %v", tc.reason, err, k.Ready(nil))
			}
			leaf, err := k.GetCertificate(nil)
			if err != nil || !same(leaf, stored(t, c).leaf) {
				t.Errorf("%s: what is served is not what is stored (%v)", tc.reason, err)
			}
			if len(tc.objects) > 0 && !good(leaf, parseBundle(injected(t, c)), names, start) {
				t.Errorf("%s: the API server would not trust it", tc.reason)
			}
		})
	}
}

// Replicas that start at the same time must agree on one authority and one leaf.
func TestReplicasRace(t *testing.T) {
	t.Parallel()
	for range 20 {
		c, clk := aCluster(aConfiguration()), clocktesting.NewFakeClock(start)
		replicas := []*Keeper{aKeeper(c, clk), aKeeper(c, clk), aKeeper(c, clk)}
		for _, d := range []time.Duration{0, 61 * day, 7 * 365 * day, 2 * time.Hour} {
			clk.Step(d)
			var all sync.WaitGroup
			errs := make([]error, len(replicas))
			for i, k := range replicas {
				all.Go(func() { errs[i] = k.Ensure(t.Context()) })
			}
			all.Wait()
			if err := errors.Join(errs...); err != nil {
				t.Fatal(err)
			}
			s := stored(t, c)
			for i, k := range replicas {
				if leaf := k.serving.Load(); !signedBy(leaf, s.signer.Leaf) {
					t.Errorf("after %s replica %d serves a leaf of another authority", d, i)
				}
				ensure(t, k)
				if !same(k.serving.Load(), s.leaf) {
					t.Errorf("after %s replica %d serves another leaf", d, i)
				}
			}
			if diff := cmp.Diff(string(encodeBundle(s.bundle)), string(injected(t, c))); diff != "" {
				t.Errorf("after %s (-stored +injected):\n%s", d, diff)
			}
		}
	}
}

// I13: a replica that is delayed before it writes the
// configuration must not overwrite a newer bundle with an old one.
func TestI13AnOldBundleIsNotPutBack(t *testing.T) {
	t.Parallel()
	c, clk := aCluster(aConfiguration()), clocktesting.NewFakeClock(start)
	other := aKeeper(c, clk)
	heldUp := false
	late := aKeeper(interceptor.NewClient(c, interceptor.Funcs{
		Patch: func(ctx context.Context, w client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			first := !heldUp
			if first {
				heldUp = true
				ensure(t, other)
				clk.Step(7 * 365 * day)
				ensure(t, other)
				clk.Step(overlap)
				ensure(t, other)
			}
			err := w.Patch(ctx, o, p, opts...)
			if first && !apierrors.IsConflict(err) {
				t.Errorf("the old bundle was put back (%v)", err)
			}
			return err
		},
	}), clk)
	ensure(t, late)
	s := stored(t, c)
	if len(s.bundle) != 2 || s.next != nil {
		t.Fatalf("the other has not changed the authority: %d authorities", len(s.bundle))
	}
	if diff := cmp.Diff(string(encodeBundle(s.bundle)), string(injected(t, c))); diff != "" {
		t.Errorf("(-stored +injected):\n%s", diff)
	}
	if !same(late.serving.Load(), s.leaf) {
		t.Error("the late one serves another leaf")
	}
}

// A replica that has read the configuration just before another replica dropped an authority
// must not take the old bundle for a foreign change, which would bring the authority back.
func TestTheOthersStepIsNoForeignChange(t *testing.T) {
	t.Parallel()
	c, clk := aCluster(aConfiguration()), clocktesting.NewFakeClock(start)
	other := aKeeper(c, clk)
	for _, d := range []time.Duration{0, 7 * 365 * day, overlap} {
		clk.Step(d)
		ensure(t, other)
	}
	clk.Step(overlap)
	between := false
	late := aKeeper(interceptor.NewClient(c, interceptor.Funcs{
		Get: func(ctx context.Context, w client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if key.Name == secretName && !between {
				between = true
				ensure(t, other)
			}
			return w.Get(ctx, key, o, opts...)
		},
	}), clk)
	ensure(t, late)
	if s := stored(t, c); !between || len(s.bundle) != 1 || len(parseBundle(injected(t, c))) != 1 {
		t.Errorf("%d authorities stored, %d injected, want one", len(s.bundle), len(parseBundle(injected(t, c))))
	}
}

func TestReady(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason string
		after  time.Duration
		want   string
	}{
		"Fresh":     {reason: "just looked after", after: 0},
		"AWhile":    {reason: "the API server was away for a while", after: maxAge - time.Second},
		"TooLong":   {reason: "the authority may leave the bundle soon", after: maxAge, want: "has not been looked after since 2030-01-02T03:04:05Z"},
		"ClockBack": {reason: "it is not valid yet", after: -2 * time.Hour, want: "is valid from 2030-01-02T02:04:05Z to 2030-04-02T03:04:05Z"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clk := clocktesting.NewFakeClock(start)
			k := aKeeper(aCluster(aConfiguration()), clk)
			ensure(t, k)
			clk.Step(tc.after)
			err := k.Ready(nil)
			if (err == nil) != (tc.want == "") || (err != nil && !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("%s: %v, want %q", tc.reason, err, tc.want)
			}
		})
	}
}

// Start must make a pass every 30 s, every 5 s after a failure, and end with its context.
func TestStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var fails atomic.Bool
		var passes atomic.Int64
		c := interceptor.NewClient(aCluster(aConfiguration()), interceptor.Funcs{
			Get: func(ctx context.Context, w client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				if key.Name == hookName {
					passes.Add(1)
				}
				if fails.Load() {
					return errors.New("no API server")
				}
				return w.Get(ctx, key, o, opts...)
			},
		})
		k := aKeeper(c, nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- k.Start(ctx) }()
		synctest.Wait()
		if err := k.Ready(nil); err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			reason string
			fails  bool
			want   int64
		}{
			{reason: "one look every 30 s", want: 20},
			{reason: "one every 5 s after one that failed, the first of them 30 s after one that did not", fails: true, want: 115},
			{reason: "and back", want: 20},
		} {
			fails.Store(tc.fails)
			passes.Store(0)
			<-time.After(10 * time.Minute)
			synctest.Wait()
			if d := passes.Load() - tc.want; d < -1 || d > 1 {
				t.Errorf("%s: %d looks in ten minutes, want about %d", tc.reason, passes.Load(), tc.want)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// A handshake without a certificate must fail with an error.
func TestServesTLS(t *testing.T) {
	t.Parallel()
	k := aKeeper(aCluster(aConfiguration()), clocktesting.NewFakeClock(start))
	if c, err := k.GetCertificate(&tls.ClientHelloInfo{}); err == nil || c != nil {
		t.Errorf("it served %v", c)
	}
	if k.NeedLeaderElection() {
		t.Error("it would wait to be elected")
	}
}
