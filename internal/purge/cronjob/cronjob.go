package cronjob

import (
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

const (
	// user is nobody's in particular; the image has no user of its own to rely on.
	user = 65532
	// A run that could not start for so long is left out.
	startingDeadline = time.Hour
	// A run that takes longer is stopped; the next one goes on.
	timeout = 6 * time.Hour
	// Jobs go after so long also when no other comes after them.
	jobLifetime = 7 * 24 * time.Hour
	termination = 2 * time.Minute
	history     = 3
	tries       = 3
	// What the name of a store's objects ends with, and that of its RoleBinding.
	objectSuffix, bindingSuffix = "-purge", "-purger"
	// The ClusterRole of all purges, in config/rbac/purger.yaml.
	roleName = "nfo-purger"
	// Where a pod has the keys of the store's Secret.
	credentialsVolume = "credentials"
	credentialsPath   = "/credentials"
	// Where a pod has its token for the cluster's own registry, of stores in it, and how long one is valid. The kubelet
	// renews it in time.
	tokenVolume   = "registry-token"
	tokenPath     = "/registry-token"
	tokenFile     = "token"
	tokenLifetime = time.Hour
	// How long a purge of such a store waits for the registry's collection.
	collectionWait = 10 * time.Minute
	// Where a pod has the registry's volume, of stores with usage Volume.
	volumeName = "registry"
	volumePath = "/registry"
)

// Exit codes of the command, as a Job sees them.
const (
	ExitDone    = 0
	ExitFailed  = 1
	ExitUsage   = 2
	ExitRunning = 3
	ExitRefused = 4
)

// ObjectName is the name of the CronJob of a store and of its ServiceAccount.
func ObjectName(store string) string { return store + objectSuffix }

// LeaseName is the name of the Lease that one purge of a store at a time holds.
func LeaseName(store string) string { return store + objectSuffix }

// BindingName is the name of the RoleBinding of a store. An earlier version bound a Role of the store's own
// under ObjectName, and what a RoleBinding binds cannot be changed.
func BindingName(store string) string { return store + bindingSuffix }

// StoreName is the store whose CronJob has this name; "" for the name of another CronJob.
func StoreName(cronJob string) string {
	store, ours := strings.CutSuffix(cronJob, objectSuffix)
	if !ours {
		return ""
	}
	return store
}

// Objects returns what a store's purge needs in its namespace, each with its kind set and the
// store as its controller: ServiceAccount, RoleBinding and, where the store has a schedule and the
// settings an image, the CronJob. Every field that the API server would fill in is
// set, so that an object in the cluster can be compared with it as a whole. It is pure. If it returns
// no CronJob, the caller deletes the one that it made earlier.
func Objects(store *v1alpha1.ArtifactStore, settings Settings) []client.Object {
	subject := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: store.Namespace, Name: ObjectName(store.Name)}
	objects := []client.Object{
		&corev1.ServiceAccount{
			TypeMeta:   metav1.TypeMeta{APIVersion: corev1.SchemeGroupVersion.String(), Kind: "ServiceAccount"},
			ObjectMeta: objectMeta(store, ObjectName(store.Name)),
		},
		&rbacv1.RoleBinding{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"},
			ObjectMeta: objectMeta(store, BindingName(store.Name)),
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: roleName},
			Subjects:   []rbacv1.Subject{subject},
		},
	}
	if store.Spec.Purge.CronSchedule() != "" && settings.Image != "" {
		objects = append(objects, cronJob(store, settings))
	}
	return objects
}

// Labels are on everything that a purge runs from, and on its jobs and pods.
func Labels() map[string]string {
	return map[string]string{
		"app.kubernetes.io/name":       "nfo",
		"app.kubernetes.io/component":  "purge",
		"app.kubernetes.io/managed-by": "nfo",
	}
}

// objectMeta has the store as controller, without blockOwnerDeletion: that would need a right on
// the store's finalizers, and nothing waits for these objects.
func objectMeta(s *v1alpha1.ArtifactStore, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: s.Namespace,
		Name:      name,
		Labels:    Labels(),
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: v1alpha1.GroupVersion.String(),
			Kind:       v1alpha1.KindArtifactStore,
			Name:       s.Name,
			UID:        s.UID,
			Controller: new(true),
		}},
	}
}

// All that a purge may do, in the namespace of its store: the ClusterRole nfo-purger is made from this. It
// changes tombstones, Leases and what the status of a store records, and reads no Secret: its pod mounts that
// of its store. The verb purge is its right in the cluster's own registry: to read and delete everything in its store.
//
// +kubebuilder:rbac:groups=nfo.dev,resources=artifactstores,verbs=list;purge
// +kubebuilder:rbac:groups=nfo.dev,resources=artifactstores/status,verbs=patch
// +kubebuilder:rbac:groups=nfo.dev,resources=artifactmanifests;networkfunctiondefinitionversions;networkservicedesignversions,verbs=get;list
// +kubebuilder:rbac:groups=nfo.dev,resources=tombstones,verbs=create;get;list;update;delete
// +kubebuilder:rbac:groups=nfo.dev,resources=tombstones/status,verbs=update
// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,verbs=create;get;update

func cronJob(s *v1alpha1.ArtifactStore, settings Settings) *batchv1.CronJob {
	return &batchv1.CronJob{
		TypeMeta:   metav1.TypeMeta{APIVersion: batchv1.SchemeGroupVersion.String(), Kind: "CronJob"},
		ObjectMeta: objectMeta(s, ObjectName(s.Name)),
		Spec: batchv1.CronJobSpec{
			Schedule:                   s.Spec.Purge.CronSchedule(),
			TimeZone:                   new(s.Spec.Purge.CronTimeZone()),
			Suspend:                    new(s.Spec.Purge.Suspend),
			ConcurrencyPolicy:          batchv1.ForbidConcurrent,
			StartingDeadlineSeconds:    new(int64(startingDeadline / time.Second)),
			SuccessfulJobsHistoryLimit: new(int32(history)),
			FailedJobsHistoryLimit:     new(int32(history)),
			JobTemplate: batchv1.JobTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: Labels()},
				Spec:       job(s, settings),
			},
		},
	}
}

// job runs once to its end. Trying again helps after a failure, not after a refusal.
func job(s *v1alpha1.ArtifactStore, settings Settings) batchv1.JobSpec {
	return batchv1.JobSpec{
		BackoffLimit:            new(int32(tries)),
		ActiveDeadlineSeconds:   new(int64(timeout / time.Second)),
		TTLSecondsAfterFinished: new(int32(jobLifetime / time.Second)),
		PodFailurePolicy: &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{
			Action: batchv1.PodFailurePolicyActionFailJob,
			OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{
				Operator: batchv1.PodFailurePolicyOnExitCodesOpIn,
				Values:   []int32{ExitUsage, ExitRunning, ExitRefused},
			},
		}}},
		Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: Labels()},
			Spec:       pod(s, settings),
		},
	}
}

// pod meets the restricted pod security standard.
func pod(s *v1alpha1.ArtifactStore, settings Settings) corev1.PodSpec {
	p := corev1.PodSpec{
		ServiceAccountName: ObjectName(s.Name),
		RestartPolicy:      corev1.RestartPolicyNever,
		// To wait for a deletion that is under way, look at what is left, and give the claims back.
		TerminationGracePeriodSeconds: new(int64(termination / time.Second)),
		EnableServiceLinks:            new(false),
		// The API server's defaults.
		DeprecatedServiceAccount: ObjectName(s.Name),
		DNSPolicy:                corev1.DNSClusterFirst,
		SchedulerName:            corev1.DefaultSchedulerName,
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot:   new(true),
			RunAsUser:      new(int64(user)),
			RunAsGroup:     new(int64(user)),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{{
			Name:            ContainerName,
			Image:           settings.Image,
			ImagePullPolicy: settings.pullPolicy(),
			Args:            settings.args(s),
			Env:             settings.env(),
			Resources:       settings.Resources,
			// The program writes its error there; of one that crashes, the end of its log is taken.
			TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
			TerminationMessagePath:   corev1.TerminationMessagePathDefault,
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: new(false),
				ReadOnlyRootFilesystem:   new(true),
				Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
		}},
	}
	if claim := s.Spec.Purge.PersistentVolumeClaim; claim != nil && s.Spec.Purge.Usage == v1alpha1.UsageVolume {
		mount(&p, volumeName, volumePath, "--volume="+volumePath, corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim.Name, ReadOnly: true},
		})
	}
	if ref := s.Spec.Registry.CredentialsSecretRef; ref != nil {
		// Optional: the program says what is missing more plainly than a pod that never starts.
		mount(&p, credentialsVolume, credentialsPath, "--credentials="+credentialsPath, corev1.VolumeSource{
			Secret: &corev1.SecretVolumeSource{SecretName: ref.Name, DefaultMode: new(corev1.SecretVolumeSourceDefaultMode), Optional: new(true)},
		})
	}
	if s.InClusterRegistry() {
		c := &p.Containers[0]
		c.Args = append(c.Args, "--"+WaitFlag+"="+collectionWait.String())
		mount(&p, tokenVolume, tokenPath, "--registry-token="+tokenPath+"/"+tokenFile, corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			DefaultMode: new(corev1.ProjectedVolumeSourceDefaultMode),
			Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
				Audience: v1alpha1.ClusterRegistryAudience, ExpirationSeconds: new(int64(tokenLifetime / time.Second)), Path: tokenFile,
			}}},
		}})
	}
	return p
}

// mount gives the program a volume, which it only reads, and the flag that says where it is.
func mount(p *corev1.PodSpec, name, path, flag string, from corev1.VolumeSource) {
	p.Volumes = append(p.Volumes, corev1.Volume{Name: name, VolumeSource: from})
	c := &p.Containers[0]
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: path, ReadOnly: true})
	c.Args = append(c.Args, flag)
}
