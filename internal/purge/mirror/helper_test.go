package mirror

import "github.com/nfo-operator/nfo/internal/purge/purgetest"

// What tables of cases are made of has short names.
var (
	now    = purgetest.Now
	d      = purgetest.Digest
	ago    = purgetest.Ago
	aStore = purgetest.Store
)
