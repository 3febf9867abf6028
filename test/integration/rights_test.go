package integration

import (
	"fmt"
	"testing"

	"github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
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

// The pods of purges keep to the Pod Security Standard "restricted", in the pod's settings and in those of
// each container, because a container's settings override the pod's.
func TestPurgesRunWithoutPrivileges(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	st := s.store("acme")
	s.create(st)
	manager, err := client.New(env.As(environment.ManagerUser), client.Options{Scheme: env.Client.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	_, _, cron := s.purgeOf(st)
	try := func(edit func(*corev1.PodSpec)) error {
		j := cron.DeepCopy()
		edit(&j.Spec.JobTemplate.Spec.Template.Spec)
		return manager.Create(t.Context(), j, client.DryRunAll)
	}
	refused := func(name string, edit func(*corev1.PodSpec)) {
		t.Helper()
		if err := try(edit); !apierrors.IsForbidden(err) {
			t.Errorf("a purge must not run with %s: %v", name, err)
		}
	}
	root, no, unconfined := new(int64(0)), new(false), &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeUnconfined}
	apparmor, selinux := &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined}, &corev1.SELinuxOptions{Type: "spc_t"}
	for name, edit := range map[string]func(*corev1.PodSecurityContext){
		"root":            func(c *corev1.PodSecurityContext) { c.RunAsUser = root },
		"no seccomp":      func(c *corev1.PodSecurityContext) { c.SeccompProfile = nil },
		"seccomp off":     func(c *corev1.PodSecurityContext) { c.SeccompProfile = unconfined },
		"AppArmor off":    func(c *corev1.PodSecurityContext) { c.AppArmorProfile = apparmor },
		"SELinux options": func(c *corev1.PodSecurityContext) { c.SELinuxOptions = selinux },
		"sysctls":         func(c *corev1.PodSecurityContext) { c.Sysctls = []corev1.Sysctl{{Name: "kernel.msgmax", Value: "1"}} },
	} {
		refused(name+" for the pod", func(p *corev1.PodSpec) { edit(p.SecurityContext) })
	}
	probe := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Host: "192.0.2.1", Port: intstr.FromInt32(80)}}}
	for name, edit := range map[string]func(*corev1.Container){
		"no settings":        func(c *corev1.Container) { c.SecurityContext = nil },
		"root":               func(c *corev1.Container) { c.SecurityContext.RunAsUser = root },
		"root allowed":       func(c *corev1.Container) { c.SecurityContext.RunAsNonRoot = no },
		"root, as both say":  func(c *corev1.Container) { c.SecurityContext.RunAsUser, c.SecurityContext.RunAsNonRoot = root, no },
		"capabilities kept":  func(c *corev1.Container) { c.SecurityContext.Capabilities = nil },
		"a capability added": func(c *corev1.Container) { c.SecurityContext.Capabilities.Add = []corev1.Capability{"SYS_ADMIN"} },
		"seccomp off":        func(c *corev1.Container) { c.SecurityContext.SeccompProfile = unconfined },
		"AppArmor off":       func(c *corev1.Container) { c.SecurityContext.AppArmorProfile = apparmor },
		"SELinux options":    func(c *corev1.Container) { c.SecurityContext.SELinuxOptions = selinux },
		"a port of the node": func(c *corev1.Container) { c.Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 80}} },
		"a hook to other hosts": func(c *corev1.Container) {
			c.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{HTTPGet: &corev1.HTTPGetAction{Host: "192.0.2.1", Port: intstr.FromInt32(80)}}}
		},
		"a probe of other hosts": func(c *corev1.Container) { c.LivenessProbe = probe },
	} {
		refused(name+" in a container", func(p *corev1.PodSpec) { edit(&p.Containers[0]) })
		refused(name+" in a second container", func(p *corev1.PodSpec) { edit(added(p, &p.Containers)) })
		refused(name+" in an init container", func(p *corev1.PodSpec) {
			c := added(p, &p.InitContainers)
			c.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
			edit(c)
		})
	}
	s.Expect(try(func(p *corev1.PodSpec) { added(p, &p.Containers); added(p, &p.InitContainers) })).To(gomega.Succeed(), "containers without privileges")
	refused("the IPC of the node", func(p *corev1.PodSpec) { p.HostIPC = true })
	refused("all of /proc", func(p *corev1.PodSpec) {
		p.HostUsers, p.Containers[0].SecurityContext.ProcMount = no, new(corev1.UnmaskedProcMount)
	})
	j := cron.DeepCopy()
	j.Spec.JobTemplate.Spec.Template.Annotations = map[string]string{corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix + cronjob.ContainerName: "unconfined"}
	if err := manager.Create(t.Context(), j, client.DryRunAll); !apierrors.IsForbidden(err) {
		t.Errorf("a purge must not run with AppArmor off in an annotation: %v", err)
	}
}

// added adds a copy of the purge's container to a list of containers.
func added(p *corev1.PodSpec, to *[]corev1.Container) *corev1.Container {
	c := p.Containers[0].DeepCopy()
	c.Name = fmt.Sprint("more-", len(*to))
	*to = append(*to, *c)
	return &(*to)[len(*to)-1]
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
