package incluster_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/internal/clusterregistry/incluster"
)

const namespace = "operators"

func anUploadsSecret(data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "nfo-registry-uploads"}, Data: data}
}

func stored(t *testing.T, c client.Client) *corev1.Secret {
	t.Helper()
	s := anUploadsSecret(nil)
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(s), s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestUploadsSecret(t *testing.T) {
	t.Parallel()
	secrets := schema.GroupResource{Resource: "secrets"}
	conflict := func(context.Context, client.WithWatch, client.Object, ...client.UpdateOption) error {
		return apierrors.NewConflict(secrets, "nfo-registry-uploads", errors.New("changed"))
	}
	for name, tc := range map[string]struct {
		reason  string
		objects []client.Object
		fails   interceptor.Funcs
		want    string // "": a new secret of 64 characters
		err     string
	}{
		"Missing": {reason: "outside of the chart nobody has created it"},
		"Empty":   {reason: "the chart has created it without data", objects: []client.Object{anUploadsSecret(nil)}},
		"Short":   {reason: "it could be guessed", objects: []client.Object{anUploadsSecret(map[string][]byte{"secret": []byte("15 bytes ......"), "note": []byte("ours")})}},
		"There":   {reason: "another replica uses it", objects: []client.Object{anUploadsSecret(map[string][]byte{"secret": []byte("sixteen bytes ..")})}, want: "sixteen bytes .."},
		"NotCreated": {
			reason: "the right to create Secrets is missing, and the chart creates this one",
			fails: interceptor.Funcs{Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
				return apierrors.NewForbidden(secrets, "nfo-registry-uploads", errors.New("no such right"))
			}},
			err: "keeping the secret of uploads in Secret operators/nfo-registry-uploads: secrets",
		},
		"AlwaysBeaten": {
			reason: "it gives up, and says so", objects: []client.Object{anUploadsSecret(nil)}, fails: interceptor.Funcs{Update: conflict},
			err: "keeping the secret of uploads in Secret operators/nfo-registry-uploads: it changed on every attempt",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := fake.NewClientBuilder().WithObjects(tc.objects...).Build()
			got, err := incluster.UploadsSecret(t.Context(), interceptor.NewClient(c, tc.fails), namespace)
			if tc.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), tc.err) {
					t.Errorf("%s: %q, %v, want %q", tc.reason, got, err, tc.err)
				}
				return
			}
			if err != nil || got != string(stored(t, c).Data["secret"]) || tc.want != "" && got != tc.want || tc.want == "" && len(got) != 64 {
				t.Errorf("%s: %q, %v, want %q", tc.reason, got, err, tc.want)
			}
			if name == "Short" && string(stored(t, c).Data["note"]) != "ours" {
				t.Errorf("what others wrote is gone")
			}
		})
	}
}

// Replicas that start at once must share one secret, and each installation must have a different one.
func TestReplicasShareTheUploadsSecret(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for i := range 20 {
		c := fake.NewClientBuilder().Build()
		if i%2 == 0 {
			c = fake.NewClientBuilder().WithObjects(anUploadsSecret(nil)).Build()
		}
		var all sync.WaitGroup
		secrets, errs := make([]string, 4), make([]error, 4)
		for r := range secrets {
			all.Go(func() { secrets[r], errs[r] = incluster.UploadsSecret(t.Context(), c, namespace) })
		}
		all.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		for _, s := range secrets {
			if s != string(stored(t, c).Data["secret"]) {
				t.Errorf("a replica uses another secret")
			}
		}
		if seen[secrets[0]] {
			t.Errorf("a secret was drawn twice")
		}
		seen[secrets[0]] = true
	}
}

func TestKeeper(t *testing.T) {
	t.Parallel()
	c := fake.NewClientBuilder().Build()
	k := incluster.Keeper(c, namespace, []string{"registry.example.com", "192.0.2.7"}, false, logr.Discard())
	if err := k.Ready(nil); err == nil {
		t.Error("it is ready without a certificate")
	}
	if err := k.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	served, err := k.GetCertificate(nil)
	if err != nil || k.Ready(nil) != nil {
		t.Fatal(err, k.Ready(nil))
	}
	for _, name := range []string{"nfo-registry.operators.svc", "nfo-registry.operators.svc.cluster.local", "localhost", "127.0.0.1", "::1", "registry.example.com", "192.0.2.7"} {
		if err := served.Leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	for name, o := range map[string]client.Object{"nfo-registry-certificate": &corev1.Secret{}, "nfo-registry-ca": &corev1.ConfigMap{}} {
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, o); err != nil {
			t.Error(err)
		}
	}
}
