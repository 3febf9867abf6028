package reference

import "testing"

func TestResolveChart(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason   string
		asked    string
		versions []string
		want     string
		fails    bool
	}{
		"Highest":          {"by number, not by letter", "~1.0.0", []string{"1.0.9", "1.0.10", "1.1.0"}, "1.0.10", false},
		"Exact":            {"one version", "1.0.0", []string{"1.0.1", "1.0.0"}, "1.0.0", false},
		"Caret":            {"up to the next major", "^1.2", []string{"1.1.0", "1.9.0", "2.0.0"}, "1.9.0", false},
		"Or":               {"one of two ranges", "1.0.x || >=3", []string{"1.0.5", "2.0.0"}, "1.0.5", false},
		"Empty":            {"no range is any release", "", []string{"1.0.0", "2.0.0-rc.1"}, "1.0.0", false},
		"NoPrerelease":     {"a release is asked for", ">=1.0.0", []string{"1.0.0", "2.0.0-rc.1"}, "1.0.0", false},
		"Prerelease":       {"a range that takes them", ">=1.0.0-0", []string{"1.0.0", "2.0.0-rc.1", "2.0.0-beta"}, "2.0.0-rc.1", false},
		"OnlyPrerelease":   {"no release", "~1.0.0", []string{"1.0.1-rc.1"}, "", false},
		"ExactPrerelease":  {"letter by letter", "1.0.0-rc.1", []string{"1.0.0", "1.0.0-rc.1"}, "1.0.0-rc.1", false},
		"Tag":              {"a tag has _ for +", "~1.0.0", []string{"1.0.0", "1.0.1_build.5"}, "1.0.1_build.5", false},
		"TagAskedFor":      {"build metadata, letter by letter", "1.0.1+build.5", []string{"1.0.1_build.6", "1.0.1_build.5"}, "1.0.1_build.5", false},
		"Builds":           {"the same version, built twice", "~1.0.0", []string{"1.0.1_b", "1.0.1_c", "1.0.1_a"}, "1.0.1_c", false},
		"NoVersions":       {"tags that are no versions", "*", []string{"latest", "v2.0.0", "2.0", "1.0.0"}, "1.0.0", false},
		"NoVersionWanted":  {"they can be asked for", "v2.0.0", []string{"v2.0.0", "2.0.0"}, "v2.0.0", false},
		"TagWanted":        {"also where they are no range", "nightly", []string{"1.0.0", "nightly"}, "nightly", false},
		"None":             {"nothing in range", "~9.0.0", []string{"1.0.0"}, "", false},
		"NoCandidates":     {"nothing at all", "~9.0.0", nil, "", false},
		"NoRange":          {"the range is not one", "newest", []string{"1.0.0"}, "", true},
		"OrderIsUnchanged": {"found wherever it is", "*", []string{"3.0.0", "1.0.0", "2.0.0"}, "3.0.0", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			candidates := []ChartCandidate{{"other", "1.0.99"}, {"other", "9.0.0"}}
			for _, v := range tc.versions {
				candidates = append(candidates, ChartCandidate{"app", v})
			}
			got, ok, err := ResolveChart("app", tc.asked, candidates)
			if (err != nil) != tc.fails || ok != (tc.want != "") || got.Version != tc.want || ok && got.Name != "app" {
				t.Errorf("%s: %q of %v is %v, %t, %v, want %q", tc.reason, tc.asked, tc.versions, got, ok, err, tc.want)
			}
		})
	}
}
