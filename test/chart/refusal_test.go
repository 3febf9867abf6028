package chart

import (
	"strings"
	"testing"
)

func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason, values string
		says           []string
	}{
		"NoImage":        {"nobody knows where the nodes can pull it", "image: {repository: \"\"}", []string{"image.repository is not set", "make image", "--set image.repository=registry.example.com/nfo"}},
		"TagInImage":     {"it would have two", "image: {repository: \"registry.example.com:5000/nfo:v1\"}", []string{`"registry.example.com:5000/nfo:v1", which has a tag or a digest`, "image.tag or image.digest"}},
		"DigestInImage":  {"it would have two", "image: {repository: \"registry.example.com/nfo@sha256:00\"}", []string{"which has a tag or a digest"}},
		"Digest":         {"it is not one", "image: {digest: latest}", []string{"/image/digest"}},
		"PullPolicy":     {"Kubernetes has no such", "image: {pullPolicy: Sometimes}", []string{"/image/pullPolicy", "'IfNotPresent'"}},
		"Typo":           {"it would have no effect", "replica: 2", []string{"additional properties 'replica' not allowed"}},
		"TypoInGroup":    {"it would have no effect", "image: {tga: v1}", []string{"/image", "'tga' not allowed"}},
		"TypoBelow":      {"it would have no effect", "metrics: {serviceMonitor: {enable: true}}", []string{"/metrics/serviceMonitor", "'enable' not allowed"}},
		"TypoInResource": {"it would have no effect", "resources: {limit: {memory: 1Gi}}", []string{"/resources", "'limit' not allowed"}},
		"TypoInPurge":    {"the manager refuses it", "purge: {resources: {limits: {mem: 1Gi}}}", []string{"/purge/resources/limits", "'mem' not allowed"}},
		"TypoInIssuer":   {"it would have no effect", "certificate: {issuerRef: {nam: ca}}", []string{"/certificate/issuerRef", "'nam' not allowed"}},
		"NoIssuer":       {"nobody knows which", "certificate: {mode: certManager, issuerRef: {kind: ClusterIssuer}}", []string{"certificate.issuerRef has no name"}},
		"FailurePolicy":  {"what is in use could be deleted while no manager runs", "webhooks: {failurePolicy: Ignore}", []string{"'failurePolicy' not allowed"}},
		"Scale":          {"there are three", "scale: huge", []string{"/scale", "'small', 'medium', 'large'"}},
		"Mode":           {"there are two", "certificate: {mode: none}", []string{"/certificate/mode", "'self', 'certManager'"}},
		"NoReplicas":     {"without one every change is refused", "replicas: 0", []string{"/replicas", "minimum"}},
		"Replicas":       {"it is not a number", "replicas: two", []string{"/replicas"}},
		"Polls":          {"the manager refuses it", "pollsPerSecond: 0.05", []string{"/pollsPerSecond"}},
		"Timeout":        {"the webhook takes up to 4 seconds to say what is wrong", "webhooks: {timeoutSeconds: 3}", []string{"/webhooks/timeoutSeconds"}},
		"LongTimeout":    {"the API server refuses more", "webhooks: {timeoutSeconds: 31}", []string{"/webhooks/timeoutSeconds"}},
		"Port":           {"no such port", "networkPolicy: {egressPorts: [65536]}", []string{"/networkPolicy/egressPorts/0"}},
		"PlaceScheme":    {"a place is the same over HTTP and HTTPS", "places: {list: [{registry: \"https://r.example.com\"}]}", []string{"/places/list/0/registry"}},
		"PlaceTypo":      {"it would be for nobody", "places: {list: [{registry: r.example.com, namespace: [a]}]}", []string{"/places/list/0", "'namespace' not allowed"}},
		"PlaceNowhere":   {"nobody knows where", "places: {list: [{namespaces: [a]}]}", []string{"/places/list/0", "missing property 'registry'"}},
		"PlaceDefault":   {"there are two", "places: {default: deny}", []string{"/places/default", "'Allow', 'Deny'"}},
		"ProxyLogin":     {"everyone who reads Deployments would see it", "proxy: {httpsProxy: \"http://me:secret@proxy.example.com\"}", []string{"/proxy/httpsProxy"}},
		"ProxyScheme":    {"Go would take it for a host", "proxy: {httpProxy: \"proxy.example.com:3128\"}", []string{"/proxy/httpProxy"}},
		"NoProxyList":    {"it would be one host", "proxy: {noProxy: [\"a,b\"]}", []string{"/proxy/noProxy/0"}},
		"Label":          {"a label is text", "podLabels: {version: 1}", []string{"/podLabels/version"}},
		"Interval":       {"Prometheus knows no such", "metrics: {serviceMonitor: {interval: often}}", []string{"/metrics/serviceMonitor/interval"}},
		"Registry":       {"a claim for one node serves one pod", "registry: {enabled: true, replicas: 2}", []string{"registry.replicas is 2", "ReadWriteOnce", "registry.persistence.accessMode=ReadWriteMany"}},
		"RegistryPod":    {"the same", "registry: {enabled: true, replicas: 2, persistence: {accessMode: ReadWriteOncePod, existingClaim: data}}", []string{"ReadWriteOncePod"}},
		"RegistryScaled": {"the autoscaler would start a second one", "registry: {enabled: true, autoscaling: {enabled: true}}", []string{"registry.autoscaling is enabled", "ReadWriteOnce", "registry.persistence.accessMode=ReadWriteMany"}},
		"RegistryFewer":  {"it would be less than the least", "registry: {enabled: true, replicas: 6, persistence: {accessMode: ReadWriteMany}, autoscaling: {enabled: true}}", []string{"registry.autoscaling.maxReplicas is 5", "is 6"}},
		"RegistryScrub":  {"it is not a time", "registry: {scrub: {period: 30d}}", []string{"/registry/scrub/period"}},
		"RegistryDriver": {"options of a driver are an object", "registry: {storage: {s3: acme}}", []string{"/registry/storage/s3"}},
		"AccessMode":     {"nobody could write", "registry: {persistence: {accessMode: ReadOnlyMany}}", []string{"/registry/persistence/accessMode"}},
		"RegistryScale":  {"there are three", "registry: {scale: huge}", []string{"/registry/scale", "'small', 'medium', 'large'"}},
		"RegistryNone":   {"without one nothing is served", "registry: {replicas: 0}", []string{"/registry/replicas"}},
		"RegistryFew":    {"the registry refuses it", "registry: {requests: 3}", []string{"/registry/requests"}},
		"RegistrySize":   {"it has no unit", "registry: {persistence: {size: \"20\"}}", []string{"/registry/persistence/size"}},
		"RegistryURL":    {"it is a host, and the scheme is always https", "registry: {host: \"https://registry.example.com\"}", []string{"/registry/host"}},
		"RegistryWater":  {"nothing could be pushed", "registry: {guard: {highWater: 0}}", []string{"/registry/guard/highWater"}},
		"RegistryGrace":  {"it is not a time", "registry: {collection: {grace: 1d}}", []string{"/registry/collection/grace"}},
		"RegistryPort":   {"it would have no effect", "registry: {enabled: true, service: {nodePort: 30443}}", []string{"registry.service.nodePort has no effect"}},
		"RegistryTypo":   {"it would have no effect", "registry: {enable: true}", []string{"/registry", "'enable' not allowed"}},
		"MirrorAlone":    {"there is nothing to copy into", "mirror: {enabled: true}", []string{"mirror.enabled needs registry.enabled", "--set registry.enabled=true,mirror.enabled=true"}},
		"MirrorPlatform": {"nothing would be of it", "mirror: {platforms: [linux/x86_64]}", []string{"/mirror/platforms/0", "does not match pattern"}},
		"MirrorNoSystem": {"it is half a platform", "mirror: {platforms: [linux/amd64, arm64]}", []string{"/mirror/platforms/1"}},
		"MirrorVariant":  {"variants begin with a v", "mirror: {platforms: [linux/arm64/8]}", []string{"/mirror/platforms/0"}},
		"MirrorStorage":  {"nothing checks there what an index needs", "registry: {enabled: true, storage: {s3: {bucket: b}}}\nmirror: {enabled: true, platforms: [linux/amd64]}", []string{"mirror.platforms needs the registry's volume", "registry.storage"}},
		"MirrorAccess":   {"there are four", "mirror: {nodeAccess: HostPort}", []string{"/mirror/nodeAccess", "'RuntimeMirror'"}},
		"MirrorNodePort": {"pods name the port", "registry: {enabled: true, service: {type: NodePort}}\nmirror: {enabled: true, nodeAccess: NodePort}", []string{"registry.service.nodePort=30500"}},
		"MirrorNoLogin":  {"the runtime has no login", "registry: {enabled: true, service: {type: NodePort, nodePort: 30500}}\nmirror: {enabled: true, nodeAccess: NodePort}", []string{"registry.anonymousPull=true"}},
		"MirrorAddress":  {"pods name the address", "registry: {enabled: true}\nmirror: {enabled: true, nodeAccess: ClusterIP}", []string{"registry.service.clusterIP"}},
		"MirrorHosts":    {"nothing would be configured", "registry: {enabled: true}\nmirror: {enabled: true, nodeAccess: RuntimeMirror}", []string{"mirror.agent.hosts={registry.example.com}"}},
		"MirrorHostURL":  {"it is a host", "mirror: {agent: {hosts: [\"https://registry.example.com\"]}}", []string{"/mirror/agent/hosts/0"}},
		"MirrorPort":     {"no such port", "mirror: {agent: {port: 0}}", []string{"/mirror/agent/port"}},
		"MirrorTypo":     {"it would have no effect", "mirror: {agent: {toleration: []}}", []string{"/mirror/agent", "'toleration' not allowed"}},
		"MirrorUntagged": {"images by digest have no tag", "registry: {enabled: true, collection: {untagged: true}}\nmirror: {enabled: true}", []string{"registry.collection.untagged cannot both be true"}},
		"MirrorImages":   {"there are two", "mirror: {images: Some}", []string{"/mirror/images", "'KnownStores', 'All'"}},
		"MirrorPeriod":   {"it is not a time", "mirror: {refreshPeriod: 1d}", []string{"/mirror/refreshPeriod"}},
		"Percent":        {"nothing is fuller than full", "metrics: {prometheusRule: {storeFullPercent: 101}}", []string{"/metrics/prometheusRule/storeFullPercent"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Not with --set, which would override the row's values.
			_, err := helm(t, "image: {repository: "+repository+"}\n"+tc.values, "template", "nfo", folder, "--values", "-")
			if strings.HasPrefix(tc.values, "image:") {
				_, err = helm(t, tc.values, "template", "nfo", folder, "--values", "-")
			}
			if err == nil {
				t.Fatalf("%s, and it was rendered", tc.reason)
			}
			for _, text := range tc.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%s: it says %q, which has no %q", tc.reason, err, text)
				}
			}
		})
	}
}

func TestOldKubernetes(t *testing.T) {
	t.Parallel()
	_, err := helm(t, "", "template", "nfo", folder, "--set", "image.repository="+repository, "--kube-version", "1.31.9")
	if err == nil || !strings.Contains(err.Error(), ">=1.32.0-0") {
		t.Errorf("an API server that does not know the fields that bulk deletion selects by: %v", err)
	}
	if _, err := helm(t, "", "template", "nfo", folder, "--set", "image.repository="+repository, "--kube-version", "v1.32.4-eks-abc"); err != nil {
		t.Errorf("a vendor's version is one too: %v", err)
	}
}
