package plan

import "github.com/nfo-operator/nfo/internal/purge/purgetest"

// Short names for the test tables.
const repo = purgetest.Repository

var (
	now         = purgetest.Now
	storeKey    = purgetest.StoreKey
	known       = purgetest.Definitions
	d           = purgetest.Digest
	ds          = purgetest.Digests
	ago         = purgetest.Ago
	aStore      = purgetest.Store
	aManifest   = purgetest.Manifest
	lists       = purgetest.Lists
	records     = purgetest.Records
	looked      = purgetest.Looked
	aDefinition = purgetest.Definition
	deploying   = purgetest.Deploying
	aTombstone  = purgetest.Tombstone
	released    = purgetest.Released
	in          = purgetest.In
	because     = purgetest.Because
	missing     = purgetest.Missing
	unresolved  = purgetest.Unresolved
	tagStays    = purgetest.TagStays
)
