package store

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/controller/pass/passtest"
	"github.com/nfo-operator/nfo/internal/controller/wake"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
	"github.com/nfo-operator/nfo/internal/reference"
)

// purgedStore returns a store with a nightly purge.
func purgedStore() *v1alpha1.ArtifactStore {
	s := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: "publisher", Name: "acme", UID: "u2"}}
	s.Spec.Purge.Schedule = new("0 0 * * *")
	return s
}

var purgeSettings = cronjob.Settings{Image: "nfo:1", Resources: cronjob.DefaultResources()}

// made returns the only object of its kind that the manager makes for a store.
func made[T client.Object](t *testing.T, s *v1alpha1.ArtifactStore) T {
	t.Helper()
	for _, o := range cronjob.Objects(s, purgeSettings) {
		if o, ok := o.(T); ok {
			return o
		}
	}
	t.Fatal("no such object")
	return *new(T)
}

// edited returns an object after an edit by hand.
func edited[T client.Object](o T, edit func(T)) client.Object {
	o = pass.Clone(o)
	edit(o)
	return o
}

// cluster records the writes to it: verb and kind.
type cluster struct {
	client.Client
	writes []string
}

func newCluster(t *testing.T, objects ...client.Object) *cluster {
	t.Helper()
	scheme, err := reference.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{}
	wrote := func(verb string, o client.Object) {
		gvk, err := c.GroupVersionKindFor(o)
		if err != nil {
			t.Error(err)
		}
		c.writes = append(c.writes, verb+" "+gvk.Kind)
	}
	c.Client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, w client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			wrote("create", o)
			return w.Create(ctx, o, opts...)
		},
		Update: func(ctx context.Context, w client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			wrote("update", o)
			return w.Update(ctx, o, opts...)
		},
		Delete: func(ctx context.Context, w client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			wrote("delete", o)
			return w.Delete(ctx, o, opts...)
		},
	}).Build()
	return c
}

func (c *cluster) reconciler() *Reconciler {
	return &Reconciler{Client: c, Live: c, Purger: purgeSettings}
}

func TestEditsByHandAreUndone(t *testing.T) {
	t.Parallel()
	s := purgedStore()
	cron := func(edit func(*batchv1.CronJob)) client.Object { return edited(made[*batchv1.CronJob](t, s), edit) }
	pod := func(edit func(*corev1.PodSpec)) client.Object {
		return cron(func(j *batchv1.CronJob) { edit(&j.Spec.JobTemplate.Spec.Template.Spec) })
	}
	container := func(edit func(*corev1.Container)) client.Object {
		return pod(func(p *corev1.PodSpec) { edit(&p.Containers[0]) })
	}
	binding := func(edit func(*rbacv1.RoleBinding)) client.Object {
		return edited(made[*rbacv1.RoleBinding](t, s), edit)
	}
	account := func(edit func(*corev1.ServiceAccount)) client.Object {
		return edited(made[*corev1.ServiceAccount](t, s), edit)
	}
	const ofJob, ofBinding, ofAccount = "update CronJob", "update RoleBinding", "update ServiceAccount"
	for name, tc := range map[string]struct {
		reason string
		have   client.Object
		want   string // the one write, "" for none
	}{
		"Same":          {"nothing has changed", cron(func(*batchv1.CronJob) {}), ""},
		"Spelling":      {"the same quantity in other words", container(func(c *corev1.Container) { c.Resources.Limits[corev1.ResourceCPU] = resource.MustParse("1000m") }), ""},
		"Annotated":     {"annotations are for other tools", cron(func(j *batchv1.CronJob) { j.Annotations = map[string]string{"team": "a"} }), ""},
		"Labelled":      {"so are other labels", binding(func(b *rbacv1.RoleBinding) { b.Labels["team"] = "a" }), ""},
		"PullSecret":    {"that is where a purge pod gets its pull secrets from", account(func(a *corev1.ServiceAccount) { a.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "pull"}} }), ""},
		"Schedule":      {"the store says when", cron(func(j *batchv1.CronJob) { j.Spec.Schedule = "1 1 1 1 *" }), ofJob},
		"Container":     {"a container more, which has the purge's rights", pod(func(p *corev1.PodSpec) { p.Containers = append(p.Containers, corev1.Container{Name: "x", Image: "x"}) }), ofJob},
		"InitContainer": {"another place for one", pod(func(p *corev1.PodSpec) { p.InitContainers = []corev1.Container{{Name: "x", Image: "x"}} }), ofJob},
		"NoContainer":   {"the container itself", pod(func(p *corev1.PodSpec) { p.Containers = nil }), ofJob},
		"Image":         {"another program", container(func(c *corev1.Container) { c.Image = "x" }), ofJob},
		"Command":       {"another program in the same image", container(func(c *corev1.Container) { c.Command = []string{"sh"} }), ofJob},
		"Argument":      {"an argument at the end", container(func(c *corev1.Container) { c.Args = append(c.Args, "--volume=/") }), ofJob},
		"Variable":      {"a variable, such as that of a proxy which reads along", container(func(c *corev1.Container) { c.Env = append(c.Env, corev1.EnvVar{Name: "HTTPS_PROXY", Value: "x"}) }), ofJob},
		"EnvFrom":       {"many of them", container(func(c *corev1.Container) { c.EnvFrom = []corev1.EnvFromSource{{Prefix: "X"}} }), ofJob},
		"Lowered":       {"a limit", container(func(c *corev1.Container) { c.Resources.Limits[corev1.ResourceMemory] = resource.MustParse("64Mi") }), ofJob},
		"Mount":         {"a mount", container(func(c *corev1.Container) { c.VolumeMounts = []corev1.VolumeMount{{Name: "x", MountPath: "/x"}} }), ofJob},
		"Privileged":    {"more than the restricted standard allows", container(func(c *corev1.Container) { c.SecurityContext.Privileged = new(true) }), ofJob},
		"Volume":        {"a volume", pod(func(p *corev1.PodSpec) { p.Volumes = []corev1.Volume{{Name: "x"}} }), ofJob},
		"HostNetwork":   {"the node's network", pod(func(p *corev1.PodSpec) { p.HostNetwork = true }), ofJob},
		"HostPID":       {"the node's processes", pod(func(p *corev1.PodSpec) { p.HostPID = true }), ofJob},
		"Account":       {"another identity", pod(func(p *corev1.PodSpec) { p.ServiceAccountName = "x" }), ofJob},
		"Node":          {"a node of somebody's choice", pod(func(p *corev1.PodSpec) { p.NodeName = "x" }), ofJob},
		"JobLabels":     {"labels of the Jobs", cron(func(j *batchv1.CronJob) { j.Spec.JobTemplate.Labels = nil }), ofJob},
		"Parallelism":   {"many pods at once", cron(func(j *batchv1.CronJob) { j.Spec.JobTemplate.Spec.Parallelism = new(int32(9)) }), ofJob},
		"Unlabelled":    {"without the labels the cache does not see it", binding(func(b *rbacv1.RoleBinding) { b.Labels = nil }), ofBinding},
		"Subject": {"somebody else gets the purge's rights", binding(func(b *rbacv1.RoleBinding) {
			b.Subjects = append(b.Subjects, rbacv1.Subject{Kind: "User", Name: "mallory"})
		}), ofBinding},
		"NoSubject":         {"the account has no rights", binding(func(b *rbacv1.RoleBinding) { b.Subjects = nil }), ofBinding},
		"AccountUnlabelled": {"the cache does not see it", account(func(a *corev1.ServiceAccount) { a.Labels = nil }), ofAccount},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := cronjob.Objects(s, purgeSettings)
			for i, o := range objects {
				if o.GetObjectKind().GroupVersionKind() == tc.have.GetObjectKind().GroupVersionKind() {
					objects[i] = tc.have
				}
			}
			c := newCluster(t, objects...)
			for range 2 { // the second pass must have nothing to do
				if err := c.reconciler().act(t.Context(), s, storeSeen{}, storeVerdict{scheduled: true}); err != nil {
					t.Fatalf("%s: %v", tc.reason, err)
				}
			}
			var want []string
			if tc.want != "" {
				want = []string{tc.want}
			}
			if diff := cmp.Diff(want, c.writes); diff != "" {
				t.Errorf("%s: writes: -want +got\n%s", tc.reason, diff)
			}
			c.isWhole(t, s, tc.reason)
		})
	}
}

// isWhole fails the test unless everything that decides what a purge may do is as the manager makes it.
func (c *cluster) isWhole(t *testing.T, s *v1alpha1.ArtifactStore, reason string) {
	t.Helper()
	for _, want := range cronjob.Objects(s, purgeSettings) {
		have := blank(want)
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(want), have); err != nil {
			t.Fatal(err)
		}
		if !metav1.IsControlledBy(have, s) || !asWanted(want, have) {
			t.Errorf("%s: %s is %+v", reason, objectID(want), have)
		}
	}
}

func TestObjectsOfOthersAreNotChanged(t *testing.T) {
	t.Parallel()
	s := purgedStore()
	owned := func(change func(*metav1.OwnerReference)) func(client.Object) {
		return func(o client.Object) {
			owners := o.GetOwnerReferences()
			change(&owners[0])
			o.SetOwnerReferences(owners)
		}
	}
	earlier := func(o *metav1.OwnerReference) { o.UID = "u1" }
	for name, tc := range map[string]struct {
		reason string
		edit   func(client.Object) // of the store's own object
		ours   bool
	}{
		"Nobodys":       {"it has no owner and no labels", func(o client.Object) { o.SetOwnerReferences(nil); o.SetLabels(nil) }, false},
		"Unowned":       {"anybody can copy labels", func(o client.Object) { o.SetOwnerReferences(nil) }, false},
		"NotControlled": {"an owner that is not the controller", owned(func(o *metav1.OwnerReference) { o.Controller = nil }), false},
		"OtherKind":     {"a controller of another kind", owned(func(o *metav1.OwnerReference) { o.UID, o.Kind = "u1", "Backup" }), false},
		"OtherGroup":    {"a kind of the same name in another group", owned(func(o *metav1.OwnerReference) { o.UID, o.APIVersion = "u1", "example.com/v1" }), false},
		"OtherStore":    {"copied from another store's", owned(func(o *metav1.OwnerReference) { o.UID, o.Name = "u1", "other" }), false},
		"Unlabelled":    {"an owner of that name, and no labels", func(o client.Object) { owned(earlier)(o); o.SetLabels(nil) }, false},
		"Earlier":       {"the store was deleted and applied again before its objects were collected", owned(earlier), true},
		"OtherVersion":  {"the API has another version by now", owned(func(o *metav1.OwnerReference) { o.UID, o.APIVersion = "u1", "nfo.dev/v1" }), true},
		"OwnUnlabelled": {"the store controls it", func(o client.Object) { o.SetLabels(nil) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i, own := range cronjob.Objects(s, purgeSettings) {
				tc.edit(own)
				c := newCluster(t, own)
				err := c.reconciler().act(t.Context(), s, storeSeen{}, storeVerdict{scheduled: true})
				if tc.ours {
					if err != nil {
						t.Errorf("%s: %v", tc.reason, err)
					}
					c.isWhole(t, s, tc.reason)
					continue
				}
				var taken *pass.NameTakenError
				if !errors.As(err, &taken) || !slices.Equal(taken.Objects, []string{objectID(cronjob.Objects(s, purgeSettings)[i])}) {
					t.Errorf("%s: %s: it says %v", tc.reason, objectID(own), err)
				}
				if len(c.writes) > 0 {
					t.Errorf("%s: %s: it does %v", tc.reason, objectID(own), c.writes)
				}
			}
		})
	}
}

func TestARoleBindingToAnotherRoleIsNotOurs(t *testing.T) {
	t.Parallel()
	s := purgedStore()
	c := newCluster(t, edited(made[*rbacv1.RoleBinding](t, s), func(b *rbacv1.RoleBinding) { b.RoleRef.Name = "admin" }))
	err := c.reconciler().act(t.Context(), s, storeSeen{}, storeVerdict{scheduled: true})
	if !errors.As(err, new(*pass.NameTakenError)) || len(c.writes) > 0 {
		t.Errorf("it says %v and does %v", err, c.writes)
	}
}

// Another client creates or changes the object between the read and the write, which must then fail.
func TestAWriteMeetsWhatWasRead(t *testing.T) {
	t.Parallel()
	s := purgedStore()
	for name, mine := range map[string]bool{"Created": false, "Changed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stale := edited(made[*rbacv1.RoleBinding](t, s), func(b *rbacv1.RoleBinding) { b.Subjects = nil })
			c := newCluster(t)
			if mine {
				c = newCluster(t, stale)
			}
			theirs := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: "acme-purger"}}
			live := interceptor.NewClient(c.Client.(client.WithWatch), interceptor.Funcs{Get: func(ctx context.Context, w client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				err := w.Get(ctx, key, o, opts...)
				if _, ok := o.(*rbacv1.RoleBinding); !ok {
					return err
				}
				_ = client.IgnoreNotFound(w.Delete(ctx, pass.Clone(theirs)))
				if err := w.Create(ctx, pass.Clone(theirs)); err != nil {
					t.Error(err)
				}
				return err
			}})
			r := c.reconciler()
			r.Live = live
			err := r.act(t.Context(), s, storeSeen{}, storeVerdict{scheduled: true})
			if kind, reason := pass.Classify(err); err == nil || kind != pass.Again || reason != v1alpha1.ReasonPending || !strings.HasPrefix(err.Error(), "keeping RoleBinding publisher/acme-purger: ") {
				t.Errorf("it says %v", err)
			}
			have := &rbacv1.RoleBinding{}
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(theirs), have); err != nil || len(have.Subjects) > 0 || len(have.OwnerReferences) > 0 {
				t.Errorf("their RoleBinding is %+v, %v", have, err)
			}
		})
	}
}

func TestAForeignCronJobStaysWithoutASchedule(t *testing.T) {
	t.Parallel()
	s := purgedStore()
	own := made[*batchv1.CronJob](t, s)
	s.Spec.Purge.Schedule = new("")
	for name, tc := range map[string]struct {
		have client.Object
		gone bool
	}{
		"Own":     {own, true},
		"Foreign": {edited(own, func(j *batchv1.CronJob) { j.OwnerReferences = nil }), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, tc.have)
			if err := c.reconciler().act(t.Context(), s, storeSeen{}, storeVerdict{scheduled: true}); err != nil {
				t.Fatal(err)
			}
			if gone := slices.Contains(c.writes, "delete CronJob"); gone != tc.gone {
				t.Errorf("it does %v", c.writes)
			}
			if touched := slices.Contains(c.writes, "update CronJob"); touched {
				t.Errorf("it does %v", c.writes)
			}
		})
	}
}

// A manager that is started without an image reports that purges have
// no CronJob, so it must delete the CronJob of an earlier manager.
func TestNoCronJobRunsForAManagerWithoutAnImage(t *testing.T) {
	t.Parallel()
	s := purgedStore()
	c := newCluster(t, made[*batchv1.CronJob](t, s))
	r := c.reconciler()
	r.Purger.Image = ""
	if err := r.act(t.Context(), s, storeSeen{}, storeVerdict{}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.writes, []string{"delete CronJob"}) {
		t.Errorf("it does %v", c.writes)
	}
}

func TestATakenNameIsSaid(t *testing.T) {
	t.Parallel()
	seen := aStore(func(*storeSeen) {})
	v := decideStore(seen)
	v.after(seen.store, &pass.NameTakenError{Objects: []string{"ServiceAccount ns/acme-purge", "RoleBinding ns/acme-purger"}})
	var all []metav1.Condition
	v.conditions.Apply(&all, 1)
	got := apimeta.FindStatusCondition(all, v1alpha1.ConditionPurgeHealthy)
	want := "Another object has the name that the purge of this store needs: ServiceAccount ns/acme-purge, RoleBinding ns/acme-purger. " +
		"nfo changes nothing under this name, because they were not made for this store. " +
		"Delete or rename them, or make a store with another name. nfo checks again every minute."
	if got.Status != metav1.ConditionFalse || got.Reason != v1alpha1.ReasonNameTaken || got.Message != want {
		t.Errorf("it says %+v", got)
	}
	if kind, _ := pass.Classify(&pass.NameTakenError{}); kind != pass.Stuck {
		t.Errorf("it is tried again as class %d", kind)
	}
}

func TestEditsOfPurgeObjectsWake(t *testing.T) {
	t.Parallel()
	s := purgedStore()
	status := func(j *batchv1.CronJob) { j.ResourceVersion, j.Status.LastScheduleTime = "2", new(metav1.Unix(1, 0)) }
	cron := func(edit func(*batchv1.CronJob)) client.Object {
		return edited(made[*batchv1.CronJob](t, s), func(j *batchv1.CronJob) {
			j.Generation = 1
			edit(j)
		})
	}
	for name, tc := range map[string]struct {
		reason   string
		was, has client.Object
		want     bool
	}{
		"Status":  {"Kubernetes writes it at every run", cron(func(*batchv1.CronJob) {}), cron(status), false},
		"Spec":    {"a new generation", cron(func(*batchv1.CronJob) {}), cron(func(j *batchv1.CronJob) { j.Generation = 2 }), true},
		"Labels":  {"without them the cache loses it", cron(func(*batchv1.CronJob) {}), cron(func(j *batchv1.CronJob) { j.Labels = nil }), true},
		"Owner":   {"it is another's now", cron(func(*batchv1.CronJob) {}), cron(func(j *batchv1.CronJob) { j.OwnerReferences = nil }), true},
		"Subject": {"a RoleBinding has no generation", made[*rbacv1.RoleBinding](t, s), edited(made[*rbacv1.RoleBinding](t, s), func(b *rbacv1.RoleBinding) { b.ResourceVersion = "2" }), true},
		"Resync":  {"nothing has happened", made[*rbacv1.RoleBinding](t, s), made[*rbacv1.RoleBinding](t, s), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := wake.LifeOrContent().Update(event.UpdateEvent{ObjectOld: tc.was, ObjectNew: tc.has}); got != tc.want {
				t.Errorf("%s: it passes: %t", tc.reason, got)
			}
		})
	}
}

// If a person ends the grace period of a tombstone, or takes that back, its status must show that.
func TestATombstoneSaysThatItExpires(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := metav1.NewTime(time.Now().Truncate(time.Second))
	grave := &v1alpha1.Tombstone{ObjectMeta: passtest.Meta("m-1")}
	grave.Spec = v1alpha1.TombstoneSpec{
		RegistryURL: w.Store.RegistryURL(), Cause: v1alpha1.CauseReleased, GracePeriod: metav1.Duration{Duration: time.Hour}, Manifest: v1alpha1.TombstoneManifest{Name: "m", UID: "u"},
		Artifacts: []v1alpha1.TombstoneArtifact{{Repository: "acme/m/a", Tag: "1", Digests: []string{"sha256:a"}}},
	}
	grave.BeginGrace(at, time.Hour, nil)
	if err := w.API.Create(t.Context(), grave); err != nil {
		t.Fatal(err)
	}
	for _, annotations := range []map[string]string{nil, {v1alpha1.AnnotationExpireNow: ""}, nil} {
		grave.Annotations = annotations
		if err := w.API.Update(t.Context(), grave); err != nil {
			t.Fatal(err)
		}
		w.passes(2)
		if err := w.API.Get(t.Context(), client.ObjectKeyFromObject(grave), grave); err != nil {
			t.Fatal(err)
		}
		tomorrow := grave.Status.RestorableUntil.Time.Equal(at.Add(time.Hour))
		says := strings.Contains(grave.Status.Conditions[0].Message, "nfo.dev/expire-now has ended the grace period")
		if expired := annotations != nil; tomorrow == expired || says != expired {
			t.Errorf("annotated with %v it is restorable until %v and says %s", annotations, grave.Status.RestorableUntil, grave.Status.Conditions[0].Message)
		}
	}
}
