package pass

// What Migrated says of definitions, designs, and manifests alike.
const (
	NewForm      = "It is in the form of AOSM's 2025-03-30 API and later."
	ChangeTheRef = "change artifactStoreRef to artifactManifestRef"
)
