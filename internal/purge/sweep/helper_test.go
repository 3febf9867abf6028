package sweep

import "github.com/nfo-operator/nfo/internal/purge/purgetest"

// Short names for the test tables.
var d = purgetest.Digest
