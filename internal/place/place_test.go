package place

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

func parsed(t *testing.T, text string) Rules {
	t.Helper()
	r, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func at(t *testing.T, url string) v1alpha1.RegistryLocation {
	t.Helper()
	l, err := v1alpha1.ParseRegistryURL(url)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

const list = `
places:
- {registry: R.example.com:443, namespaces: [platform]}
- {registry: r.example.com/acme, namespaces: [acme, acme-next]}
- {registry: r.example.com/acme/secret, namespaces: [vault]}
- {registry: closed.example.com}
- {registry: registry-1.docker.io/acme, namespaces: [acme]}
- {registry: many.example.com, namespaces: [f, e, d, c, b, a]}
`

func TestAPlaceOfAnotherNamespaceIsRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ reason, namespace, url, says string }{
		"Own":          {"it is named", "acme", "https://r.example.com/acme/team", ""},
		"Second":       {"two namespaces are named", "acme-next", "https://r.example.com/acme/next", ""},
		"Other":        {"another is named", "evil", "https://r.example.com/acme/team", "r.example.com/acme is reserved for namespaces acme, acme-next "},
		"Spelt":        {"a name of the same host", "evil", "http://R.EXAMPLE.COM.:80/acme/", "r.example.com/acme is reserved"},
		"Hub":          {"a name of the same registry", "evil", "https://index.docker.io/acme", "registry-1.docker.io/acme is reserved for namespace acme "},
		"Above":        {"who is named for the host is not named for all of it", "platform", "https://r.example.com", "it contains r.example.com/acme, which"},
		"Beside":       {"the host's", "platform", "https://r.example.com/tools", ""},
		"Segments":     {"acme2 only begins like acme", "acme", "https://r.example.com/acme2", "R.example.com:443 is reserved for namespace platform "},
		"Within":       {"the longest prefix decides", "vault", "https://r.example.com/acme/secret/a", ""},
		"OverWithin":   {"a place within is another's", "acme", "https://r.example.com/acme", "it contains r.example.com/acme/secret"},
		"WithinOwn":    {"the longest prefix decides", "acme", "https://r.example.com/acme/secret", "r.example.com/acme/secret is reserved for namespace vault "},
		"Nobody":       {"no namespace is named", "acme", "https://closed.example.com/acme", "closed.example.com is reserved for no namespace "},
		"Unlisted":     {"anyone may", "evil", "https://elsewhere.example.com/acme", ""},
		"AnotherPort":  {"another port is another registry", "evil", "https://r.example.com:5000/acme", ""},
		"AskForHelp":   {"it says what to do", "evil", "https://r.example.com/acme", "ask an administrator to add namespace evil to the entry r.example.com/acme (Helm: places.list)"},
		"NotTooMany":   {"a message has an end", "evil", "https://many.example.com", "namespaces a, b, c, d, e and 1 more"},
		"MiddleIsFree": {"who is named last is named", "f", "https://many.example.com/x", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := parsed(t, list).Refusal(tc.namespace, at(t, tc.url))
			if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %s at %s: %v, want %q", tc.reason, tc.namespace, tc.url, err, tc.says)
			}
		})
	}
}

func TestWhatIsNotListedCanBeDenied(t *testing.T) {
	t.Parallel()
	r := parsed(t, "default: Deny\nplaces: [{registry: r.example.com/acme, namespaces: [acme]}]")
	for url, allowed := range map[string]bool{
		"https://r.example.com/acme": true, "https://r.example.com/acme/a": true, "https://r.example.com": false, "https://r.example.com/other": false, "https://evil.example.com/acme": false,
	} {
		if err := r.Refusal("acme", at(t, url)); (err == nil) != allowed {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestNamespacesHaveTheirOwnPrefixInTheClusterRegistry(t *testing.T) {
	t.Parallel()
	const host = "https://" + v1alpha1.ClusterRegistryHost
	for name, tc := range map[string]struct{ reason, list, namespace, prefix, says string }{
		"Own":       {"the default", "", "acme", "/acme", ""},
		"Below":     {"what begins with it", "", "acme", "/acme/radio", ""},
		"Others":    {"another namespace's", "", "evil", "/acme", "the prefix of a store in namespace evil is evil or begins with evil/"},
		"Longer":    {"it only begins like its name", "", "acme", "/acme2", "ask an administrator to add namespace acme to an entry for cluster-registry.nfo.dev/acme2 (Helm: places.list)"},
		"Whole":     {"it would have all others in it", "", "acme", "", "the prefix of a store in namespace acme is acme"},
		"Given":     {"the administrator says whose it is", "places: [{registry: cluster-registry.nfo.dev/shared, namespaces: [acme]}]", "acme", "/shared/a", ""},
		"GivenAway": {"the administrator says whose it is", "places: [{registry: cluster-registry.nfo.dev/acme, namespaces: [next]}]", "acme", "/acme", "reserved for namespace next"},
		"Denied":    {"all that is not listed is denied", "default: Deny\nplaces: []", "acme", "/acme", "denies all others"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rules := Rules{}
			if tc.list != "" {
				rules = parsed(t, tc.list)
			}
			err := rules.Refusal(tc.namespace, at(t, host+tc.prefix))
			if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %v, want %q", tc.reason, err, tc.says)
			}
		})
	}
}

func TestAListThatIsWrongIsRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ reason, text, says string }{
		"Empty":      {"a file that was not written", " \n", "it is empty"},
		"Field":      {"it would have no effect", "place: []", `unknown field "place"`},
		"InnerField": {"it would have no effect", "places: [{registry: r, namespace: a}]", `unknown field "namespace"`},
		"Twice":      {"one of two values would be lost", "default: Deny\ndefault: Allow", "already set"},
		"Default":    {"there are two", "default: deny", `default is "deny"; it must be Allow or Deny`},
		"Scheme":     {"a scheme makes no other place", "places: [{registry: 'https://r/a'}]", "leave out the scheme"},
		"NoHost":     {"it would be nowhere", "places: [{registry: /acme}]", "it must be host"},
		"NoRegistry": {"it would be nowhere", "places: [{namespaces: [a]}]", `places[0], registry "": it must be host`},
		"Wildcard":   {"it would match nothing", "places: [{registry: '*.example.com'}]", "without wildcards"},
		"Glob":       {"it would match nothing", "places: [{registry: r.example.com/acme/*}]", "without wildcards"},
		"Capitals":   {"no repository has them", "places: [{registry: r/Acme}]", "a prefix in lower case"},
		"IDN":        {"no store has it", "places: [{registry: b\u00fccher.example}]", "xn--"},
		"Port":       {"it is out of range", "places: [{registry: 'r:0/a'}]", "its port is not from 1 to 65535"},
		"Namespace":  {"there can be none", "places: [{registry: r, namespaces: ['a*']}]", `"a*" is not the name of a namespace`},
		"SamePlace":  {"which one counts?", "places: [{registry: r/a, namespaces: [a]}, {registry: 'R.:443/a/', namespaces: [b]}]", `places[1], registry "R.:443/a/": it is the same place as "r/a"`},
		"SameHub":    {"which one counts?", "places: [{registry: docker.io}, {registry: index.docker.io}]", "the same place"},
		"All":        {"a person mends all at once", "default: x\nplaces: [{registry: r/A}, {registry: s/B}]", `registry "s/B"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := Parse([]byte(tc.text)); err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: the error is %v, want %q", tc.reason, err, tc.says)
			}
		})
	}
}

// The chart's schema rejects every place that the manager would reject at its start.
func TestTheChartKnowsHowAPlaceIsWritten(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../charts/nfo/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	pattern, err := json.Marshal(written.String())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), fmt.Sprintf(`"pattern": %s`, pattern)) {
		t.Errorf("values.schema.json has no pattern %s: correct charts/nfo/values.yaml and run make generate", pattern)
	}
}

func TestAListIsReadFromAFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "places.yaml")
	if _, err := Read(file); err == nil {
		t.Error("a file that does not exist is taken for a list")
	}
	if err := os.WriteFile(file, []byte("places: [{registry: r, namespace: [a]}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("the error is %v and should name the file", err)
	}
	if err := os.WriteFile(file, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Read(file)
	if err != nil || r.Refusal("evil", at(t, "https://r.example.com/acme")) == nil {
		t.Errorf("the list is not read: %v", err)
	}
	if r, err := Read(""); err != nil || r.Refusal("evil", at(t, "https://r.example.com/acme")) != nil {
		t.Errorf("without a file there is a list: %v", err)
	}
}

func aStore(namespace, url string, change ...func(*v1alpha1.ArtifactStore)) v1alpha1.ArtifactStore {
	s := v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "acme", UID: types.UID(namespace), CreationTimestamp: metav1.Unix(100, 0)}}
	s.Spec.Registry.URL = url
	for _, c := range change {
		c(&s)
	}
	return s
}

func settled(s *v1alpha1.ArtifactStore) { s.Status.FirstReadyTime = new(metav1.Unix(100, 0)) }

func TestTheRightfulNamespaceWins(t *testing.T) {
	t.Parallel()
	squatter, owner := aStore("evil", "https://r.example.com", settled), aStore("acme", "https://r.example.com/acme")
	owner.CreationTimestamp = metav1.Unix(200, 0)
	all := []v1alpha1.ArtifactStore{squatter, owner}
	if w := (Rules{}).Winner(&owner, all); w == nil || w.Namespace != "evil" {
		t.Errorf("without a list who was Ready first wins, not %v", w)
	}
	r := parsed(t, "places: [{registry: r.example.com/acme, namespaces: [acme, next]}]")
	if w := r.Winner(&owner, all); w != nil {
		t.Errorf("%s wins over who is named", w.Namespace)
	}
	if r.Admits(&squatter) || !r.Admits(&owner) {
		t.Error("who is named is admitted, and nobody else")
	}
	if b := r.Beside(&owner, all); len(b) > 0 {
		t.Error("what a squatter lists keeps the owner's tags")
	}
	next := aStore("next", "https://r.example.com/acme/next", settled)
	if w := r.Winner(&owner, []v1alpha1.ArtifactStore{squatter, next}); w == nil || w.Namespace != "next" {
		t.Errorf("of two that are named, who was Ready first wins, not %v", w)
	}
}

// Refusal agrees, over all small lists and places, with asking the nearest entry for every repository
// below the place. The result does not depend on the order of the list, nor on how places are written.
func TestTheMostSpecificPlaceDecides(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	prefixes := below("", 3)
	for range 3000 {
		entries, text := map[string][]string{}, []string{}
		for range rng.IntN(5) {
			p := prefixes[rng.IntN(len(prefixes))]
			if _, twice := entries[p]; twice {
				continue
			}
			entries[p] = [][]string{{}, {"x"}, {"y"}, {"x", "y"}}[rng.IntN(4)]
			text = append(text, fmt.Sprintf("{registry: '%s', namespaces: [%s]}", join(spelt(rng), p), strings.Join(entries[p], ",")))
		}
		fallback := []string{Allow, Deny}[rng.IntN(2)]
		write := func() Rules {
			return parsed(t, fmt.Sprintf("default: %s\nplaces: [%s]", fallback, strings.Join(text, ",")))
		}
		one := write()
		rng.Shuffle(len(text), func(i, j int) { text[i], text[j] = text[j], text[i] })
		other := write()
		prefix := prefixes[rng.IntN(len(prefixes))]
		want := true
		for _, p := range below(prefix, 4) {
			want = want && admitted(entries, p, "x", fallback == Allow)
		}
		for _, r := range []Rules{one, other} {
			if err := r.Refusal("x", at(t, "https://"+join(spelt(rng), prefix))); (err == nil) != want {
				t.Fatalf("x at %q with default %s and %v: %v, want allowed %t", prefix, fallback, entries, err, want)
			}
		}
		a, b := one.Refusal("x", at(t, "https://r/"+prefix)), other.Refusal("x", at(t, "https://r/"+prefix))
		if fmt.Sprint(a) != fmt.Sprint(b) {
			t.Fatalf("the order of %v changes the answer: %v, %v", text, a, b)
		}
	}
}

// spelt returns one of the ways to write the host r.
func spelt(rng *rand.Rand) string { return []string{"r", "R", "r:443", "R.", "r.:0443"}[rng.IntN(5)] }

func join(host, prefix string) string { return strings.TrimSuffix(host+"/"+prefix, "/") }

// below returns a path and the paths below it, down to a depth, from two names of which one is a prefix of the other.
func below(path string, depth int) []string {
	all := []string{path}
	if path != "" && len(strings.Split(path, "/")) >= depth {
		return all
	}
	for _, name := range []string{"a", "a2"} {
		all = append(all, below(strings.TrimPrefix(path+"/"+name, "/"), depth)...)
	}
	return all
}

// admitted asks the nearest entry above one path, segment by segment.
func admitted(entries map[string][]string, path, namespace string, fallback bool) bool {
	for {
		if namespaces, named := entries[path]; named {
			return slices.Contains(namespaces, namespace)
		}
		if path == "" {
			return fallback
		}
		path = path[:max(strings.LastIndex(path, "/"), 0)]
	}
}
