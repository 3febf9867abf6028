package v1alpha1

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"k8s.io/apimachinery/pkg/types"
)

// ErrRegistryURL is returned, wrapped, for a registry URL that cannot be used.
var ErrRegistryURL = errors.New("not a registry URL")

// What is installed once in a cluster, by the names that config and the program share.
const (
	// ManagerNamespace is where the manager runs unless it is set otherwise.
	ManagerNamespace = "nfo-system"
	// ManagerName is that of the manager's Deployment, ServiceAccount, roles and Lease.
	ManagerName = "nfo-manager"
	// WebhookConfigurationName is that of the ValidatingWebhookConfiguration.
	WebhookConfigurationName = "nfo-validating"
	// WebhookServiceName is that of the Service that leads to the webhooks.
	WebhookServiceName = "nfo-webhooks"
	// WebhookSecretName is that of the Secret that the webhooks' certificate is kept in.
	WebhookSecretName = "nfo-webhook-certificate"
	// RegistryName is that of the Deployment, Service, ServiceAccount and roles of the registry that nfo ships.
	RegistryName = "nfo-registry"
	// RegistrySecretName is that of the Secret that the registry's certificate is kept in.
	RegistrySecretName = "nfo-registry-certificate"
	// RegistryBundleName is that of the ConfigMap with the certificate authorities of the registry, in the key ca.crt.
	RegistryBundleName = "nfo-registry-ca"
	// RegistryUploadsName is that of the Secret that signs the state of uploads to the registry.
	RegistryUploadsName = "nfo-registry-uploads"
	// MirrorName is that of the ArtifactStore of the mirror, in the manager's namespace.
	MirrorName = "mirror"
	// MirrorPrefix is where the mirror's store is in the registry that nfo ships. It has a dot, so that it is no
	// namespace's name.
	MirrorPrefix = "mirror.nfo.dev"
	// MutatingWebhookName is that of the MutatingWebhookConfiguration, for pods.
	MutatingWebhookName = "nfo-pods"
	// AgentName is that of the DaemonSet, ServiceAccount and roles of the nodes' agents.
	AgentName = "nfo-agent"
	// AgentSecretName is that of the Secret with the client certificate of the agents.
	AgentSecretName = "nfo-agent-certificate"
)

// Plural resource names by kind, as they stand in refusals and on kubectl's command line.
var resources = map[string]string{
	KindArtifactStore:    "artifactstores",
	KindArtifactManifest: "artifactmanifests",
	KindDefinition:       "networkfunctiondefinitionversions",
	KindDesign:           "networkservicedesignversions",
	KindSite:             "sitenetworkservices",
	KindTombstone:        "tombstones",
}

// Kinds returns the kinds of this package by which somebody states what is needed, sorted. Artifact is not one of them: it
// says what workloads use.
func Kinds() []string { return slices.Sorted(maps.Keys(resources)) }

// workloads are the plural names of the kinds that run images and can hold what they run.
var workloads = map[string]string{
	"Pod": "pods", "ReplicationController": "replicationcontrollers", "PodTemplate": "podtemplates",
	"Deployment": "deployments", "ReplicaSet": "replicasets", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets", "ControllerRevision": "controllerrevisions",
	"Job": "jobs", "CronJob": "cronjobs", "HelmRelease": "helmreleases",
}

// Resource is the plural name of a kind: artifactmanifests, deployments. Of a kind that is neither of this group nor of
// Kubernetes it is the kind with its group, by which kubectl knows it too: kafka.kafka.strimzi.io.
func Resource(kind string) string {
	if r, ok := resources[kind]; ok {
		return r
	}
	switch kind {
	case KindArtifact:
		return "artifacts"
	case "Namespace": // that stands for all workloads in it
		return "namespaces"
	}
	if r, ok := workloads[kind]; ok {
		return r
	}
	return strings.ToLower(kind)
}

// shortNames are the short names of the kinds of this package.
var shortNames = map[string]string{
	KindArtifactStore: "as", KindArtifactManifest: "am", KindDefinition: "nfdv", KindDesign: "nsdv", KindSite: "sns", KindTombstone: "ts", KindArtifact: "art",
}

// ShortName is the name by which commands in messages name a kind: am. Of a kind without a short name it is Resource.
func ShortName(kind string) string {
	if short, ok := shortNames[kind]; ok {
		return short
	}
	return Resource(kind)
}

// ResourceID names an object in messages: artifactmanifests/publisher/cnfmanifest.
func ResourceID(kind, namespace, name string) string {
	return Resource(kind) + "/" + namespace + "/" + name
}

// RegistryLocation is a parsed registry URL.
type RegistryLocation struct {
	// PlainHTTP is true for http://.
	PlainHTTP bool
	// Host is lower case, without the scheme's default port.
	Host string
	// Prefix is the repository prefix without slashes at its ends; "" for the whole registry.
	Prefix string
}

// ParseRegistryURL reads a store's URL: http or https, host, optional port and prefix. The
// host is lower-cased and the scheme's default port dropped, so that equal places compare
// equal. Errors wrap ErrRegistryURL and never repeat user info.
func ParseRegistryURL(raw string) (RegistryLocation, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return RegistryLocation{}, fmt.Errorf("%w: it cannot be parsed", ErrRegistryURL)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return RegistryLocation{}, fmt.Errorf("%w: the scheme is neither http nor https", ErrRegistryURL)
	case u.Hostname() == "":
		return RegistryLocation{}, fmt.Errorf("%w: it names no host", ErrRegistryURL)
	case u.User != nil:
		return RegistryLocation{}, fmt.Errorf("%w: it carries a user; use credentialsSecretRef", ErrRegistryURL)
	case u.RawQuery != "" || u.Fragment != "":
		return RegistryLocation{}, fmt.Errorf("%w: it has a query or fragment", ErrRegistryURL)
	}
	host := strings.ToLower(u.Host)
	if strings.ContainsFunc(host, func(r rune) bool { return r > unicode.MaxASCII }) {
		return RegistryLocation{}, fmt.Errorf("%w: its host is not ASCII; write an internationalized name in its xn-- form", ErrRegistryURL)
	}
	if port := u.Port(); port != "" {
		host = strings.TrimSuffix(host, ":"+port)
		port = strings.TrimLeft(port, "0")
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return RegistryLocation{}, fmt.Errorf("%w: its port is not from 1 to 65535", ErrRegistryURL)
		}
		if defaultPort := map[string]string{"http": "80", "https": "443"}[u.Scheme]; port != defaultPort {
			host += ":" + port
		}
	}
	l := RegistryLocation{PlainHTTP: u.Scheme == "http", Host: host, Prefix: strings.Trim(u.Path, "/")}
	if strings.Contains(l.Prefix, "//") {
		return RegistryLocation{}, fmt.Errorf("%w: its path has an empty segment", ErrRegistryURL)
	}
	return l, nil
}

// SameRegistry reports whether two locations are known to be in one registry. The scheme does not matter, nor
// which of its known names the host has; see placeHost.
func (l RegistryLocation) SameRegistry(o RegistryLocation) bool {
	return l.RegistryName() == o.RegistryName()
}

// RegistryName is the one name of the registry, whatever it is called in the URL: locations with the same name are in
// the same registry.
func (l RegistryLocation) RegistryName() string { return placeHost(l.Host) }

// Contains reports whether the other location is this one or below it, in one registry.
func (l RegistryLocation) Contains(o RegistryLocation) bool {
	return within(o.Prefix, l.Prefix) && l.SameRegistry(o) // which costs more
}

// Overlaps reports whether two locations are equal or one is a prefix of the other by whole
// path segments, in one registry.
func (l RegistryLocation) Overlaps(o RegistryLocation) bool {
	return l.SameRegistry(o) && l.OverlapsPath(o)
}

// OverlapsPath reports whether the prefixes of two locations are equal or one is a prefix of the other by
// whole path segments, whatever their hosts.
func (l RegistryLocation) OverlapsPath(o RegistryLocation) bool {
	return within(l.Prefix, o.Prefix) || within(o.Prefix, l.Prefix)
}

// Same reports whether two locations are one place: what was released from the one is restored and
// purged through the other.
func (l RegistryLocation) Same(o RegistryLocation) bool {
	return l.SameRegistry(o) && l.Prefix == o.Prefix
}

// within reports whether path lies at or below prefix, by whole segments.
func within(path, prefix string) bool {
	return prefix == "" || path == prefix || strings.HasPrefix(path, prefix+"/")
}

// Repository returns the repository of an artifact of a manifest in this location.
func (l RegistryLocation) Repository(manifest string, path UploadPath, artifactName string) string {
	segments := []string{l.Prefix, manifest, artifactName}
	if path == StoreScoped {
		segments = []string{l.Prefix, artifactName}
	}
	if l.Prefix == "" {
		segments = segments[1:]
	}
	return strings.Join(segments, "/")
}

// InClear reports whether requests to the location go over a network unencrypted: by plain HTTP, and not to
// this machine itself.
func (l RegistryLocation) InClear() bool {
	host := l.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	loopback := strings.EqualFold(host, "localhost") || err == nil && address.Unmap().IsLoopback()
	return l.PlainHTTP && !loopback
}

// MaxRepositoryName is the longest repository name, in bytes, that registries agree on: nothing was ever
// in one with a longer name.
const MaxRepositoryName = 255

// Owns reports whether repository is one that a ManifestScoped manifest of this name has in
// this location: the prefix, the manifest's name, and exactly one segment more, in a length that
// registries take.
func (l RegistryLocation) Owns(manifest, repository string) bool {
	if len(repository) > MaxRepositoryName {
		return false
	}
	rest, ok := strings.CutPrefix(repository, l.Repository(manifest, ManifestScoped, ""))
	return ok && rest != "" && !strings.Contains(rest, "/") && !strings.Contains(manifest, "/")
}

// TombstoneSuffix tells apart the tombstones of one manifest by why and of what they are: eight
// characters of a hash, for a repository name can be longer than an object's.
func TombstoneSuffix(cause Cause, of string) string {
	sum := sha256.Sum256([]byte(string(cause) + " " + of))
	return hex.EncodeToString(sum[:4])
}

// TombstoneName names the tombstone of a whole manifest: its name, cut, and the first 8
// characters of its UID. suffix, when not empty, tells apart the tombstones of single entries.
func TombstoneName(manifest string, uid types.UID, suffix string) string {
	short := string(uid)
	if len(short) > 8 {
		short = short[:8]
	}
	tail := "-" + short
	if suffix != "" {
		tail += "-" + suffix
	}
	if room := 253 - len(tail); len(manifest) > room {
		manifest = strings.TrimRight(manifest[:room], "-.")
	}
	return manifest + tail
}
