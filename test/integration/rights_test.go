package integration

import (
	"testing"

	"github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
	"github.com/nfo-operator/nfo/test/environment"
)

// The manager may make only what it makes for stores. An attacker who controls the manager
// cannot run anything under another account, grant rights, or change what runs for others.
func TestTheManagerMakesPurgesAlone(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	st := s.store("acme")
	s.create(st)
	manager, err := client.New(env.As(environment.ManagerUser), client.Options{Scheme: env.Client.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	theirs := &batchv1.CronJob{ObjectMeta: s.meta("backup-purge")}
	account, binding, cron := s.purgeOf(st)
	cron.DeepCopy().Spec.DeepCopyInto(&theirs.Spec)
	s.create(theirs)
	job := func(edit func(*batchv1.CronJob)) func() error {
		return func() error {
			j := cron.DeepCopy()
			edit(j)
			return manager.Create(t.Context(), j, client.DryRunAll)
		}
	}
	pod := func(edit func(*corev1.PodSpec)) func() error {
		return job(func(j *batchv1.CronJob) { edit(&j.Spec.JobTemplate.Spec.Template.Spec) })
	}
	bind := func(edit func(*rbacv1.RoleBinding)) func() error {
		return func() error {
			b := binding.DeepCopy()
			edit(b)
			return manager.Create(t.Context(), b, client.DryRunAll)
		}
	}
	lease := &coordinationv1.Lease{ObjectMeta: s.meta("theirs")}
	s.create(lease, &rbacv1.Role{ObjectMeta: s.meta("local")})
	for _, o := range []client.Object{account, binding, cron} {
		s.Expect(manager.Create(t.Context(), o.DeepCopyObject().(client.Object), client.DryRunAll)).To(gomega.Succeed(), "what the manager makes")
	}
	for name, do := range map[string]func() error{
		"run under another account":     pod(func(p *corev1.PodSpec) { p.ServiceAccountName, p.DeprecatedServiceAccount = "admin-purge", "" }),
		"run under the default account": pod(func(p *corev1.PodSpec) { p.ServiceAccountName, p.DeprecatedServiceAccount = "", "" }),
		"use the node's network":        pod(func(p *corev1.PodSpec) { p.HostNetwork = true }),
		"see the node's processes":      pod(func(p *corev1.PodSpec) { p.HostPID = true }),
		"mount the node's files": pod(func(p *corev1.PodSpec) {
			p.Volumes = []corev1.Volume{{Name: "n", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}}}
		}),
		"get a token of the account": pod(func(p *corev1.PodSpec) {
			p.Volumes = []corev1.Volume{{Name: "n", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "t"}}}}}}}
		}),
		"get a token for others": pod(func(p *corev1.PodSpec) {
			p.Volumes = []corev1.Volume{{Name: "n", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: v1alpha1.ClusterRegistryAudience, Path: "t"}},
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: "vault", Path: "u"}},
			}}}}}
		}),
		"mount what is beside a token": pod(func(p *corev1.PodSpec) {
			p.Volumes = []corev1.Volume{{Name: "n", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "theirs"}}},
			}}}}}
		}),
		"run as root": pod(func(p *corev1.PodSpec) { p.SecurityContext.RunAsNonRoot = nil }),
		"run with escalation": pod(func(p *corev1.PodSpec) {
			p.Containers[0].SecurityContext = &corev1.SecurityContext{AllowPrivilegeEscalation: new(true)}
		}),
		"gain privileges":               pod(func(p *corev1.PodSpec) { p.Containers[0].SecurityContext.AllowPrivilegeEscalation = nil }),
		"run a CronJob of its own":      job(func(j *batchv1.CronJob) { j.OwnerReferences = nil }),
		"run a CronJob of another name": job(func(j *batchv1.CronJob) { j.Name = "mine" }),
		"take somebody's CronJob":       func() error { return manager.Update(t.Context(), overlaid(theirs, cron), client.DryRunAll) },
		"delete somebody's CronJob":     func() error { return manager.Delete(t.Context(), theirs.DeepCopy(), client.DryRunAll) },
		"bind a role of administrators": bind(func(b *rbacv1.RoleBinding) { b.RoleRef.Name = "cluster-admin" }),
		"bind a role of the namespace":  bind(func(b *rbacv1.RoleBinding) { b.RoleRef.Kind, b.RoleRef.Name = "Role", "local" }),
		"give a user the purge's rights": bind(func(b *rbacv1.RoleBinding) {
			b.Subjects = []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "mallory-purge"}}
		}),
		"give them to another namespace": bind(func(b *rbacv1.RoleBinding) { b.Subjects[0].Namespace = "default" }),
		"give them to any account":       bind(func(b *rbacv1.RoleBinding) { b.Subjects[0].Name = "default" }),
		"make a RoleBinding of its own":  bind(func(b *rbacv1.RoleBinding) { b.OwnerReferences = nil }),
		"make an account": func() error {
			return manager.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: s.meta("mine-purge")}, client.DryRunAll)
		},
		"take a Lease": func() error { return manager.Update(t.Context(), lease, client.DryRunAll) },
		"make a Lease": func() error {
			return manager.Create(t.Context(), &coordinationv1.Lease{ObjectMeta: s.meta("mine")}, client.DryRunAll)
		},
		"make a Role": func() error {
			return manager.Create(t.Context(), &rbacv1.Role{ObjectMeta: s.meta("mine")}, client.DryRunAll)
		},
		"change a policy":                 func() error { return patchAs(t, manager, "ValidatingAdmissionPolicy", "nfo-manager") },
		"change other webhooks":           func() error { return patchAs(t, manager, "ValidatingWebhookConfiguration", "theirs") },
		"change webhooks that may change": func() error { return patchAs(t, manager, "MutatingWebhookConfiguration", "nfo-validating") },
	} {
		if err := do(); !apierrors.IsForbidden(err) {
			t.Errorf("the manager must not %s: %v", name, err)
		}
	}
}

// purgeOf returns the objects that the manager makes for a store.
func (s *scene) purgeOf(st *v1alpha1.ArtifactStore) (account *corev1.ServiceAccount, binding *rbacv1.RoleBinding, cron *batchv1.CronJob) {
	s.t.Helper()
	for _, o := range cronjob.Objects(st, purgerSettings) {
		switch o := o.(type) {
		case *corev1.ServiceAccount:
			account = o
		case *rbacv1.RoleBinding:
			binding = o
		case *batchv1.CronJob:
			cron = o
		}
	}
	return account, binding, cron
}

// overlaid returns an object of another owner as it would be if the manager took it over.
func overlaid(theirs, ours *batchv1.CronJob) *batchv1.CronJob {
	o := theirs.DeepCopy()
	o.OwnerReferences, o.Spec = ours.OwnerReferences, ours.Spec
	return o
}

func patchAs(t *testing.T, c client.Client, kind, name string) error {
	t.Helper()
	o := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: kind}, ObjectMeta: metav1.ObjectMeta{Name: name}}
	return c.Patch(t.Context(), o, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`)), client.DryRunAll)
}

// An earlier version gave each store a Role. A RoleBinding cannot be
// changed to another role, so the old objects must not block the new ones.
func TestRolesOfAnEarlierVersionStay(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	st := s.store("acme")
	s.create(st)
	account, binding, _ := s.purgeOf(st)
	role, bound := &rbacv1.Role{ObjectMeta: *account.ObjectMeta.DeepCopy()}, binding.DeepCopy()
	role.Rules = []rbacv1.PolicyRule{{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"artifactstores"}, Verbs: []string{"list"}}}
	bound.Name, bound.RoleRef.Kind, bound.RoleRef.Name = "acme-purge", "Role", "acme-purge"
	s.create(account, role, bound)
	s.manage(scheduled)
	s.eventually(st, v1alpha1.ConditionPurgeHealthy, "True/Scheduled")
	s.Eventually(func() error { return s.whole(st) }).Should(gomega.Succeed())
}

// A user who may impersonate the accounts of a namespace can act as
// its purges. This must not let the user take over places or logins.
func TestAPurgeWritesWhatItFindsOut(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(scheduled)
	st := s.scheduledStore()
	other := s.store("other")
	other.Spec.Registry.URL += "-other"
	s.create(other)
	s.eventually(other, v1alpha1.ConditionReady, "True/Ready")
	s.eventually(st, v1alpha1.ConditionPurgeHealthy, "True/Scheduled")
	purge := s.as("system:serviceaccount:" + s.ns + ":" + st.Name + "-purge")
	patch := func(of *v1alpha1.ArtifactStore, status string) error {
		return purge.Status().Patch(t.Context(), of.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"status":`+status+`}`)))
	}
	for what, err := range map[string]error{
		"another store":       patch(other, `{"deletedTotal":1}`),
		"firstReadyTime":      patch(st, `{"firstReadyTime":"2000-01-01T00:00:00Z"}`),
		"its own removal":     patch(st, `{"firstReadyTime":null}`),
		"conditions":          patch(st, `{"conditions":[]}`),
		"addresses":           patch(st, `{"addresses":["192.0.2.1"]}`),
		"where people log in": patch(st, `{"url":"https://192.0.2.1/acme"}`),
		"whom they trust":     patch(st, `{"caBundle":"YWJj"}`),
	} {
		s.Expect(apierrors.IsForbidden(err)).To(gomega.BeTrue(), "a purge must not write %s: %v", what, err)
	}
	s.Expect(patch(st, `{"deletedTotal":1,"capabilities":{"delete":"Supported"}}`)).To(gomega.Succeed())
}

// A reference to a name that no object can have is refused when it is written.
func TestNamesThatNothingCanHave(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for _, name := range []string{"..", "a/b", "a%2fb", "UPPER", "a\x1b[31m", "-a"} {
		m := s.manifest("m", "a:1")
		m.Spec.ArtifactStoreRef.Name = name
		err := env.Client.Create(t.Context(), m)
		s.Expect(apierrors.IsInvalid(err)).To(gomega.BeTrue(), "%q: %v", name, err)
		s.Expect(err.Error()).To(gomega.ContainSubstring("spec.artifactStoreRef.name"))
	}
}
