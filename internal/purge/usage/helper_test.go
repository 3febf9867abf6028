package usage

import "github.com/nfo-operator/nfo/internal/purge/purgetest"

// What tables of cases are made of has short names.
const repo = purgetest.Repository

var (
	d      = purgetest.Digest
	ds     = purgetest.Digests
	aStore = purgetest.Store
)
