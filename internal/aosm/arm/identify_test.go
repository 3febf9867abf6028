package arm

import (
	"errors"
	"strings"
	"testing"
)

func TestIdentify(t *testing.T) {
	t.Parallel()
	store, err := ParseID("/subscriptions/s/resourceGroups/g/providers/Microsoft.HybridNetwork/publishers/p/artifactStores/a")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		reason    string
		parent    ID
		typ, name string
		want      string // "" if an error is expected
		says      string
	}{
		"Whole":     {reason: "a template's own resource", typ: "Microsoft.HybridNetwork/publishers", name: "p", want: "/providers/Microsoft.HybridNetwork/publishers/p"},
		"Deep":      {reason: "a name for each type", typ: "Microsoft.HybridNetwork/publishers/artifactStores", name: "p/a", want: "/providers/Microsoft.HybridNetwork/publishers/p/artifactStores/a"},
		"Child":     {reason: "in the resource around it", parent: store, typ: "artifactManifests", name: "m", want: store.String() + "/artifactManifests/m"},
		"WholeType": {reason: "its type may be whole and its name not", parent: store, typ: "Microsoft.HybridNetwork/publishers/artifactStores/artifactManifests", name: "m", want: store.String() + "/artifactManifests/m"},
		"WholeBoth": {reason: "or both", parent: store, typ: "Microsoft.HybridNetwork/publishers/artifactStores/artifactManifests", name: "p/a/m", want: store.String() + "/artifactManifests/m"},
		"Fewer":     {reason: "a name is missing", typ: "Microsoft.HybridNetwork/publishers/artifactStores", name: "p", says: "not as many parts"},
		"NoType":    {reason: "a provider alone is not a type", typ: "Microsoft.HybridNetwork", name: "p", says: "not as many parts"},
		"Nowhere":   {reason: "a child without a resource around it", typ: "artifactManifests", name: "m", says: "not as many parts"},
		"Empty":     {reason: "no part is empty", typ: "Microsoft.HybridNetwork/publishers", name: "", says: "a part of its type or name is empty"},
		"Unknown":   {reason: "the deployment knows its name", typ: "Microsoft.HybridNetwork/publishers", name: OwnGroup, says: "known at deployment only"},
		"Long":      {reason: "a name of that length is refused", typ: "Microsoft.HybridNetwork/publishers", name: strings.Repeat("a", 1000), says: "bytes"},
		"Control":   {reason: "nobody can read it", typ: "Microsoft.HybridNetwork/publishers", name: "a\x1b", says: "cannot be printed"},
		"Filled":    {reason: "a placeholder is not a name", typ: "Microsoft.HybridNetwork/publishers", name: "{publisher}", says: "placeholder"},
	} {
		id, err := Identify(tc.parent, tc.typ, tc.name)
		if tc.want == "" && (err == nil || !strings.Contains(err.Error(), tc.says)) || tc.want != "" && (err != nil || id.String() != tc.want) {
			t.Errorf("%s: %s: %q, %v, want %q, or an error that says %q", name, tc.reason, id, err, tc.want, tc.says)
		}
	}
	child, err := Identify(store, "artifactManifests", "m")
	if err != nil || child.Parent().String() != store.String() || child.Name() != "m" || child.Publisher() != "p" {
		t.Errorf("%s is in %s, of %s: %v", child.Name(), child.Parent(), child.Publisher(), err)
	}
}

// A value that only a deployment knows passes through as one character, and is shown by its name.
func TestUnknowns(t *testing.T) {
	t.Parallel()
	if got := Show("rg-" + OwnGroup + OwnLocation); got != "rg-<resourceGroup><location>" {
		t.Errorf("shown as %q", got)
	}
	u := Unknowns{}
	one, errOne := u.Of("uniqueString,a", false)
	two, errTwo := u.Of("uniqueString,b", false)
	again, errAgain := u.Of("uniqueString,a", false)
	if err := errors.Join(errOne, errTwo, errAgain); err != nil || one == two || one != again {
		t.Errorf("%q, %q, and the first again %q: %v", one, two, again, err)
	}
	if got := Show("x" + one); got != "x?" {
		t.Errorf("what has no name is shown as %q", got)
	}
	if Known("a", "b") != nil || Known("a", one) == nil || !Undecidable("a"+one) || Undecidable("a") {
		t.Error("known and unknown values are mixed up")
	}
	for i := range firstFree - firstOther + 2 {
		if _, err := u.Of(strings.Repeat("x", i), false); err != nil {
			if i < 1000 || len(u) != firstFree-firstOther {
				t.Errorf("after %d calls: %v", i, err)
			}
			return
		}
	}
	t.Error("templates may call functions without end")
}

func TestWordsOfMessages(t *testing.T) {
	t.Parallel()
	if got := Clip(strings.Repeat("x", 1000) + OwnGroup); len(got) > maxQuoted {
		t.Errorf("a message quotes %d bytes", len(got))
	}
	for _, tc := range []struct {
		a, b string
		want bool
	}{{"a", "A", false}, {"a", "b", true}, {"", "b", false}, {"a", "", false}} {
		if got := Differ(tc.a, tc.b); got != tc.want {
			t.Errorf("%q and %q differ: %t", tc.a, tc.b, got)
		}
	}
	if Printable("a\u202eb") || !Printable("a b") {
		t.Error("what can be printed and what cannot is mixed up")
	}
}
