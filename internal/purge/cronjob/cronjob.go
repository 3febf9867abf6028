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
	// user is an arbitrary user ID, because the image does not define a user.
	user = 65532
	// A run that could not start for this long is skipped.
	startingDeadline = time.Hour
	// A run that takes longer is stopped. The next run continues.
	timeout = 6 * time.Hour
	// Jobs are deleted after this time even if no other Job follows.
	jobLifetime = 7 * 24 * time.Hour
	termination = 2 * time.Minute
	history     = 3
	tries       = 3
	// Suffixes of the names of a store's objects, and of its RoleBinding.
	objectSuffix, bindingSuffix = "-purge", "-purger"
	// The ClusterRole of all purges, in config/rbac/purger.yaml.
	roleName = "nfo-purger"
	// Where a pod has the keys of the store's Secret mounted.
	credentialsVolume = "credentials"
	credentialsPath   = "/credentials"
	// Where a pod of a store in the cluster's own registry has its token for that
	// registry, and how long the token is valid. The kubelet renews it in time.
	tokenVolume   = "registry-token"
	tokenPath     = "/registry-token"
	tokenFile     = "token"
	tokenLifetime = time.Hour
	// How long a purge of a store in the cluster's own registry waits for the collection.
	collectionWait = 10 * time.Minute
	// Where a pod of a store with usage Volume has the registry's volume mounted.
	volumeName = "registry"
	volumePath = "/registry"
)

// Exit codes of the command, as a Job shows them.
const (
	ExitDone    = 0
	ExitFailed  = 1
	ExitUsage   = 2
	ExitRunning = 3
	ExitRefused = 4
)

// ObjectName returns the name of a store's CronJob and ServiceAccount.
func ObjectName(store string) string { return store + objectSuffix }

// LeaseName returns the name of the Lease that one purge of a store at a time holds.
func LeaseName(store string) string { return store + objectSuffix }

// BindingName returns the name of a store's RoleBinding. It differs from ObjectName because an earlier
// version bound a Role of the store under that name, and the role of a RoleBinding cannot be changed.
func BindingName(store string) string { return store + bindingSuffix }

// StoreName returns the store whose CronJob has this name; "" if no store's CronJob can have it.
func StoreName(cronJob string) string {
	store, ours := strings.CutSuffix(cronJob, objectSuffix)
	if !ours {
		return ""
	}
	return store
}

// Objects returns the objects that a store's purges need in its namespace, each with its kind set and the store as
// its controller: ServiceAccount, RoleBinding and, if the store has a schedule and the settings an image, the
// CronJob. Every field that the API server would default is set, so that an object in the cluster can be compared
// with it as a whole. If Objects returns no CronJob, the caller deletes the one that it created earlier. It is pure.
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

// Labels returns the labels of all objects of a purge, including its Jobs and pods.
func Labels() map[string]string {
	return map[string]string{
		"app.kubernetes.io/name":       "nfo",
		"app.kubernetes.io/component":  "purge",
		"app.kubernetes.io/managed-by": "nfo",
	}
}

// objectMeta has the store as controller, without blockOwnerDeletion, which would need a
// right on the store's finalizers. Nothing has to wait for the deletion of these objects.
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

// All that a purge may do in the namespace of its store. The ClusterRole nfo-purger is generated from this. A purge
// changes tombstones, Leases and the status of its store. It reads no Secret, because its pod mounts the Secret of
// its store. The verb purge allows it to read and delete everything in its store in the cluster's own registry.
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

// job runs once to its end. It is retried after a failure, but not after a refusal, where a retry would not help.
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

// pod returns a pod that meets the restricted Pod Security Standard.
func pod(s *v1alpha1.ArtifactStore, settings Settings) corev1.PodSpec {
	p := corev1.PodSpec{
		ServiceAccountName: ObjectName(s.Name),
		RestartPolicy:      corev1.RestartPolicyNever,
		// Time to wait for a running deletion, verify what remains, and release the claims.
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
			// The program writes its error to this file. If it crashes, the end of its log is used.
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
		// Optional, because the program reports a missing Secret more clearly than a pod that never starts.
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

// mount adds a read-only volume to the container, and the flag with its path.
func mount(p *corev1.PodSpec, name, path, flag string, from corev1.VolumeSource) {
	p.Volumes = append(p.Volumes, corev1.Volume{Name: name, VolumeSource: from})
	c := &p.Containers[0]
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: path, ReadOnly: true})
	c.Args = append(c.Args, flag)
}
