package reference

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// ChartCandidate is a chart in a registry.
type ChartCandidate struct {
	Name string
	// Version is the chart's version or its tag. Helm writes + as _ in tags.
	Version string
}

// ResolveChart finds the chart that a definition means by helmPackageName and helmPackageVersionRange, as Helm does in
// an OCI registry. It prefers the version that equals the range character by character, and otherwise takes the
// highest version in the range. A range without a pre-release matches no pre-release. Versions that are not strict
// SemVer, such as v1.0.0 or 1.0, match only character by character. If versions differ only in build metadata, the one
// with the last metadata in lexical order is taken. ok is false if no version matches; the error is about the range.
func ResolveChart(name, versionRange string, candidates []ChartCandidate) (found ChartCandidate, ok bool, err error) {
	asked, err := semver.NewConstraint(cmp.Or(versionRange, "*"))
	// A version that is not SemVer, such as a tag "nightly", is not
	// a valid range but can still match character by character.
	var best *semver.Version
	for _, c := range candidates {
		if c.Name != name {
			continue
		}
		text := strings.ReplaceAll(c.Version, "_", "+")
		if text == strings.ReplaceAll(versionRange, "_", "+") {
			return c, true, nil
		}
		v, vErr := semver.StrictNewVersion(text)
		if err != nil || vErr != nil || !asked.Check(v) {
			continue
		}
		if best == nil || cmp.Or(v.Compare(best), cmp.Compare(v.Metadata(), best.Metadata())) > 0 {
			found, best = c, v
		}
	}
	if err != nil {
		return ChartCandidate{}, false, fmt.Errorf("reading the version range %q of chart %s: %w", versionRange, name, err)
	}
	return found, best != nil, nil
}
