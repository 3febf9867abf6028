package chart

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/internal/clusterregistry/incluster"
)

// withoutRegistry removes the registry and the mirror from a copy of the chart.
func withoutRegistry(t *testing.T, dir string) {
	t.Helper()
	change := func(name string, change func(string) string) {
		name = filepath.Join(dir, name)
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		changed := change(string(text))
		if changed == string(text) {
			t.Fatalf("%s has no registry", name)
		}
		if err := os.WriteFile(name, []byte(changed), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	never := func(text string) string {
		return strings.NewReplacer("$.Values.registry.enabled", "false", ".Values.registry.enabled", "false",
			"$.Values.mirror.enabled", "false", ".Values.mirror.enabled", "false").Replace(text)
	}
	change("templates/deployment.yaml", never)
	change("templates/_helpers.tpl", never)
	change("templates/mirror/_store.tpl", never)
	for _, name := range []string{"agent", "purger", "rbac", "store", "webhook"} {
		if err := os.RemoveAll(filepath.Join(dir, "templates", "mirror", name+".yaml")); err != nil {
			t.Fatal(err)
		}
	}
	change("templates/networkpolicy.yaml", never)
	change("templates/NOTES.txt", never)
	change("templates/alerts.yaml", never)
	change("templates/check.yaml", never)
	change("values.yaml", func(text string) string {
		before, rest, _ := strings.Cut(text, "\nregistry:\n")
		_, after, _ := strings.Cut(rest, "\n# -- Nodes that the operator may run on.")
		return before + after
	})
	if err := errors.Join(os.RemoveAll(filepath.Join(dir, "templates", "registry")), os.Remove(filepath.Join(dir, "files", "rbac", "registry.yaml"))); err != nil {
		t.Fatal(err)
	}
}

func inRelease(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "release", Name: name}
}

// enablesRegistry upgrades a release without a registry to one with a registry. With the rights that the chart gives
// to the registry, it writes what the registry's replicas share, and checks that a later upgrade does not change this.
func enablesRegistry(t *testing.T, run func(...string)) {
	t.Helper()
	d := &appsv1.Deployment{ObjectMeta: inRelease("nfo-registry")}
	if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(d), d); !apierrors.IsNotFound(err) {
		t.Fatalf("a release without a registry has one: %v", err)
	}
	upgrade := []string{"upgrade", "nfo", folder, "--namespace", "release", "--reset-then-reuse-values", "--set"}
	run(append(upgrade, "registry.enabled=true")...)
	get(t, client.ObjectKeyFromObject(d), d)

	registry, err := client.New(env.As("system:serviceaccount:release:nfo-registry"), client.Options{Scheme: env.Client.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	secret, err := incluster.UploadsSecret(t.Context(), registry, "release")
	if err != nil || len(secret) != 64 {
		t.Fatalf("the secret of uploads: %q, %v", secret, err)
	}
	keeper := incluster.Keeper(registry, "release", nil, false, logr.Discard())
	if err := errors.Join(keeper.Ensure(t.Context()), keeper.Ready(nil)); err != nil {
		t.Fatalf("the certificate: %v", err)
	}
	for _, o := range []client.Object{&corev1.Secret{ObjectMeta: inRelease("stolen")}, &corev1.ConfigMap{ObjectMeta: inRelease("stolen")}} {
		if err := registry.Create(t.Context(), o); !apierrors.IsForbidden(err) {
			t.Errorf("the registry creates any %T: %v", o, err)
		}
	}
	if err := registry.Get(t.Context(), client.ObjectKey{Namespace: "release", Name: "nfo-webhook-certificate"}, &corev1.Secret{}); !apierrors.IsForbidden(err) {
		t.Errorf("the registry reads the key of the webhooks: %v", err)
	}

	before := shared(t)
	run(append(upgrade, "registry.scale=medium")...)
	get(t, client.ObjectKeyFromObject(d), d)
	if memory := d.Spec.Template.Spec.Containers[0].Resources.Limits.Memory(); memory.String() != "1Gi" {
		t.Errorf("the registry is not upgraded: %s of memory", memory)
	}
	if diff := cmp.Diff(before, shared(t)); diff != "" {
		t.Errorf("an upgrade changes what the registry has written (-before +after):\n%s", diff)
	}
}

// shared returns what the registry's replicas share.
func shared(t *testing.T) map[string]string {
	t.Helper()
	uploads, leaf, bundle := &corev1.Secret{}, &corev1.Secret{}, &corev1.ConfigMap{}
	get(t, client.ObjectKey{Namespace: "release", Name: "nfo-registry-uploads"}, uploads)
	get(t, client.ObjectKey{Namespace: "release", Name: "nfo-registry-certificate"}, leaf)
	get(t, client.ObjectKey{Namespace: "release", Name: "nfo-registry-ca"}, bundle)
	all := map[string]string{"uploads": string(uploads.Data["secret"]), "leaf": string(leaf.Data["tls.crt"]), "bundle": bundle.Data["ca.crt"], "since": leaf.Annotations["nfo.dev/bundle-since"]}
	for name, text := range all {
		if text == "" {
			t.Errorf("%s is empty", name)
		}
	}
	return all
}

// keepsTheVolume checks after an uninstall that the volume exists and no key does.
func keepsTheVolume(t *testing.T) {
	t.Helper()
	get(t, client.ObjectKey{Namespace: "release", Name: "nfo-registry"}, &corev1.PersistentVolumeClaim{})
	for _, o := range []client.Object{
		&corev1.Secret{ObjectMeta: inRelease("nfo-registry-uploads")}, &corev1.Secret{ObjectMeta: inRelease("nfo-registry-certificate")},
		&corev1.ConfigMap{ObjectMeta: inRelease("nfo-registry-ca")}, &appsv1.Deployment{ObjectMeta: inRelease("nfo-registry")},
	} {
		if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(o), o); !apierrors.IsNotFound(err) {
			t.Errorf("%T %s is there after an uninstall: %v", o, o.GetName(), err)
		}
	}
}

// losesTheVolume checks the uninstall of a release that took the volume over and was configured to delete it.
func losesTheVolume(t *testing.T) {
	t.Helper()
	claim := &corev1.PersistentVolumeClaim{}
	err := env.Client.Get(t.Context(), client.ObjectKey{Namespace: "release", Name: "nfo-registry"}, claim)
	if !apierrors.IsNotFound(err) && claim.DeletionTimestamp.IsZero() { // no controller removes the finalizer here
		t.Errorf("the volume is there after an uninstall with retain=false: %v", err)
	}
}
