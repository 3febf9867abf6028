package v1alpha1

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// WorkloadSource is where it is read what workloads run.
// +kubebuilder:validation:Enum=Pods;Controllers;HelmReleases;Flux;ArgoCD
type WorkloadSource string

// Where it is read what workloads run.
const (
	// WorkloadPods: pods, with the images that they name and the digests that their nodes have pulled.
	WorkloadPods WorkloadSource = "Pods"
	// WorkloadControllers: what makes pods: Deployments and the ReplicaSets that they can go back to, StatefulSets and
	// DaemonSets with theirs, Jobs, CronJobs, ReplicationControllers and PodTemplates.
	WorkloadControllers WorkloadSource = "Controllers"
	// WorkloadHelmReleases: the records that Helm keeps of every revision of a release, in Secrets.
	WorkloadHelmReleases WorkloadSource = "HelmReleases"
	// WorkloadFlux: HelmReleases, HelmCharts and OCIRepositories of Flux.
	WorkloadFlux WorkloadSource = "Flux"
	// WorkloadArgoCD: Applications of Argo CD.
	WorkloadArgoCD WorkloadSource = "ArgoCD"
)

// WorkloadsSpec says whose running workloads keep artifacts of a store. What they run, or would run again after a
// rollback, is never untagged or purged. What cannot be read keeps everything of the store.
type WorkloadsSpec struct {
	// The namespaces whose workloads count, by their labels. Default {}: all.
	// +optional
	// +kubebuilder:default={}
	NamespaceSelector metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// Where it is read what runs: Pods, Controllers, HelmReleases, Flux, ArgoCD. Default [Pods, Controllers]. An
	// administrator grants the rights for it; see the values workloads of the chart.
	// +optional
	// +listType=set
	// +kubebuilder:default={Pods,Controllers}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=5
	Sources []WorkloadSource `json:"sources,omitempty"`

	// Other names by which nodes pull what is in this store, such as a mirror's: host, optional port and repository
	// prefix, without a scheme. What is behind the prefix is behind the store's. At most 16.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	RegistryAliases []string `json:"registryAliases,omitempty"`
}

// Selector is the selector of the namespaces. Errors say what is wrong with it.
func (w *WorkloadsSpec) Selector() (labels.Selector, error) {
	selector, err := metav1.LabelSelectorAsSelector(&w.NamespaceSelector)
	if err != nil {
		return nil, fmt.Errorf("spec.workloads.namespaceSelector: %w", err)
	}
	return selector, nil
}

// aliasPattern is a host with an optional port, and an optional repository prefix.
var aliasPattern = regexp.MustCompile(`^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?\.?)(:[0-9]{1,5})?(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*/?$`)

// Locations are the names of a store, as ArtifactStore.Names has them, and its aliases: the places that images of it are
// named by.
func (w *WorkloadsSpec) Locations(names ...RegistryLocation) ([]RegistryLocation, error) {
	all := slices.Clone(names)
	for _, alias := range w.RegistryAliases {
		at, err := ParseRegistryURL("https://" + alias)
		if err != nil || !aliasPattern.MatchString(alias) {
			return nil, fmt.Errorf("spec.workloads.registryAliases: %q is not a host with an optional port and repository prefix, without a scheme, tag and digest", Line(alias))
		}
		all = append(all, at)
	}
	return all, nil
}

// WorkloadSourceState is how the reading of a source ended.
// +kubebuilder:validation:Enum=Read;Denied;NotInstalled;Failed
type WorkloadSourceState string

// How the reading of a source ended.
const (
	// WorkloadsRead: all of it was read.
	WorkloadsRead WorkloadSourceState = "Read"
	// WorkloadsDenied: the operator has no right to read it. Everything of the store stays.
	WorkloadsDenied WorkloadSourceState = "Denied"
	// WorkloadsNotInstalled: the API server does not know its kinds. It holds nothing.
	WorkloadsNotInstalled WorkloadSourceState = "NotInstalled"
	// WorkloadsFailed: it could not be read. Everything of the store stays.
	WorkloadsFailed WorkloadSourceState = "Failed"
)

// WorkloadSourceStatus is what was read of a source.
type WorkloadSourceStatus struct {
	// The source.
	// +required
	Name WorkloadSource `json:"name"`
	// How its reading ended: Read, Denied, NotInstalled or Failed.
	// +required
	State WorkloadSourceState `json:"state"`
	// Since when it is in this state.
	// +required
	Since metav1.Time `json:"since"`
	// When it was read last; absent if it never was.
	// +optional
	ReadAt *metav1.Time `json:"readAt,omitempty"`
	// How many objects were read.
	// +required
	Objects int32 `json:"objects"`
	// How many times they name something of this store: once for each holder, container and image.
	// +required
	Uses int32 `json:"uses"`
	// What is missing, and what to do; empty for Read.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// The CustomResourceDefinitions of the source that nfo has seen, of Flux and ArgoCD. While one of them is missing, or
	// was created again, the source is Failed for 24 hours: its objects may be on their way back.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Definitions []WorkloadDefinition `json:"definitions,omitempty"`
}

// WorkloadDefinition is a CustomResourceDefinition that nfo has seen.
type WorkloadDefinition struct {
	// Its name, such as helmreleases.helm.toolkit.fluxcd.io.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Its UID: a definition that was deleted and created again is another one.
	// +required
	UID types.UID `json:"uid"`
	// Since when it is missing; absent while it exists.
	// +optional
	MissingSince *metav1.Time `json:"missingSince,omitempty"`
}

// WorkloadsStatus is what was read of running workloads.
type WorkloadsStatus struct {
	// When the reading began. It is repeated every 10 minutes, and for each deletion.
	// +required
	ObservedAt metav1.Time `json:"observedAt"`
	// How many namespaces are selected. Absent where all are.
	// +optional
	Namespaces *int32 `json:"namespaces,omitempty"`
	// Each selected source.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=5
	Sources []WorkloadSourceStatus `json:"sources,omitempty"`
}

// lapse is for how long at most nobody reads what workloads use, in which it is still known since when they do not.
const lapse = 2 * time.Hour

// Lapsed reports whether more than 2 hours have passed since all sources were read, or they never were: nobody has seen what
// was used in that time and is not used now.
func (w *WorkloadsStatus) Lapsed(now time.Time) bool {
	return w == nil || now.Sub(w.ObservedAt.Time) > lapse || slices.ContainsFunc(w.Sources, func(s WorkloadSourceStatus) bool {
		return s.unread() && (s.ReadAt == nil || now.Sub(s.ReadAt.Time) > lapse)
	})
}

// unread reports whether a source could not be read.
func (s WorkloadSourceStatus) unread() bool {
	return s.State == WorkloadsDenied || s.State == WorkloadsFailed
}

// Unreadable says which sources could not be read, and why; "" if all could.
func (w *WorkloadsStatus) Unreadable() string {
	if w == nil {
		return ""
	}
	var names, messages []string
	for _, s := range w.Sources {
		if !s.unread() {
			continue
		}
		if i := slices.Index(messages, s.Message); i >= 0 { // said once for all that it concerns
			names[i] += ", " + string(s.Name)
			continue
		}
		names, messages = append(names, string(s.Name)), append(messages, s.Message)
	}
	for i := range messages {
		messages[i] = names[i] + ": " + messages[i]
	}
	return strings.Join(messages, "; ")
}
