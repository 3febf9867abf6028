package sweep

import "github.com/nfo-operator/nfo/internal/purge/purgetest"

// What tables of cases are made of has short names.
var d = purgetest.Digest
