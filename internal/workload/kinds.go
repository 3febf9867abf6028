package workload

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/livelist"
)

// listed is a kind that is listed for a source, and how.
type listed struct {
	schema.GroupVersionResource
	kind string
	// fields and labels are the selectors of the list.
	fields, labels string
	// versions are the supported versions of a kind with a
	// CustomResourceDefinition, in order of preference. Other kinds have none.
	versions []string
	// page is the number of objects in one page; 0 means pageSize.
	page int
	// read reads one object of the list. An error about the object itself is an objectError.
	read func(*collector, livelist.Decoder) error
	// finish, if not nil, is called after every page, and once with last set when all
	// lists have been read. The lists of such a kind are read one at a time.
	finish func(ctx context.Context, c *collector, last bool) error
}

func workloadKind(group, resource, kind string) listed {
	return listed{GroupVersionResource: schema.GroupVersionResource{Group: group, Version: "v1", Resource: resource}, kind: kind,
		read: func(c *collector, one livelist.Decoder) error { return c.workload(kind, one) }}
}

func customKind(group, resource, kind string, read func(*collector, livelist.Decoder) error, versions ...string) listed {
	return listed{GroupVersionResource: schema.GroupVersionResource{Group: group, Resource: resource}, kind: kind, versions: versions, read: read}
}

// kinds are the kinds of each source. If a use can pass from one object to another, as when a Deployment is deleted and
// leaves its pods, the kind of the first object is listed before the kind of the second.
var kinds = map[v1alpha1.WorkloadSource][]listed{
	v1alpha1.WorkloadControllers: {
		workloadKind("batch", "cronjobs", "CronJob"),
		workloadKind("batch", "jobs", "Job"),
		workloadKind("apps", "deployments", "Deployment"),
		workloadKind("apps", "replicasets", "ReplicaSet"),
		workloadKind("apps", "statefulsets", "StatefulSet"),
		workloadKind("apps", "daemonsets", "DaemonSet"),
		workloadKind("apps", "controllerrevisions", "ControllerRevision"),
		workloadKind("", "replicationcontrollers", "ReplicationController"),
		workloadKind("", "podtemplates", "PodTemplate"),
	},
	v1alpha1.WorkloadPods: {workloadKind("", "pods", "Pod")},
	v1alpha1.WorkloadHelmReleases: {{
		GroupVersionResource: schema.GroupVersionResource{Version: "v1", Resource: "secrets"}, kind: "Secret",
		fields: "type=helm.sh/release.v1", labels: "owner=helm", page: recordsPage,
		read:   (*collector).releaseRecord,
		finish: func(ctx context.Context, c *collector, last bool) error { return c.decodeRecords(ctx, last) },
	}},
	v1alpha1.WorkloadFlux: {
		customKind("source.toolkit.fluxcd.io", "ocirepositories", "OCIRepository", (*collector).fluxOCIRepository, "v1", "v1beta2"),
		customKind("source.toolkit.fluxcd.io", "helmcharts", "HelmChart", (*collector).fluxHelmChart, "v1", "v1beta2"),
		customKind("helm.toolkit.fluxcd.io", "helmreleases", "HelmRelease", (*collector).fluxHelmRelease, "v2", "v2beta2", "v2beta1"),
	},
	v1alpha1.WorkloadArgoCD: {
		customKind("argoproj.io", "applications", "Application", (*collector).argoApplication, "v1alpha1"),
	},
}

// order is the order in which sources are read: those whose objects
// create others are read before those of the created objects.
var order = []v1alpha1.WorkloadSource{
	v1alpha1.WorkloadArgoCD, v1alpha1.WorkloadFlux, v1alpha1.WorkloadHelmReleases, v1alpha1.WorkloadControllers, v1alpha1.WorkloadPods,
}
