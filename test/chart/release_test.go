package chart

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestRelease goes through the life of a release. The cluster has no node, so it leaves out the hooks.
func TestRelease(t *testing.T) {
	t.Parallel()
	t.Cleanup(func() { forget(t) })
	run := func(args ...string) {
		t.Helper()
		if _, err := helm(t, "", args...); err != nil {
			t.Fatal(err)
		}
	}
	set := "image.repository=" + repository
	run("install", "nfo", older(t), "--namespace", "release", "--create-namespace", "--set", set+",webhooks.timeoutSeconds=9")
	if got := column(t); got != "Old" {
		t.Errorf("the first column of a CRD is %s", got)
	}
	bundle := inject(t)

	for _, more := range [][]string{{"--set", "crds.install=false"}, {"--take-ownership"}} {
		_, err := helm(t, "", append([]string{"install", "second", folder, "--namespace", "elsewhere", "--create-namespace", "--set", set}, more...)...)
		if err == nil || !strings.Contains(err.Error(), "There is an nfo in the namespace release already") {
			t.Errorf("a cluster holds one nfo, and a second one with %s says: %v", more, err)
		}
	}

	run("upgrade", "nfo", folder, "--namespace", "release", "--reset-then-reuse-values", "--set", "scale=medium,podLabels.mesh=none")
	if got := column(t); got == "Old" {
		t.Error("an upgrade leaves the CRDs as they were")
	}
	w, d := &admissionregistrationv1.ValidatingWebhookConfiguration{}, &appsv1.Deployment{}
	get(t, client.ObjectKey{Name: "nfo-validating"}, w)
	get(t, client.ObjectKey{Namespace: "release", Name: "nfo-manager"}, d)
	for _, hook := range w.Webhooks {
		if *hook.TimeoutSeconds != 9 || string(hook.ClientConfig.CABundle) != bundle || *hook.FailurePolicy != admissionregistrationv1.Fail {
			t.Errorf("%s: what the manager wrote and what was set before should be there after an upgrade: %+v", hook.Name, hook)
		}
	}
	if *d.Spec.Replicas != 2 || d.Spec.Template.Labels["mesh"] != "none" {
		t.Errorf("the Deployment is not upgraded: %d replicas, pods with %v", *d.Spec.Replicas, d.Spec.Template.Labels)
	}

	enablesRegistry(t, run)

	run("uninstall", "nfo", "--namespace", "release", "--no-hooks")
	if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(w), w); !apierrors.IsNotFound(err) {
		t.Errorf("the webhooks are there after an uninstall, and nobody to answer: %v", err)
	}
	column(t) // deleting the CRDs would delete all objects
	keepsTheVolume(t)

	run("install", "nfo", folder, "--namespace", "release", "--set", set+",registry.enabled=true,registry.persistence.retain=false")
	run("uninstall", "nfo", "--namespace", "release", "--no-hooks")
	losesTheVolume(t)
	if _, err := helm(t, "", "install", "other", folder, "--namespace", "elsewhere", "--set", set); err == nil || !strings.Contains(err.Error(), "CustomResourceDefinition") {
		t.Errorf("the CRDs that stay are the first release's: %v", err)
	}
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "watched"}})
	run("install", "other", folder, "--namespace", "elsewhere", "--create-namespace", "--set", set+",watchNamespaces={watched}", "--take-ownership")
	watches(t, "elsewhere")
	run("uninstall", "other", "--namespace", "elsewhere", "--no-hooks")
}

// forget deletes the CRDs, which uninstalling keeps.
func forget(t *testing.T) {
	ctx := context.WithoutCancel(t.Context())
	all := &unstructured.UnstructuredList{}
	all.SetAPIVersion("apiextensions.k8s.io/v1")
	all.SetKind("CustomResourceDefinitionList")
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		err := env.Client.List(ctx, all, client.MatchingLabels{"app.kubernetes.io/name": "nfo"})
		for i := range all.Items {
			err = errors.Join(err, client.IgnoreNotFound(env.Client.Delete(ctx, &all.Items[i])))
		}
		return len(all.Items) == 0, err
	})
	if err != nil {
		t.Errorf("deleting the CRDs: %v", err)
	}
}

func get(t *testing.T, key client.ObjectKey, o client.Object) {
	t.Helper()
	if err := env.Client.Get(t.Context(), key, o); err != nil {
		t.Fatal(err)
	}
}

// older returns a copy of the chart as an earlier version could have
// been: a column of a kind has another name, and there is no registry.
func older(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "nfo")
	if err := os.CopyFS(dir, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	withoutRegistry(t, dir)
	file := filepath.Join(dir, "files", "crd", "nfo.dev_tombstones.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "      name: Manifest\n", "      name: Old\n", 1)
	if changed == string(text) {
		t.Fatal("tombstones have no column Manifest")
	}
	if err := os.WriteFile(file, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// column returns the name of the first column of tombstones.
func column(t *testing.T) string {
	t.Helper()
	crd := &unstructured.Unstructured{}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind("CustomResourceDefinition")
	get(t, client.ObjectKey{Name: "tombstones.nfo.dev"}, crd)
	versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
	if err != nil || len(versions) != 1 {
		t.Fatalf("%d versions: %v", len(versions), err)
	}
	columns, _, err := unstructured.NestedSlice(versions[0].(map[string]any), "additionalPrinterColumns")
	if err != nil || len(columns) == 0 {
		t.Fatalf("no columns: %v", err)
	}
	return columns[0].(map[string]any)["name"].(string)
}

// inject writes a CA bundle into the webhooks, as the manager does, and returns it.
func inject(t *testing.T) string {
	t.Helper()
	w := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	get(t, client.ObjectKey{Name: "nfo-validating"}, w)
	before := w.DeepCopy()
	for i := range w.Webhooks {
		w.Webhooks[i].ClientConfig.CABundle = env.Admin.CAData
	}
	if err := env.Client.Patch(t.Context(), w, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, w); diff == "" {
		t.Fatal("there are no webhooks")
	}
	return string(env.Admin.CAData)
}
