package usage

import "github.com/nfo-operator/nfo/internal/purge/purgetest"

// Short names for the test tables.
const repo = purgetest.Repository

var (
	d      = purgetest.Digest
	ds     = purgetest.Digests
	aStore = purgetest.Store
)
