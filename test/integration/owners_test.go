package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
)

// purgerSettings are the settings of the managers of these tests.
var purgerSettings = cronjob.Settings{Image: purgerImage, Resources: cronjob.DefaultResources(), AllowLoopback: true}

// foreign returns objects that have the names of the purge of the store "acme" but belong to another owner.
func (s *scene) foreign() map[string]client.Object {
	pod := corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "backup", Image: "registry.example.com/backup:1"}}}
	return map[string]client.Object{
		"ServiceAccount": &corev1.ServiceAccount{ObjectMeta: s.meta("acme-purge")},
		"RoleBinding": &rbacv1.RoleBinding{ObjectMeta: s.meta("acme-purger"), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "auditors"},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "auditor"}}},
		"CronJob": &batchv1.CronJob{ObjectMeta: s.meta("acme-purge"), Spec: batchv1.CronJobSpec{
			Schedule: "1 1 1 1 *", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: pod}}},
		}},
	}
}

// content returns an object from the cluster as JSON, or "" if it does not exist.
func (s *scene) content(o client.Object) string {
	s.t.Helper()
	err := env.Client.Get(s.t.Context(), client.ObjectKeyFromObject(o), o)
	if client.IgnoreNotFound(err) != nil {
		s.t.Fatal(err)
	}
	if err != nil {
		return ""
	}
	text, err := json.Marshal(o)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// purgeObjects returns empty objects with the names of those that the manager makes for the store "acme".
func (s *scene) purgeObjects() []client.Object {
	return []client.Object{
		&corev1.ServiceAccount{ObjectMeta: s.meta("acme-purge")}, &rbacv1.RoleBinding{ObjectMeta: s.meta("acme-purger")},
		&batchv1.CronJob{ObjectMeta: s.meta("acme-purge")},
	}
}

// whole returns nil if all objects of a store's purge exist and are as the manager makes them.
func (s *scene) whole(st *v1alpha1.ArtifactStore) error {
	s.t.Helper()
	for _, want := range cronjob.Objects(st, purgerSettings) {
		have := want.DeepCopyObject().(client.Object)
		switch have.(type) {
		case *corev1.ServiceAccount:
			have = &corev1.ServiceAccount{}
		case *rbacv1.RoleBinding:
			have = &rbacv1.RoleBinding{}
		case *batchv1.CronJob:
			have = &batchv1.CronJob{}
		}
		if err := env.Client.Get(s.t.Context(), client.ObjectKeyFromObject(want), have); err != nil {
			return err
		}
		same := metav1.IsControlledBy(have, st) && equality.Semantic.DeepDerivative(want.GetLabels(), have.GetLabels())
		switch have := have.(type) {
		case *rbacv1.RoleBinding:
			same = same && equality.Semantic.DeepEqual(want.(*rbacv1.RoleBinding).Subjects, have.Subjects)
		case *batchv1.CronJob:
			same = same && equality.Semantic.DeepEqual(want.(*batchv1.CronJob).Spec, have.Spec)
		}
		if !same {
			return fmt.Errorf("want %+v, have %+v", want, have)
		}
	}
	return nil
}

func TestAForeignObjectOutlivesTheStore(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for kind := range s.foreign() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.SetDefaultEventuallyTimeout(recheck) // the manager does not watch objects that it does not own
			theirs := s.foreign()[kind]
			s.create(theirs)
			before := s.content(theirs)
			s.manage(scheduled)
			st := s.store("acme")
			s.create(st)
			says := []string{kind + " " + s.ns + "/" + theirs.GetName(), "changes nothing", "Delete or rename it"}
			s.says(st, v1alpha1.ConditionPurgeHealthy, "False/NameTaken", says...)
			s.eventually(st, v1alpha1.ConditionReady, "True/Ready")
			untouched := func() {
				t.Helper()
				s.Expect(s.content(theirs)).To(gomega.Equal(before), "the object of somebody else is changed")
				for _, o := range s.purgeObjects() {
					if fmt.Sprintf("%T", o) != fmt.Sprintf("%T", theirs) {
						s.Expect(s.content(o)).To(gomega.BeEmpty(), "%T is made beside it", o)
					}
				}
			}
			untouched()

			change(s, st, func(o *v1alpha1.ArtifactStore) { o.Spec.Purge.Schedule = new("2 2 * * *") })
			s.Eventually(func() int64 { return s.find(st, v1alpha1.ConditionPurgeHealthy).ObservedGeneration }).Should(gomega.Equal(st.Generation))
			s.says(st, v1alpha1.ConditionPurgeHealthy, "False/NameTaken", says...)
			untouched()

			s.delete(st)
			s.goes(st)
			untouched()

			again := s.store("acme")
			s.create(again)
			s.eventually(again, v1alpha1.ConditionPurgeHealthy, "False/NameTaken")
			s.delete(theirs)
			s.eventually(again, v1alpha1.ConditionPurgeHealthy, "True/Scheduled")
			s.Expect(s.whole(again)).To(gomega.Succeed())
		})
	}
}

func TestObjectsOfAnEarlierStoreAreTakenOver(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	before := s.store("acme")
	before.UID = "6a1ac0b6-0000-4000-8000-000000000000"
	for _, o := range cronjob.Objects(before, cronjob.Settings{Image: "registry.example.com/nfo:old"}) {
		s.create(o)
	}
	s.manage(scheduled)
	st := s.store("acme")
	s.create(st)
	s.eventually(st, v1alpha1.ConditionPurgeHealthy, "True/Scheduled")
	s.Eventually(func() error { return s.whole(st) }).Should(gomega.Succeed())
}

// The objects already contain what the API server would default. Otherwise the manager would write them in every pass.
func TestTheAPIServerAddsNothing(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*v1alpha1.ArtifactStore){
		"Plain": func(*v1alpha1.ArtifactStore) {},
		"Secret": func(st *v1alpha1.ArtifactStore) {
			st.Spec.Registry.CredentialsSecretRef = &v1alpha1.LocalReference{Name: "push"}
		},
		"Volume": func(st *v1alpha1.ArtifactStore) {
			st.Spec.Purge.Usage, st.Spec.Purge.PersistentVolumeClaim = v1alpha1.UsageVolume, &v1alpha1.LocalReference{Name: "registry"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			st := s.store("acme", edit)
			s.create(st)
			for _, o := range cronjob.Objects(st, purgerSettings) {
				s.create(o)
			}
			s.Expect(s.whole(st)).To(gomega.Succeed())
		})
	}
}

func TestEditsOfPurgeObjectsAreUndone(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(scheduled)
	st := s.scheduledStore()
	s.Eventually(func() error { return s.whole(st) }).Should(gomega.Succeed())
	name := s.meta("acme-purge")
	for what, edit := range map[string]func(){
		"a container with a volume and the node's network": func() {
			change(s, &batchv1.CronJob{ObjectMeta: name}, func(j *batchv1.CronJob) {
				pod := &j.Spec.JobTemplate.Spec.Template.Spec
				pod.HostNetwork, pod.ShareProcessNamespace = true, new(true)
				pod.Volumes = []corev1.Volume{{Name: "node", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}}}
				pod.Containers = append(pod.Containers, corev1.Container{Name: "more", Image: "registry.example.com/more:1", Env: []corev1.EnvVar{{Name: "A", Value: "B"}}})
				pod.Containers[0].Env = append(pod.Containers[0].Env, corev1.EnvVar{Name: "HTTPS_PROXY", Value: "http://proxy.example.com"})
			})
		},
		"a subject": func() {
			change(s, &rbacv1.RoleBinding{ObjectMeta: s.meta("acme-purger")}, func(b *rbacv1.RoleBinding) {
				b.Subjects = append(b.Subjects, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "mallory"})
			})
		},
		"no labels": func() {
			change(s, &corev1.ServiceAccount{ObjectMeta: name}, func(a *corev1.ServiceAccount) {
				a.Labels, a.ImagePullSecrets = nil, []corev1.LocalObjectReference{{Name: "pull"}}
			})
		},
	} {
		edit()
		s.Eventually(func() error { return s.whole(st) }).Should(gomega.Succeed(), what)
	}
	account := &corev1.ServiceAccount{ObjectMeta: name}
	s.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(account), account)).To(gomega.Succeed())
	s.Expect(account.ImagePullSecrets).To(gomega.Equal([]corev1.LocalObjectReference{{Name: "pull"}}), "pull secrets belong to the one who adds them")
}

func TestAStoreNeedsTheRightToReadItsSecret(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.create(s.basicAuth(password))
	s.manage(hooked)
	user := "tenant-of-" + s.ns
	s.grant(user, "stores", []string{"*"}, "artifactstores")
	tenant, ctx := s.as(user), t.Context()
	denied := fmt.Sprintf(`artifactstores.nfo.dev "acme" is forbidden: user %q cannot get resource "secrets" in API group "" in the namespace %q; grant the verb "get" on secrets/%s/push to this user, or let a user who has it apply the store: nfo sends the Secret in spec.registry.credentialsSecretRef to the store's registry`, user, s.ns, s.ns)
	names := func(st *v1alpha1.ArtifactStore) {
		st.Spec.Registry.CredentialsSecretRef = &v1alpha1.LocalReference{Name: "push"}
	}
	s.Eventually(func() bool { return s.canCreateStores(tenant) }).Should(gomega.BeTrue())
	s.refused(tenant.Create(ctx, s.store("acme", names)), http.StatusForbidden, "artifactstores", denied)
	s.refused(tenant.Create(ctx, s.store("acme", names), client.DryRunAll), http.StatusForbidden, "artifactstores", denied)

	st := s.store("acme")
	s.Expect(tenant.Create(ctx, st)).To(gomega.Succeed(), "a store without a Secret needs no right")
	name := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"registry":{"credentialsSecretRef":{"name":"push"}}}}`))
	s.refused(tenant.Patch(ctx, st.DeepCopy(), name), http.StatusForbidden, "artifactstores", denied)
	s.Expect(env.Client.Patch(ctx, st.DeepCopy(), name)).To(gomega.Succeed(), "an administrator may read it")
	capped := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"purge":{"maxDeletions":7}}}`))
	s.Expect(tenant.Patch(ctx, st.DeepCopy(), capped)).To(gomega.Succeed(), "a change of something else needs no right")

	// A store that is being deleted still uses its login, to remove tags.
	drop := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"registry":{"credentialsSecretRef":null}}}`))
	s.Expect(tenant.Patch(ctx, st.DeepCopy(), drop)).To(gomega.Succeed())
	change(s, st, func(o *v1alpha1.ArtifactStore) { o.Finalizers = append(o.Finalizers, "example.com/hold") })
	s.Expect(tenant.Delete(ctx, st.DeepCopy())).To(gomega.Succeed())
	s.refused(tenant.Patch(ctx, st.DeepCopy(), name), http.StatusForbidden, "artifactstores", denied)
	change(s, st, func(o *v1alpha1.ArtifactStore) { o.Finalizers = nil })
	s.goes(st)

	s.create(
		&rbacv1.Role{ObjectMeta: s.meta("read"), Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"push"}, Verbs: []string{"get"}}}},
		&rbacv1.RoleBinding{ObjectMeta: s.meta("read"), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "read"},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}},
	)
	s.Eventually(func() error { return tenant.Create(ctx, s.store("acme", names)) }).Should(gomega.Succeed(), "with the right")
}

// canCreateStores reports whether the API server already knows a client's right.
func (s *scene) canCreateStores(c client.Client) bool {
	return c.Create(s.t.Context(), s.store("probe"), client.DryRunAll) == nil
}

func TestALoginForHTTPSIsNotSentInClear(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	s.create(s.dockerConfig(map[string]any{"registry.example.com": map[string]string{"username": user, "password": password}}))
	st := s.store("acme", func(st *v1alpha1.ArtifactStore) {
		st.Spec.Registry.URL = "http://registry.example.com/" + s.ns
		st.Spec.Registry.CredentialsSecretRef = &v1alpha1.LocalReference{Name: "push"}
	})
	s.create(st)
	s.says(st, v1alpha1.ConditionReachable, "False/SecretInvalid", "/push", "the entry for registry.example.com is for HTTPS and is not sent over plain HTTP", "http://registry.example.com")
}

func TestAFinalizerThatIsTakenAwayComesBack(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	objects := []client.Object{s.store("acme"), s.manifest("m", "a:1"), s.definition("d", "m", "a"), s.design("n", "m", "a:1", "d"), s.site("edge", s.ns, "n")}
	s.create(objects...)
	protected := func(o client.Object) func() (types.UID, error) {
		return func() (types.UID, error) {
			err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(o), o)
			if err == nil && !slices.Contains(o.GetFinalizers(), v1alpha1.Finalizer) {
				err = fmt.Errorf("%T has the finalizers %v", o, o.GetFinalizers())
			}
			return o.GetUID(), err
		}
	}
	for _, o := range objects {
		s.Eventually(protected(o)).Should(gomega.Equal(o.GetUID()))
	}
	for _, o := range objects {
		uid := o.GetUID()
		s.Expect(env.Client.Patch(t.Context(), o, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))).To(gomega.Succeed())
		s.Expect(o.GetFinalizers()).To(gomega.BeEmpty())
		s.Eventually(protected(o)).Should(gomega.Equal(uid), "%T", o)
	}
}
