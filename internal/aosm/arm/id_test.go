package arm

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseID(t *testing.T) {
	t.Parallel()
	const base = "/subscriptions/s/resourceGroups/g/providers/Microsoft.HybridNetwork/publishers/p"
	tests := map[string]struct {
		reason   string
		id       string
		typ, key string
		bad      bool
	}{
		"Store":    {reason: "a whole id", id: base + "/artifactStores/A", typ: TypeStore, key: TypeStore + "\np\na"},
		"Manifest": {reason: "one deeper", id: base + "/artifactStores/a/artifactManifests/m", typ: TypeManifest, key: TypeManifest + "\np\na\nm"},
		"Longer":   {reason: "names compare whole", id: base + "/artifactStores/a/artifactManifests/m2", typ: TypeManifest, key: TypeManifest + "\np\na\nm2"},
		"Case":     {reason: "ids have no case", id: strings.ToUpper(base) + "/ARTIFACTSTORES/A", typ: TypeStore, key: TypeStore + "\np\na"},
		"NoGroup":  {reason: "as in the public examples", id: "/subscriptions/s/providers/Microsoft.HybridNetwork/publishers/p/ArtifactStore/a", typ: TypeStore, key: TypeStore + "\np\na"},
		"NoScope":  {reason: "as a template may write it", id: "/providers/Microsoft.HybridNetwork/publishers/p", typ: TypePublisher, key: TypePublisher + "\np"},
		"Site":     {reason: "what is not a publisher's has its scope in its key", id: "/subscriptions/S/resourceGroups/g/providers/Microsoft.HybridNetwork/siteNetworkServices/n", typ: TypeSite, key: TypeSite + "\nn\ns\ng"},
		"Contains": {reason: "a name that looks like a type is a name", id: base + "/artifactStores/artifactManifests", typ: TypeStore, key: TypeStore + "\np\nartifactmanifests"},
		"Own":      {reason: "a deployment's own scope is not one", id: "/subscriptions/" + OwnSubscription + "/resourceGroups/" + OwnGroup + "/providers/a.b/c/d", typ: "a.b/c", key: "a.b/c\nd\n\n"},
		"Unknown":  {reason: "a name that is not known is not a name", id: base + "/artifactStores/" + OwnGroup, bad: true},
		"Relative": {reason: "it begins with a slash", id: "subscriptions/s", bad: true},
		"Odd":      {reason: "types and names are pairs", id: base + "/artifactStores", bad: true},
		"Empty":    {reason: "no part is empty", id: base + "/artifactStores/", bad: true},
		"Other":    {reason: "not below a provider", id: "/tenants/t/providers/a/b/c", bad: true},
		"Scope":    {reason: "a scope alone is not a resource", id: "/subscriptions/s/resourceGroups/g", bad: true},
		"Long":     {reason: "AOSM's names are short", id: base + "/artifactStores/" + strings.Repeat("a", 129), bad: true},
		"Control":  {reason: "no name has a character that cannot be printed", id: base + "/artifactStores/a\x7f", bad: true},
		"Bidi":     {reason: "nor one that turns what follows around", id: base + "/artifactStores/a\u202e", bad: true},
		"Nothing":  {reason: "nothing is not an id", id: "", bad: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id, err := ParseID(tc.id)
			if (err != nil) != tc.bad {
				t.Fatalf("%s: error %v", tc.reason, err)
			}
			if err != nil {
				return
			}
			if diff := cmp.Diff([]string{tc.typ, tc.key}, []string{id.Type(), id.Key()}); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			again, err := ParseID(id.String())
			if err != nil || again.Key() != id.Key() {
				t.Errorf("%s: written as %q it is %q, %v", tc.reason, id, again.Key(), err)
			}
		})
	}
}

// TestFuller checks that the id with more of its scope is kept, in either order.
func TestFuller(t *testing.T) {
	t.Parallel()
	const rest = "/providers/Microsoft.HybridNetwork/publishers/p/artifactStores/s"
	const whole, subscription, group = "/subscriptions/1/resourceGroups/g" + rest, "/subscriptions/1" + rest, "/resourceGroups/g" + rest
	for name, tc := range map[string]struct{ a, b, want string }{
		"Whole": {whole, rest, whole}, "Subscription": {subscription, rest, subscription}, "Group": {group, rest, group}, "More": {whole, subscription, whole}, "MoreGroup": {whole, group, whole},
		"Both": {subscription, group, whole}, "Same": {whole, whole, whole}, "Case": {whole, "/SUBSCRIPTIONS/1/resourceGroups/g" + rest, "/SUBSCRIPTIONS/1/resourceGroups/g" + rest},
		"None": {whole, "", whole}, "Broken": {"x", whole, whole},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, got := range []string{Fuller(tc.a, tc.b), Fuller(tc.b, tc.a)} {
				if got != tc.want {
					t.Errorf("of %q and %q stays %q, want %q", tc.a, tc.b, got, tc.want)
				}
			}
		})
	}
}
