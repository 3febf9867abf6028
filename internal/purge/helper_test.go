package purge

import "github.com/nfo-operator/nfo/internal/purge/purgetest"

// Short names for the test tables.
const (
	namespace = purgetest.Namespace
	repo      = purgetest.Repository
)

var (
	now         = purgetest.Now
	storeKey    = purgetest.StoreKey
	d           = purgetest.Digest
	ago         = purgetest.Ago
	aStore      = purgetest.Store
	aManifest   = purgetest.Manifest
	lists       = purgetest.Lists
	aDefinition = purgetest.Definition
	aTombstone  = purgetest.Tombstone
	released    = purgetest.Released
	in          = purgetest.In
	runtimeType = purgetest.KindOf
)
