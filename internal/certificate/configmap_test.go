package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

const mapName = "nfo-registry-ca"

var mapNames = []string{"nfo-registry.nfo-system.svc", "nfo-registry.nfo-system.svc.cluster.local", "nfo-registry.nfo-system", "localhost", "127.0.0.1", "::1"}

func aMapKeeper(c client.Client, clk clock.Clock) *Keeper {
	return New(Options{
		Client: c, Namespace: namespace, Secret: secretName, Service: "nfo-registry", ConfigMap: mapName, Names: mapNames[3:], Of: "registry",
		Clock: clk, Log: logr.Discard(),
	})
}

func aMap(data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: mapName, Labels: map[string]string{"team": "core"}}, Data: data}
}

// published returns the ConfigMap.
func published(t *testing.T, c client.Client) *corev1.ConfigMap {
	t.Helper()
	o := &corev1.ConfigMap{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: mapName}, o); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestConfigMapGetsTheBundle(t *testing.T) {
	t.Parallel()
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, mapName, errors.New("no such right"))
	for name, tc := range map[string]struct {
		reason      string
		objects     []client.Object
		fails       interceptor.Funcs
		authorities int
		keeps       map[string]string
		err         string // also the error of Ready
	}{
		"Missing": {reason: "it is created", authorities: 1},
		"Empty": {
			reason: "an installation has created both objects without data", authorities: 1, keeps: map[string]string{"note": "ours"},
			objects: []client.Object{aMap(map[string]string{"note": "ours"}), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: secretName}}},
		},
		"Foreign": {
			reason: "replicas may still serve a certificate of the authority in it", authorities: 2,
			objects: []client.Object{aMap(map[string]string{keyBundle: string(encodeBundle(foreignBundle(t)))})},
		},
		"NotCreated": {
			reason: "clients do not know the authority, so its certificate must not be served",
			fails: interceptor.Funcs{Create: func(ctx context.Context, w client.WithWatch, o client.Object, opts ...client.CreateOption) error {
				if o.GetName() == mapName {
					return forbidden
				}
				return w.Create(ctx, o, opts...)
			}},
			err: "creating ConfigMap nfo-system/nfo-registry-ca: configmaps",
		},
		"NotWritten": {
			reason:  "the same, where it exists",
			objects: []client.Object{aMap(nil)},
			fails: interceptor.Funcs{Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
				return forbidden
			}},
			err: "publishing the certificate authorities in ConfigMap nfo-system/nfo-registry-ca: configmaps",
		},
		"NotRead": {
			reason: "what it has is not known",
			fails: interceptor.Funcs{Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
				return forbidden
			}},
			err: "reading ConfigMap nfo-system/nfo-registry-ca: configmaps",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := aCluster(tc.objects...)
			k := aMapKeeper(interceptor.NewClient(c, tc.fails), clocktesting.NewFakeClock(start))
			err := k.Ensure(t.Context())
			if tc.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), tc.err) {
					t.Errorf("%s: error %v, want %q", tc.reason, err, tc.err)
				}
				if _, err := k.GetCertificate(nil); err == nil || k.Ready(nil) == nil || err.Error() != "the registry has no certificate yet" {
					t.Errorf("%s: served: %v, ready: %v", tc.reason, err, k.Ready(nil))
				}
				return
			}
			o := published(t, c)
			bundle := parseBundle([]byte(o.Data[keyBundle]))
			leaf, _ := k.GetCertificate(nil)
			if err != nil || len(bundle) != tc.authorities || !good(leaf, bundle, mapNames, start) {
				t.Errorf("%s: %v, %d authorities, want %d", tc.reason, err, len(bundle), tc.authorities)
			}
			for key, value := range tc.keeps {
				if o.Data[key] != value || o.Labels["team"] != "core" {
					t.Errorf("%s: what others wrote is gone: %v %v", tc.reason, o.Data, o.Labels)
				}
			}
		})
	}
}

func foreignBundle(t *testing.T) []*x509.Certificate {
	return []*x509.Certificate{must[*tls.Certificate](t)(newAuthority(start)).Leaf}
}

// Three concurrent replicas take the registry's certificate through both rotations. The
// ConfigMap is deleted in between, so the overlap begins when the new ConfigMap has the bundle.
func TestConfigMapIsCarriedThroughRotations(t *testing.T) {
	t.Parallel()
	c, clk := aCluster(), clocktesting.NewFakeClock(start)
	replicas := []*Keeper{aMapKeeper(c, clk), aMapKeeper(c, clk), aMapKeeper(c, clk)}
	for _, tc := range []struct {
		reason      string
		after       time.Duration
		deleted     bool
		authorities int
		signs       int // index in the bundle of the authority that signed the leaf
	}{
		{reason: "all is made once", authorities: 1},
		{reason: "the leaf is renewed", after: 61 * day, authorities: 1},
		{reason: "the next authority is announced", after: 7 * 365 * day, authorities: 2},
		{reason: "the time counts anew, because clients may not have seen the bundle", after: overlap - time.Minute, deleted: true, authorities: 2},
		{reason: "an overlap after it was announced is too early", after: 2 * time.Minute, authorities: 2},
		{reason: "the next authority signs", after: overlap, authorities: 2, signs: 1},
		{reason: "the old authority leaves", after: overlap, authorities: 1},
	} {
		clk.Step(tc.after)
		if tc.deleted {
			if err := c.Delete(t.Context(), published(t, c)); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 { // a replica that was ahead of the others serves what it decided before
			var all sync.WaitGroup
			errs := make([]error, len(replicas))
			for i, k := range replicas {
				all.Go(func() { errs[i] = k.Ensure(t.Context()) })
			}
			all.Wait()
			if err := errors.Join(errs...); err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
		}
		bundle := parseBundle([]byte(published(t, c).Data[keyBundle]))
		if diff := cmp.Diff(string(encodeBundle(stored(t, c).bundle)), published(t, c).Data[keyBundle]); diff != "" || len(bundle) != tc.authorities {
			t.Fatalf("%s: %d authorities, want %d (-stored +published):\n%s", tc.reason, len(bundle), tc.authorities, diff)
		}
		for i, k := range replicas {
			if leaf := k.serving.Load(); !signedBy(leaf, bundle[tc.signs]) || !good(leaf, bundle, mapNames, clk.Now()) {
				t.Errorf("%s: replica %d serves a leaf of another authority, or one that clients do not trust", tc.reason, i)
			}
		}
	}
}
