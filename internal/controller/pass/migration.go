package pass

// Phrases of the condition Migrated that definitions, designs and manifests share.
const (
	NewForm      = "It is in the form of AOSM's 2025-03-30 API and later."
	ChangeTheRef = "change artifactStoreRef to artifactManifestRef"
)
