package mirror

import "github.com/nfo-operator/nfo/internal/purge/purgetest"

// Short names for the test tables.
var (
	now    = purgetest.Now
	d      = purgetest.Digest
	ago    = purgetest.Ago
	aStore = purgetest.Store
)
