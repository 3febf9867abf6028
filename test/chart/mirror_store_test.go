package chart

const mirrorOn = "registry: {enabled: true}, mirror: {enabled: true"

// mirrorStoreRows test the values of mirror from which the manager makes the mirror's store.
var mirrorStoreRows = map[string]row{
	"Mirror": {"the manager makes the store, which Helm cannot while its kind and webhooks do not answer", "{" + mirrorOn + "}}", []expect{
		{"ConfigMap/nfo-mirror", "{.metadata.namespace} {.data.mirror\\.yaml}", "operators mirror:\n  images: KnownStores\n  pullAddress: 127.0.0.1:7439\n  refreshPeriod: 10m\n  rewrite: Present\npurge:\n  dryRun: false\n  gracePeriod: 24h\n  schedule: 0 0 * * *\n  suspend: false\n  targetPercent: 0\n  thresholdPercent: 0\n"},
		{"ConfigMap/nfo-places", "{.data.places\\.yaml}", "default: Allow\nplaces:\n- namespaces:\n  - operators\n  registry: cluster-registry.nfo.dev/mirror.nfo.dev\n"},
		{manager, container + ".args[13]} {" + container[1:] + ".args[14]} {" + container[1:] + ".args[15]} {" + container[1:] + ".args[16]}", "--mirror=/mirror/mirror.yaml --mirror-copies=3 --mirror-blobs=2 --mirror-requests-per-second=20"},
		{manager, container + ".volumeMounts[1]}", `{"mountPath":"/mirror","name":"mirror","readOnly":true}`},
		{"ArtifactStore/mirror", "", ""},
	}},
	"NoMirrorStore": {"then there is nothing of it", "registry: {enabled: true}", []expect{
		{"ConfigMap/nfo-mirror", "", ""},
		{"ConfigMap/nfo-places", "", ""},
	}},
	"MirrorSettings": {"they become the spec of the store", "{scale: large, " + mirrorOn + ", images: All, rewrite: Always, refreshPeriod: 1h, pullAddress: \"10.96.0.50/mirror.nfo.dev\", copies: 5, imagePullSecrets: [{name: all}], namespaceSelector: {matchLabels: {site: a}}, " +
		"purge: {schedule: \"\", thresholdPercent: 80, targetPercent: 60, gracePeriod: 1h30m, dryRun: true, suspend: true}}}", []expect{
		{"ConfigMap/nfo-mirror", "{.data.mirror\\.yaml}", "mirror:\n  imagePullSecrets:\n  - name: all\n  images: All\n  namespaceSelector:\n    matchLabels:\n      site: a\n  pullAddress: 10.96.0.50/mirror.nfo.dev\n  refreshPeriod: 1h\n  rewrite: Always\npurge:\n  dryRun: true\n  gracePeriod: 1h30m\n  schedule: \"\"\n  suspend: true\n  targetPercent: 60\n  thresholdPercent: 80\n"},
		{manager, container + ".args[14]} {" + container[1:] + ".args[15]} {" + container[1:] + ".args[16]}", "--mirror-copies=5 --mirror-blobs=8 --mirror-requests-per-second=80"},
	}},
	"MirrorPlatforms": {"the manager copies them, and the registry answers for them", "{" + mirrorOn + ", platforms: [linux/amd64, linux/arm64/v8]}}", []expect{
		{manager, container + ".args[17]}", "--mirror-platforms=linux/amd64,linux/arm64/v8"},
		{"Deployment/nfo-registry", container + ".args[14]}", "--mirror-platforms=linux/amd64,linux/arm64/v8"},
		{"ArtifactStore/mirror", "", ""},
	}},
	"MirrorWatched": {"the manager acts in its own namespace too, where the mirror's store is", "{watchNamespaces: [default], " + mirrorOn + "}}", []expect{
		{manager, container + ".args[9]}", "--watch-namespaces=default,operators"},
	}},
}
