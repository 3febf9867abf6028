package cronjob

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

func find[T client.Object](t *testing.T, s *v1alpha1.ArtifactStore, image string) T {
	t.Helper()
	for _, o := range Objects(s, Settings{Image: image, Resources: DefaultResources()}) {
		if found, ok := o.(T); ok {
			return found
		}
	}
	var none T
	t.Fatalf("no %T", none)
	return none
}

func TestObjects(t *testing.T) {
	t.Parallel()
	all := []string{"ServiceAccount", "RoleBinding", "CronJob"}
	tests := map[string]struct {
		reason string
		change func(*v1alpha1.ArtifactStore)
		image  string
		want   []string
	}{
		"Default":    {"no schedule given means the default one", nil, "nfo:1", all},
		"Schedule":   {"a schedule", func(s *v1alpha1.ArtifactStore) { s.Spec.Purge.Schedule = new("@hourly") }, "nfo:1", all},
		"NoSchedule": {"an empty one means by hand only", func(s *v1alpha1.ArtifactStore) { s.Spec.Purge.Schedule = new("") }, "nfo:1", all[:2]},
		"NoImage":    {"there is nothing to run", nil, "", all[:2]},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var kinds []string
			s := aStore()
			if tc.change != nil {
				tc.change(s)
			}
			for _, o := range Objects(s, Settings{Image: tc.image}) {
				kinds = append(kinds, o.GetObjectKind().GroupVersionKind().Kind)
				owner := metav1.GetControllerOf(o)
				if want := map[bool]string{false: "acme-purge", true: "acme-purger"}[kinds[len(kinds)-1] == "RoleBinding"]; o.GetName() != want || o.GetNamespace() != namespace || owner == nil || owner.UID != s.UID || owner.Kind != v1alpha1.KindArtifactStore {
					t.Errorf("%s: %T is %s/%s, owned by %v", tc.reason, o, o.GetNamespace(), o.GetName(), owner)
				}
				if o.GetLabels()["app.kubernetes.io/component"] != "purge" {
					t.Errorf("%s: %T has the labels %v", tc.reason, o, o.GetLabels())
				}
			}
			if diff := cmp.Diff(tc.want, kinds); diff != "" {
				t.Errorf("%s\nkinds: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

func TestCronJob(t *testing.T) {
	t.Parallel()
	job := find[*batchv1.CronJob](t, aStore(func(s *v1alpha1.ArtifactStore) {
		s.Spec.Purge.Schedule, s.Spec.Purge.TimeZone, s.Spec.Purge.Suspend = new("5 1 * * *"), "Europe/Paris", true
	}), "nfo:1").Spec
	if job.Schedule != "5 1 * * *" || *job.TimeZone != "Europe/Paris" || !*job.Suspend || job.ConcurrencyPolicy != batchv1.ForbidConcurrent {
		t.Errorf("the schedule is not the store's: %+v", job)
	}
	spec := job.JobTemplate.Spec.Template.Spec
	if diff := cmp.Diff([]string{"purge", "--namespace=publisher", "--store=acme"}, spec.Containers[0].Args); diff != "" {
		t.Errorf("arguments: -want +got\n%s", diff)
	}
	if got := spec.Containers[0].TerminationMessagePolicy; got != corev1.TerminationMessageFallbackToLogsOnError {
		t.Errorf("a run that crashes says why by the policy %q", got)
	}
	c := spec.Containers[0].SecurityContext
	if !*spec.SecurityContext.RunAsNonRoot || *spec.SecurityContext.RunAsUser == 0 || *c.AllowPrivilegeEscalation || !*c.ReadOnlyRootFilesystem || c.Capabilities.Drop[0] != "ALL" {
		t.Error("the pod does not meet the restricted standard")
	}
	if codes := job.JobTemplate.Spec.PodFailurePolicy.Rules[0].OnExitCodes.Values; !cmp.Equal(codes, []int32{ExitUsage, ExitRunning, ExitRefused}) {
		t.Errorf("not tried again are %v", codes)
	}
}

func TestCronJobAllowsWhatTheManagerDoes(t *testing.T) {
	t.Parallel()
	for _, allow := range []bool{false, true} {
		for _, o := range Objects(aStore(), Settings{Image: "nfo:1", AllowLoopback: allow}) {
			job, ok := o.(*batchv1.CronJob)
			if !ok {
				continue
			}
			args := job.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Args
			if got := slices.Contains(args, "--allow-loopback-registries"); got != allow {
				t.Errorf("loopback allowed: %t: the arguments are %v", allow, args)
			}
		}
	}
}

func TestThePodMountsTheSecret(t *testing.T) {
	t.Parallel()
	for name, ref := range map[string]*v1alpha1.LocalReference{"Anonymous": nil, "Login": {Name: "acme-push"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			job := find[*batchv1.CronJob](t, aStore(func(s *v1alpha1.ArtifactStore) { s.Spec.Registry.CredentialsSecretRef = ref }), "nfo:1")
			pod := job.Spec.JobTemplate.Spec.Template.Spec
			flag := slices.Contains(pod.Containers[0].Args, "--credentials=/credentials")
			if ref == nil {
				if flag || len(pod.Volumes)+len(pod.Containers[0].VolumeMounts) > 0 {
					t.Errorf("an anonymous store mounts %v", pod.Volumes)
				}
				return
			}
			if !flag || len(pod.Volumes) != 1 || pod.Volumes[0].Secret.SecretName != ref.Name || pod.Containers[0].VolumeMounts[0].MountPath != "/credentials" {
				t.Errorf("mounted is %v at %v, with %v", pod.Volumes, pod.Containers[0].VolumeMounts, pod.Containers[0].Args)
			}
		})
	}
}

// A purge of a store in the cluster's own registry logs in as its account, with a token that no other audience accepts.
func TestThePodHasATokenForTheClustersRegistry(t *testing.T) {
	t.Parallel()
	job := find[*batchv1.CronJob](t, aStore(func(s *v1alpha1.ArtifactStore) {
		s.Spec.Registry = v1alpha1.RegistrySpec{ClusterRegistry: &v1alpha1.ClusterRegistrySpec{}}
	}), "nfo:1")
	pod := job.Spec.JobTemplate.Spec.Template.Spec
	if !slices.Contains(pod.Containers[0].Args, "--wait-for-collection=10m0s") {
		t.Errorf("nobody sees what is freed on the disk: the arguments are %v", pod.Containers[0].Args)
	}
	if !slices.Contains(pod.Containers[0].Args, "--registry-token=/registry-token/token") || len(pod.Volumes) != 1 || pod.Containers[0].VolumeMounts[0].MountPath != "/registry-token" {
		t.Fatalf("mounted is %v at %v, with %v", pod.Volumes, pod.Containers[0].VolumeMounts, pod.Containers[0].Args)
	}
	want := &corev1.ServiceAccountTokenProjection{Audience: "nfo-registry", ExpirationSeconds: new(int64(3600)), Path: "token"}
	if diff := cmp.Diff(want, pod.Volumes[0].Projected.Sources[0].ServiceAccountToken); diff != "" {
		t.Errorf("the token: -want +got\n%s", diff)
	}
}

func TestPurgesShareOneRole(t *testing.T) {
	t.Parallel()
	binding := find[*rbacv1.RoleBinding](t, aStore(), "nfo:1")
	if want := (rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "nfo-purger"}); binding.RoleRef != want || binding.Name == ObjectName("acme") {
		t.Errorf("the binding %s is to %v", binding.Name, binding.RoleRef)
	}
}

func TestCronJobMountsTheVolume(t *testing.T) {
	t.Parallel()
	claim := func(s *v1alpha1.ArtifactStore) {
		s.Spec.Purge.PersistentVolumeClaim = &v1alpha1.LocalReference{Name: "registry-data"}
	}
	job := find[*batchv1.CronJob](t, aStore(claim, func(s *v1alpha1.ArtifactStore) { s.Spec.Purge.Usage = v1alpha1.UsageVolume }), "nfo:1")
	spec := job.Spec.JobTemplate.Spec.Template.Spec
	if len(spec.Volumes) != 1 || spec.Volumes[0].PersistentVolumeClaim.ClaimName != "registry-data" || !spec.Volumes[0].PersistentVolumeClaim.ReadOnly {
		t.Fatalf("the volumes are %+v", spec.Volumes)
	}
	mount := spec.Containers[0].VolumeMounts[0]
	if !mount.ReadOnly || spec.Containers[0].Args[3] != "--volume="+mount.MountPath {
		t.Errorf("it is mounted as %+v for %v", mount, spec.Containers[0].Args)
	}
	spec = find[*batchv1.CronJob](t, aStore(claim), "nfo:1").Spec.JobTemplate.Spec.Template.Spec
	if len(spec.Volumes) != 0 || len(spec.Containers[0].Args) != 3 {
		t.Errorf("a store that accounts has %+v and %v", spec.Volumes, spec.Containers[0].Args)
	}
}

func TestCronJobHasTheSettings(t *testing.T) {
	t.Parallel()
	list := func(cpu, memory string) corev1.ResourceList {
		all := corev1.ResourceList{}
		if cpu != "" {
			all[corev1.ResourceCPU] = resource.MustParse(cpu)
		}
		if memory != "" {
			all[corev1.ResourceMemory] = resource.MustParse(memory)
		}
		return all
	}
	tests := map[string]struct {
		reason string
		limits corev1.ResourceList
		env    []corev1.EnvVar
	}{
		"Default":  {"the runtime gets 90 % of the limit, in bytes", DefaultResources().Limits, []corev1.EnvVar{{Name: "GOMEMLIMIT", Value: "483183810"}}},
		"Larger":   {"it follows the limit", list("2", "4Gi"), []corev1.EnvVar{{Name: "GOMEMLIMIT", Value: "3865470480"}}},
		"NoMemory": {"without a limit there is nothing to stay below", list("1", ""), nil},
		"None":     {"no limits at all", nil, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := corev1.ResourceRequirements{Requests: list("10m", "32Mi"), Limits: tc.limits}
			for _, o := range Objects(aStore(), Settings{Image: "nfo:1", Resources: want}) {
				job, ok := o.(*batchv1.CronJob)
				if !ok {
					continue
				}
				c := job.Spec.JobTemplate.Spec.Template.Spec.Containers[0]
				if diff := cmp.Diff(want, c.Resources); diff != "" {
					t.Errorf("%s: resources: -want +got\n%s", tc.reason, diff)
				}
				if diff := cmp.Diff(tc.env, c.Env); diff != "" {
					t.Errorf("%s: environment: -want +got\n%s", tc.reason, diff)
				}
			}
		})
	}
}

// A purge reaches registries the way the manager does.
func TestCronJobHasTheProxyOfTheManager(t *testing.T) {
	t.Parallel()
	environment := map[string]string{"HTTPS_PROXY": "http://proxy.example.com:3128", "no_proxy": ".svc,10.0.0.0/8", "HTTP_PROXY": "", "PATH": "/bin"}
	proxy := ProxyVariables(func(name string) (string, bool) { value, set := environment[name]; return value, set })
	for _, o := range Objects(aStore(), Settings{Image: "nfo:1", Proxy: proxy}) {
		if job, ok := o.(*batchv1.CronJob); ok {
			want := []corev1.EnvVar{{Name: "HTTPS_PROXY", Value: "http://proxy.example.com:3128"}, {Name: "no_proxy", Value: ".svc,10.0.0.0/8"}}
			if diff := cmp.Diff(want, job.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Env); diff != "" {
				t.Error("environment: -want +got\n", diff)
			}
			return
		}
	}
	t.Error("no CronJob")
}

func TestStoreName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{ObjectName("acme"): "acme", ObjectName("a-purge"): "a-purge", "backup": "", "purge": ""} {
		if got := StoreName(name); got != want {
			t.Errorf("CronJob %s is of the store %q, want %q", name, got, want)
		}
	}
}

const namespace = "publisher"

func aStore(change ...func(*v1alpha1.ArtifactStore)) *v1alpha1.ArtifactStore {
	s := &v1alpha1.ArtifactStore{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "acme", UID: "store"},
		Spec: v1alpha1.ArtifactStoreSpec{
			Registry: v1alpha1.RegistrySpec{URL: "https://registry.example.com/acme"},
			Purge:    v1alpha1.PurgeSpec{GracePeriod: metav1.Duration{Duration: 24 * time.Hour}},
		},
	}
	for _, c := range change {
		c(s)
	}
	return s
}
