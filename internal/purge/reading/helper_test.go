package reading

import "github.com/nfo-operator/nfo/internal/purge/purgetest"

// Short names for the test tables.
const repo = purgetest.Repository

var (
	storeKey    = purgetest.StoreKey
	d           = purgetest.Digest
	ds          = purgetest.Digests
	runtimeType = purgetest.KindOf
)
