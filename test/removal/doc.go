// Package removal tests `nfo remove`. A removal concerns the whole cluster, so
// the package has a separate API server and its tests run one after another.
package removal
