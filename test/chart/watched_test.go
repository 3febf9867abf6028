package chart

import (
	"context"
	"errors"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
)

// watches runs a manager with the rights of a release that watches only the namespace
// "watched". It first deletes the release's webhooks, because no replica answers them.
func watches(t *testing.T, release string) {
	t.Helper()
	hooks := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: "ValidatingWebhookConfiguration"}, ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.WebhookConfigurationName}}
	if err := env.Client.Delete(t.Context(), hooks); err != nil {
		t.Fatal(err)
	}
	in := func(namespace, name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: namespace, Name: name}
	}
	inside, outside := &v1alpha1.ArtifactStore{ObjectMeta: in("watched", "acme")}, &v1alpha1.ArtifactStore{ObjectMeta: in("unwatched", "acme")}
	inside.Spec.Registry.URL, outside.Spec.Registry.URL = "http://127.0.0.1:1/inside", "http://127.0.0.1:1/outside"
	for _, o := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "unwatched"}},
		&corev1.Secret{ObjectMeta: in("unwatched", "push")}, &corev1.Secret{ObjectMeta: in("watched", "push")}, outside, inside,
	} {
		create(t, o)
	}

	kube := env.As("system:serviceaccount:" + release + ":nfo-manager")
	manager, err := client.New(kube, client.Options{Scheme: env.Client.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	mgr, err := controller.NewManager(t.Context(), kube, ctrl.Options{
		Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0", Controller: config.Controller{SkipNameValidation: new(true)},
	}, controller.Options{PollsPerSecond: 100, Watched: []string{"watched"}, Purger: cronjob.Settings{Image: repository, Resources: cronjob.DefaultResources()}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		release := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
		if err := errors.Join(env.Client.Delete(t.Context(), inside), env.Client.Patch(t.Context(), inside, release)); err != nil {
			t.Error(err)
		}
	}()

	until(t, "a purge is scheduled in the watched namespace", func() error {
		return errors.Join(env.Client.Get(t.Context(), client.ObjectKey{Namespace: "watched", Name: cronjob.ObjectName("acme")}, &batchv1.CronJob{}),
			env.Client.Get(t.Context(), client.ObjectKeyFromObject(inside), inside))
	})
	until(t, "its status is written", func() error {
		if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(inside), inside); err != nil || len(inside.Status.Conditions) > 0 {
			return err
		}
		return errors.New("no condition")
	})
	get(t, client.ObjectKeyFromObject(outside), outside)
	if len(outside.Status.Conditions)+len(outside.Finalizers) > 0 {
		t.Errorf("a store elsewhere has got %v %v", outside.Finalizers, outside.Status.Conditions)
	}
	for namespace, allowed := range map[string]bool{"watched": true, "unwatched": false} {
		err := manager.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "push"}, &corev1.Secret{})
		if (err == nil) != allowed || (err != nil && !apierrors.IsForbidden(err)) {
			t.Errorf("reading a Secret of the namespace %s: %v", namespace, err)
		}
	}
	if err := manager.List(t.Context(), &v1alpha1.ArtifactManifestList{}, client.InNamespace("unwatched")); err != nil {
		t.Errorf("what keeps an artifact is seen everywhere: %v", err)
	}
	if err := manager.Patch(t.Context(), outside, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"a":"b"}}}`))); !apierrors.IsForbidden(err) {
		t.Errorf("changing a store elsewhere: %v", err)
	}
}

func create(t *testing.T, o client.Object) {
	t.Helper()
	if err := env.Client.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

func until(t *testing.T, what string, check func() error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		last = check()
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("%s: %v", what, last)
	}
}
