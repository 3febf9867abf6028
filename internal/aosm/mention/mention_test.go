package mention

import (
	"errors"
	"testing"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
)

// TestScan checks that only whole ids are taken as references, and that other mentions of definitions give a reason.
func TestScan(t *testing.T) {
	t.Parallel()
	const id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.HybridNetwork/publishers/p/networkFunctionDefinitionGroups/g/networkFunctionDefinitionVersions/"
	for name, tc := range map[string]struct {
		reason, values string
		ids            int
		unread         bool
		why            error // nil for any
	}{
		"Member":      {reason: "a whole id", values: `{"nfdvId": "` + id + `1.0.0"}`, ids: 1},
		"Again":       {reason: "the same one again", values: `{"a": "` + id + `1.0.0", "b": ["` + id + `1.0.0"]}`, ids: 1},
		"Two":         {reason: "two definitions", values: `{"a": "` + id + `1.0.0", "b": "` + id + `2.0.0"}`, ids: 2},
		"Bare":        {reason: "members without an object around them", values: `"nfdvId": "` + id + `1.0.0"`, ids: 1},
		"Text":        {reason: "JSON as a text in JSON", values: `{"config": "{\"nfdvId\": \"` + id + `1.0.0\"}"}`, ids: 1},
		"Placeholder": {reason: "a part is filled in at deployment", values: `{"nfdvId": "` + id + `{x}"}`, unread: true, why: arm.ErrFilledIn},
		"Name":        {reason: "a name is not an id", values: `{"nfdVersion": "1.0.0"}`, unread: true},
		"NameBeside":  {reason: "a name beside an id says nothing more", values: `{"nfdvId": "` + id + `1.0.0", "nfdVersion": "1.0.0"}`, ids: 1},
		"Other":       {reason: "it has nothing to do with definitions", values: `{"vnetName": "x", "count": 1}`},
		"Broken":      {reason: "no JSON", values: `{"nfdvId": `, unread: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var m Mentions
			m.Scan(tc.values)
			err := m.Unread()
			if len(m.IDs) != tc.ids || (err != nil) != tc.unread || (tc.why != nil && !errors.Is(err, tc.why)) {
				t.Errorf("%s: %v, unread %v, want %d ids, unread: %t (%v)", tc.reason, m.IDs, err, tc.ids, tc.unread, tc.why)
			}
		})
	}
}
