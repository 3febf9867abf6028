package removal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
	"github.com/nfo-operator/nfo/internal/reference"
)

const others = "example.com/other"

// meta returns the metadata of an object in the namespace of a publisher.
func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "publisher", Name: name}
}

// made returns the metadata of an object that the manager made for a store.
func made() metav1.ObjectMeta {
	m := meta("purge")
	m.Labels = cronjob.Labels()
	m.OwnerReferences = []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.KindArtifactStore, Name: "acme", UID: "u", Controller: new(true)}}
	return m
}

// started returns the metadata of a Job that was started by the installation's CronJob, or from it by hand.
func started(name string) metav1.ObjectMeta {
	m := meta(name)
	m.Labels = cronjob.Labels()
	m.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "CronJob", Name: "purge", UID: "c"}}
	return m
}

// ours returns the metadata of an object that has nfo's finalizer and another one.
func ours(name string) metav1.ObjectMeta {
	m := meta(name)
	m.Finalizers = []string{v1alpha1.Finalizer, others}
	return m
}

// installation returns everything that an installation has in a cluster, and objects that only look like it.
func installation() []client.Object {
	hook := func(namespace string) admissionregistrationv1.WebhookClientConfig {
		return admissionregistrationv1.WebhookClientConfig{Service: &admissionregistrationv1.ServiceReference{Namespace: namespace, Name: "nfo-webhook"}}
	}
	inManager := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: v1alpha1.ManagerNamespace, Name: name}
	}
	handmade := meta("handmade")
	handmade.Labels = cronjob.Labels()
	purge := made()
	purge.UID = "c"
	return []client.Object{
		&admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.WebhookConfigurationName}, Webhooks: []admissionregistrationv1.ValidatingWebhook{{Name: "a.nfo.dev", ClientConfig: hook(v1alpha1.ManagerNamespace)}}},
		&admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.MutatingWebhookName}, Webhooks: []admissionregistrationv1.MutatingWebhook{{Name: "b.nfo.dev", ClientConfig: hook(v1alpha1.ManagerNamespace)}}},
		&appsv1.Deployment{ObjectMeta: inManager(v1alpha1.ManagerName), Spec: appsv1.DeploymentSpec{Replicas: new(int32(1)), Selector: &metav1.LabelSelector{MatchLabels: managerLabels}}},
		&corev1.Secret{ObjectMeta: inManager(v1alpha1.WebhookSecretName)},
		&coordinationv1.Lease{ObjectMeta: inManager(v1alpha1.ManagerName)},
		&batchv1.CronJob{ObjectMeta: purge}, &batchv1.CronJob{ObjectMeta: handmade},
		&rbacv1.RoleBinding{ObjectMeta: made()}, &rbacv1.Role{ObjectMeta: made()}, &corev1.ServiceAccount{ObjectMeta: made()},
		&v1alpha1.SiteNetworkService{ObjectMeta: ours("site")}, &v1alpha1.NetworkServiceDesignVersion{ObjectMeta: ours("design")},
		&v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: ours("definition")}, &v1alpha1.ArtifactManifest{ObjectMeta: ours("manifest")},
		&v1alpha1.ArtifactStore{ObjectMeta: ours("acme")}, &v1alpha1.ArtifactStore{ObjectMeta: meta("released")},
	}
}

// cluster is a fake API server with an installation whose manager ends when it is scaled down.
type cluster struct {
	client.WithWatch
	mu     sync.Mutex
	writes []string
	// fails, if not nil, returns the error of a write or read, given as verb and kind, such as "patch ArtifactStore".
	fails func(what string) error
}

func newCluster(t *testing.T, more ...client.Object) *cluster {
	t.Helper()
	scheme, err := reference.NewScheme()
	if err == nil {
		err = clientgoscheme.AddToScheme(scheme)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{}
	kind := func(o any) string {
		if known, ok := o.(client.Object); ok && known.GetObjectKind().GroupVersionKind().Kind != "" {
			return known.GetObjectKind().GroupVersionKind().Kind
		}
		if all, ok := o.(client.ObjectList); ok && all.GetObjectKind().GroupVersionKind().Kind != "" {
			return all.GetObjectKind().GroupVersionKind().Kind
		}
		name := fmt.Sprintf("%T", o)
		return name[strings.LastIndex(name, ".")+1:]
	}
	asked := func(verb string, o any, write bool) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		what := verb + " " + kind(o)
		if c.fails != nil {
			if err := c.fails(what); err != nil {
				return err
			}
		}
		if write {
			c.writes = append(c.writes, what)
		}
		return nil
	}
	c.WithWatch = fake.NewClientBuilder().WithScheme(scheme).WithObjects(append(installation(), more...)...).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, api client.WithWatch, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
			return errors.Join(asked("get", o, false), api.Get(ctx, key, o, options...))
		},
		List: func(ctx context.Context, api client.WithWatch, all client.ObjectList, options ...client.ListOption) error {
			if err := asked("list", all, false); err != nil {
				return err
			}
			return api.List(ctx, all, options...)
		},
		Patch: func(ctx context.Context, api client.WithWatch, o client.Object, p client.Patch, options ...client.PatchOption) error {
			if err := asked("patch", o, true); err != nil {
				return err
			}
			return api.Patch(ctx, o, p, options...)
		},
		Delete: func(ctx context.Context, api client.WithWatch, o client.Object, options ...client.DeleteOption) error {
			if err := asked("delete", o, true); err != nil {
				return err
			}
			return api.Delete(ctx, o, options...)
		},
		SubResourcePatch: func(ctx context.Context, api client.Client, sub string, o client.Object, _ client.Patch, _ ...client.SubResourcePatchOption) error {
			if err := asked("patch "+sub+" of", o, true); err != nil {
				return err
			}
			d := &appsv1.Deployment{}
			if err := api.Get(ctx, client.ObjectKeyFromObject(o), d); err != nil {
				return err
			}
			d.Spec.Replicas = new(int32(0))
			return api.Update(ctx, d)
		},
	}).Build()
	return c
}

// remove runs a removal and returns its output.
func (c *cluster) remove(t *testing.T, change ...func(*Config)) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cfg := Config{Client: c, Namespace: v1alpha1.ManagerNamespace, Timeout: 20 * time.Second, Out: &out}
	for _, change := range change {
		change(&cfg)
	}
	err := Run(t.Context(), cfg)
	return out.String(), err
}

// left returns the objects of an installation that still exist, and those of nfo's kinds that still have the finalizer.
func (c *cluster) left(t *testing.T) (there, held []string) {
	t.Helper()
	c.fails = nil
	for _, o := range installation() {
		name := strings.TrimPrefix(fmt.Sprintf("%T %s", o, o.GetName()), "*v1.")
		err := c.Get(t.Context(), client.ObjectKeyFromObject(o), o)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		there = append(there, name)
		for _, f := range o.GetFinalizers() {
			if f == v1alpha1.Finalizer {
				held = append(held, o.GetName())
			}
		}
		if len(o.GetFinalizers()) > 0 && o.GetFinalizers()[len(o.GetFinalizers())-1] != others {
			t.Errorf("%s has lost the finalizer of others", name)
		}
	}
	return there, held
}

func TestRunRemovesWhatIsOurs(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	out, err := c.remove(t)
	if err != nil {
		t.Fatalf("%v after\n%s", err, out)
	}
	there, held := c.left(t)
	want := []string{
		"Deployment nfo-manager", "CronJob handmade", "*v1alpha1.SiteNetworkService site", "*v1alpha1.NetworkServiceDesignVersion design", "*v1alpha1.NetworkFunctionDefinitionVersion definition",
		"*v1alpha1.ArtifactManifest manifest", "*v1alpha1.ArtifactStore acme", "*v1alpha1.ArtifactStore released",
	}
	if strings.Join(there, ", ") != strings.Join(want, ", ") || len(held) > 0 {
		t.Errorf("left are %q, and %v carry the finalizer", there, held)
	}
	for _, says := range []string{
		"webhooks: deleted: MutatingWebhookConfiguration", "manager: scaled to 0: Deployment nfo-system/nfo-manager", "purges: suspended: CronJob publisher/purge",
		"purges: deleted: CronJob publisher/purge (1 of 1)", "finalizers: 2 of 2 artifactstores, 1 removed", "done: what was installed can be deleted",
	} {
		if !strings.Contains(out, says) {
			t.Errorf("it does not say %q:\n%s", says, out)
		}
	}
	// A second removal has nothing to do, and that is not an error.
	if out, err := c.remove(t); err != nil || !strings.Contains(out, "webhooks: not there: ValidatingWebhookConfiguration") || !strings.Contains(out, "finalizers: 2 of 2 artifactstores, 0 removed") {
		t.Errorf("once more: %v\n%s", err, out)
	}
}

func TestI8ADryRunWritesNothingAndSaysAll(t *testing.T) {
	t.Parallel()
	c := newCluster(t, &batchv1.Job{ObjectMeta: started("running")})
	out, err := c.remove(t, func(cfg *Config) { cfg.DryRun = true })
	if err != nil || len(c.writes) > 0 {
		t.Errorf("%v, and it wrote %v", err, c.writes)
	}
	for _, says := range []string{
		"webhooks: would be deleted: ValidatingWebhookConfiguration", "manager: would be scaled to 0", "purges: would be waited for: Job publisher/running", "purges: would be deleted: RoleBinding publisher/purge",
		"manager: would be deleted: Secret nfo-system/", "finalizers: 1 of 1 artifactmanifests, 1 would be removed", "done: nothing was changed",
	} {
		if !strings.Contains(out, says) {
			t.Errorf("it does not say %q:\n%s", says, out)
		}
	}
}

func TestAnotherNamespaceChangesNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	_, err := c.remove(t, func(cfg *Config) { cfg.Namespace = "other" })
	if !errors.Is(err, ErrNamespace) || !strings.Contains(err.Error(), "say --namespace=nfo-system") || len(c.writes) > 0 {
		t.Errorf("%v, and it wrote %v", err, c.writes)
	}
}

// TestDenied checks that a failed gate stops everything after it, and that another failure stops only what depends on it.
func TestDenied(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		denied, says string
		// released is the number of objects that are unprotected nevertheless.
		released int
	}{
		"ReadWebhooks":   {"get ValidatingWebhookConfiguration", "by hand: kubectl delete validatingwebhookconfiguration", 0},
		"DeleteWebhooks": {"delete MutatingWebhookConfiguration", "by hand: kubectl delete mutatingwebhookconfiguration", 0},
		"ReadManager":    {"get Deployment", "by hand: kubectl scale -n nfo-system deployment/nfo-manager --replicas=0", 0},
		"Scale":          {"patch scale of Deployment", "scaling Deployment nfo-system/nfo-manager to 0", 0},
		"ListPods":       {"list PodList", "while it may run nothing else can be done", 0},
		"ListPurges":     {"list CronJobList", "by hand: kubectl delete cronjob -A -l", 5},
		"Suspend":        {"patch CronJob", "suspending CronJob publisher/purge", 5},
		"ListJobs":       {"list JobList", "listing jobs", 5},
		"DeletePurges":   {"delete CronJob", "by hand: kubectl delete cronjob -n publisher purge", 5},
		"DeleteRoles":    {"delete Role", "deleting Role publisher/purge", 5},
		"DeleteSecret":   {"delete Secret", "by hand: kubectl delete secret -n nfo-system", 5},
		"ListStores":     {"list ArtifactStoreList", "listing ArtifactStore.nfo.dev", 4},
		"Release":        {"patch ArtifactManifest", "finalizers of publisher/manifest", 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			c.fails = func(what string) error {
				if what != tc.denied {
					return nil
				}
				return apierrors.NewForbidden(schema.GroupResource{Resource: what}, "", errors.New("no"))
			}
			out, err := c.remove(t)
			if err == nil || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "forbidden") {
				t.Errorf("%v, want %q, after\n%s", err, tc.says, out)
			}
			if _, held := c.left(t); len(held) != 5-tc.released {
				t.Errorf("%v carry the finalizer, want %d", held, 5-tc.released)
			}
		})
	}
}

// An object that another writer changes at the same time is read again and unprotected.
func TestAConflictIsTriedAgain(t *testing.T) {
	t.Parallel()
	c, conflicts := newCluster(t), 0
	c.fails = func(what string) error {
		if what != "patch ArtifactStore" || conflicts > 0 {
			return nil
		}
		conflicts++
		return apierrors.NewConflict(schema.GroupResource{Resource: "artifactstores"}, "acme", errors.New("written"))
	}
	out, err := c.remove(t)
	if _, held := c.left(t); err != nil || len(held) > 0 || conflicts != 1 {
		t.Errorf("%v, after %d conflicts %v carry the finalizer:\n%s", err, conflicts, held, out)
	}
}

// A manager that still runs would undo the removal.
func TestAManagerThatRunsStopsAll(t *testing.T) {
	t.Parallel()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.ManagerNamespace, Name: "nfo-manager-0", Labels: managerLabels}, Spec: corev1.PodSpec{NodeName: "lost"}}
	c := newCluster(t, pod)
	_, err := c.remove(t, func(cfg *Config) { cfg.Timeout = 100 * time.Millisecond })
	if err == nil || !strings.Contains(err.Error(), "still waiting after 100ms for: pod nfo-system/nfo-manager-0 on node lost") {
		t.Errorf("%v", err)
	}
	if there, held := c.left(t); len(held) != 5 || strings.Contains(strings.Join(there, ","), "ValidatingWebhookConfiguration") {
		t.Errorf("left are %v, and %v carry the finalizer", there, held)
	}
}

// A running purge is waited for, and ended after half of the time. A purge that has ended is not waited for.
func TestPurgesAreWaitedFor(t *testing.T) {
	t.Parallel()
	ended := &batchv1.Job{ObjectMeta: started("ended"), Status: batchv1.JobStatus{Conditions: []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue}}}}
	c := newCluster(t, ended, &batchv1.Job{ObjectMeta: started("running")})
	out, err := c.remove(t, func(cfg *Config) { cfg.Timeout = 8 * time.Second })
	if err != nil || !strings.Contains(out, "purges: waiting for: Job publisher/running\n") || !strings.Contains(out, "purges: ended: Job publisher/running") || strings.Contains(out, "Job publisher/ended") {
		t.Errorf("%v\n%s", err, out)
	}
}

// A Job of another owner is neither waited for nor deleted, whatever its labels and its owner's name.
func TestI9AJobOfOthersIsLeftAlone(t *testing.T) {
	t.Parallel()
	foreign, owned := started("foreign"), started("owned")
	foreign.OwnerReferences, owned.OwnerReferences[0].UID = nil, "other"
	c := newCluster(t, &batchv1.Job{ObjectMeta: foreign}, &batchv1.Job{ObjectMeta: owned})
	out, err := c.remove(t, func(cfg *Config) { cfg.Timeout = 2 * time.Second })
	if err != nil || strings.Contains(out, "Job publisher/foreign") || strings.Contains(out, "Job publisher/owned") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, name := range []string{"foreign", "owned"} {
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: "publisher", Name: name}, &batchv1.Job{}); err != nil {
			t.Errorf("the Job %s: %v", name, err)
		}
	}
}

func TestARemovalThatIsStoppedSaysWhere(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("interrupted")
	c.fails = func(what string) error {
		if what == "patch NetworkServiceDesignVersion" {
			cancel(stopped)
		}
		return nil
	}
	err := Run(ctx, Config{Client: c, Namespace: v1alpha1.ManagerNamespace, Timeout: time.Minute, Out: &bytes.Buffer{}})
	if !errors.Is(err, stopped) || !strings.Contains(err.Error(), "run this again") {
		t.Errorf("%v", err)
	}
}

func TestManyNamesAreEnumerated(t *testing.T) {
	t.Parallel()
	var f failures
	for i := range 12 {
		f.note(fmt.Sprintf("p/%02d", i), errors.New("no"))
	}
	f.note("p/00", nil) // it was unprotected after the list was started again
	if err := f.err(); !strings.Contains(err.Error(), "finalizers of p/01: no") || strings.Contains(err.Error(), "p/11") || !strings.Contains(err.Error(), "and of 1 more") {
		t.Errorf("%v", err)
	}
	if got := enumerate(strings.Split(strings.Repeat("x ", 12)+"x", " ")); !strings.HasSuffix(got, "x, and 3 more") {
		t.Errorf("%s", got)
	}
}
