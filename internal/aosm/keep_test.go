package aosm

import "testing"

// TestFuller: of two ids of one resource the one that says more of its scope stays, in either order.
func TestFuller(t *testing.T) {
	t.Parallel()
	const rest = hybrid + "p/artifactStores/s"
	const whole, subscription, group = "/subscriptions/1/resourceGroups/g" + rest, "/subscriptions/1" + rest, "/resourceGroups/g" + rest
	for name, tc := range map[string]struct{ a, b, want string }{
		"Whole": {whole, rest, whole}, "Subscription": {subscription, rest, subscription}, "Group": {group, rest, group}, "More": {whole, subscription, whole}, "MoreGroup": {whole, group, whole},
		"Both": {subscription, group, whole}, "Same": {whole, whole, whole}, "Case": {whole, "/SUBSCRIPTIONS/1/resourceGroups/g" + rest, "/SUBSCRIPTIONS/1/resourceGroups/g" + rest},
		"None": {whole, "", whole}, "Broken": {"x", whole, whole},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, got := range []string{fuller(tc.a, tc.b), fuller(tc.b, tc.a)} {
				if got != tc.want {
					t.Errorf("of %q and %q stays %q, want %q", tc.a, tc.b, got, tc.want)
				}
			}
		})
	}
}
