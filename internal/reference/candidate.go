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
	// Version is its version or its tag, in which Helm writes _ for +.
	Version string
}

// ResolveChart finds the chart that a definition means by helmPackageName and
// helmPackageVersionRange, as Helm does in an OCI registry: the version asked for, letter by letter,
// if there is one, else the highest version in the range. A range without a pre-release takes no
// pre-release. Versions that are not strict SemVer, such as v1.0.0 or 1.0, are found by their
// letters alone. Of versions that differ in build metadata only, the last in order of letters is
// taken. ok is false if none exists; the error is about the range.
func ResolveChart(name, versionRange string, candidates []ChartCandidate) (found ChartCandidate, ok bool, err error) {
	asked, err := semver.NewConstraint(cmp.Or(versionRange, "*"))
	// A tag need not be SemVer, and then its name is not a range, but it can be asked for.
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
