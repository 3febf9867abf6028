package cronjob

import (
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

const (
	// ContainerName is the container of a purge's pod.
	ContainerName = "purge"
	// AllowLoopbackFlag is the flag of the manager and of a purge that allows registries at loopback addresses.
	AllowLoopbackFlag = "allow-loopback-registries"
	// WaitFlag is the flag of a purge that makes it wait for the registry's collection.
	WaitFlag = "wait-for-collection"
	// MemoryVariable sets the memory limit of the Go runtime, in bytes. The runtime
	// then collects garbage more often before the container is killed at its limit.
	MemoryVariable = "GOMEMLIMIT"
	// memoryPercent is the percentage of the container's memory limit for the Go runtime.
	// The rest is for memory that the runtime does not count, such as the program itself.
	memoryPercent = 90
)

// Settings are what the manager's command line decides for the pods of all purges.
type Settings struct {
	// Image is the image of the container. If it is "", there is no CronJob.
	Image string
	// Resources are the resources of the container. Empty lists mean no requests and no limits.
	Resources corev1.ResourceRequirements
	// Proxy are the environment variables of the HTTP proxy; see ProxyVariables. Default: none.
	Proxy []corev1.EnvVar
	// AllowLoopback allows registries at loopback addresses; see registry.Addresses. Default: not allowed.
	AllowLoopback bool
}

// DefaultResources returns requests of 50 millicores and 64 MiB, and limits of one core and 512 MiB.
func DefaultResources() corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("64Mi")},
		Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("512Mi")},
	}
}

// args returns the arguments of a store's purge.
func (s Settings) args(store *v1alpha1.ArtifactStore) []string {
	all := []string{"purge", "--namespace=" + store.Namespace, "--store=" + store.Name}
	if s.AllowLoopback {
		all = append(all, "--"+AllowLoopbackFlag)
	}
	return all
}

// ProxyVariables returns those environment variables that are set of HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in upper and in
// lower case, as net/http.ProxyFromEnvironment reads them.
func ProxyVariables(lookup func(string) (string, bool)) []corev1.EnvVar {
	var found []corev1.EnvVar
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"} {
		if value, set := lookup(name); set && value != "" {
			found = append(found, corev1.EnvVar{Name: name, Value: value})
		}
	}
	return found
}

// env returns the memory that the Go runtime aims at, if the container has a limit, and the variables of the proxy.
func (s Settings) env() []corev1.EnvVar {
	var all []corev1.EnvVar
	if limit, set := s.Resources.Limits[corev1.ResourceMemory]; set {
		all = append(all, corev1.EnvVar{Name: MemoryVariable, Value: strconv.FormatInt(RuntimeMemory(limit.Value()), 10)})
	}
	return append(all, s.Proxy...)
}

// RuntimeMemory returns the memory limit of the Go runtime for a container's memory limit: 90 % of it, in bytes.
func RuntimeMemory(limit int64) int64 { return limit / 100 * memoryPercent }

// pullPolicy returns the API server's default: Always for an image whose
// tag is missing or "latest", and IfNotPresent for any other image.
func (s Settings) pullPolicy() corev1.PullPolicy {
	name, _, digested := strings.Cut(s.Image, "@")
	_, tag, tagged := strings.Cut(name[strings.LastIndex(name, "/")+1:], ":")
	if tag == "latest" || (!tagged && !digested) {
		return corev1.PullAlways
	}
	return corev1.PullIfNotPresent
}
