package aosm

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/internal/aosm/finding"
)

// TestTold checks the words of findings.
func TestTold(t *testing.T) {
	t.Parallel()
	publisher := func(subscription, members string) string {
		return `{"id": "/subscriptions/` + subscription + `/resourceGroups/g/providers/Microsoft.HybridNetwork/publishers/p", "properties": {` + members + `}}`
	}
	var many []string
	for i := range 600 {
		many = append(many, fmt.Sprintf(`{"artifactName": "a", "artifactVersion": "%d"}`, i))
	}
	for name, tc := range map[string]struct {
		reason, input string
		want          []string // the findings, without those that are ignored
	}{
		"TwoPublishers": {"one name in two subscriptions is two publishers", "[" + publisher("s1", "") + "," + publisher("s2", `"scope": "x"`) + "]", []string{
			`NotMapped $[1]: it is another resource than that of the same name at $[0], which was taken, of subscription "s1", resource group "g"; import it alone, with a namespace of its own (-n)`}},
		"Twice":    {"one publisher, two contents", "[" + publisher("s1", "") + "," + publisher("S1", `"scope": "x"`) + "]", []string{"NotMapped $[0]: the same resource is at $[1] with other content, which was taken"}},
		"NoTextID": {"an id that is a number", `{"id": 5}`, []string{"NotMapped $: its id is not text"}},
		"List":     {"nothing", `[]`, []string{"Note $: it has no resource, so nothing is imported"}},
		"Page":     {"a page of nothing", `{"value": []}`, []string{"Note $: it has no resource, so nothing is imported"}},
		"Template": {"a template of nothing", `{"$schema": "deploymentTemplate.json#", "resources": []}`, []string{"Note $: it has no resource, so nothing is imported"}},
		"Many": {"more than a manifest can list, in one line", hostile(`"v": 1`, "["+strings.Join(many, ",")+"]"), []string{
			"NotMapped $.resources[0]: it lists 600 artifacts, and a manifest here lists at most 512, so that the manifest is left out; split it into several"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := Import(strings.NewReader(tc.input), Options{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range r.Findings {
				if f.Level != finding.Ignored {
					got = append(got, fmt.Sprintf("%s %s", f.Level, f))
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}
