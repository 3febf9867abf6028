package aosm

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Options are what an input alone does not say. The zero Options are the defaults.
type Options struct {
	// Parameters of templates, beyond the defaults that these have.
	Parameters Parameters
	// Namespace, when not "", takes the place of every publisher's own.
	Namespace string
	// SiteNamespace is where sites go; "" is where their designs are.
	SiteNamespace string
	// Registries are the URLs of stores by the store's name in AOSM, in any case.
	Registries map[string]string
	// APIVersion is the one that answers are of, which do not say it; "" where it is not known.
	APIVersion string
}

// Result is what an import makes.
type Result struct {
	// Objects in the order in which they can be applied.
	Objects []client.Object
	// Findings, what was not mapped first.
	Findings []Finding
}

// Import reads AOSM's JSON and makes objects of it. Errors wrap ErrInput, or are of the reader: then
// nothing is made. What it understands but cannot map is in the findings.
func Import(r io.Reader, o Options) (*Result, error) {
	data, err := read(r)
	if err != nil {
		return nil, err
	}
	documents, err := parse(data)
	if err != nil {
		return nil, err
	}
	if len(documents) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrInput)
	}
	im := &importer{
		options: o, session: &session{became: map[*node][]*node{}}, resources: map[string]int{}, scopes: map[string]resourceID{},
		namespaces: map[string]bool{}, registries: map[string]bool{}, manifests: map[string]bool{},
	}
	im.readDocuments(documents)
	if len(im.found) == 0 && len(im.findings) == 0 {
		im.tell(Note, documents[0], "there is no resource in it, so that nothing is imported")
	}
	for _, manifests := range []bool{false, true} { // last: they are what references made them
		for _, r := range im.found {
			if (r.id.typ() == typeManifest) == manifests {
				im.mapResource(r)
			}
		}
	}
	im.unusedRegistries()
	im.settle()
	for _, d := range documents {
		im.leftovers(d)
	}
	if im.session.fatal != nil {
		return nil, im.session.fatal
	}
	im.sort()
	return &Result{Objects: im.objects, Findings: im.findings}, nil
}

// importer is one import under way.
type importer struct {
	options Options
	session *session

	found      []resource
	resources  map[string]int        // of found, by key
	scopes     map[string]resourceID // of publishers, by folded name: the fullest id seen
	registries map[string]bool       // those given that a store took
	namespaces map[string]bool       // those made, by the publisher's folded name
	manifests  map[string]bool       // named by a definition or design, by key
	links      []link

	objects  []client.Object
	findings []Finding
	doubts   int // findings of what cannot be known
}

// resource is one AOSM resource in the input.
type resource struct {
	id    resourceID
	named string // the id as it was written, "" where a template has only a name
	api   string // its API version, "" where it is not known
	value value
}

// properties are a resource's own members. The az command line lifts them up to the resource itself.
func (r resource) properties() value {
	if p := r.value.get("properties"); p.there() {
		if p, err := p.resolve(); err == nil {
			return p
		}
	}
	return r.value
}

// add notes a resource. The same one again is the same or a contradiction.
func (im *importer) add(r resource) {
	if i, again := im.resources[r.id.key()]; again {
		first := im.found[i].value
		var a, b strings.Builder
		if first.render(&a) == nil && r.value.render(&b) == nil && a.String() == b.String() {
			r.value.close()
			im.tell(Note, r.value.node, "the same is at %s, too", first.path())
			return
		}
		if id := im.found[i].id; differ(id.subscription, r.id.subscription) || differ(id.group, r.id.group) {
			im.unmapped(r.value.node, "it is another resource than that of the same name at %s, which was taken, of subscription %q, resource group %q; import it alone, with a namespace of its own (-n)", first.path(), clip(id.subscription), clip(id.group))
			return
		}
		im.unmapped(r.value.node, "the same resource is at %s with other content, which was taken", first.path())
		return
	}
	im.resources[r.id.key()] = len(im.found)
	im.found = append(im.found, r)
}

// mapper makes objects of resources of one type.
type mapper func(im *importer, r resource)

var mappers = map[string]mapper{
	typePublisher: (*importer).mapPublisher, typeStore: (*importer).mapStore, typeManifest: (*importer).mapManifest,
	typeDefinitionGroup: (*importer).mapGroup, typeDesignGroup: (*importer).mapGroup,
	typeDefinition: (*importer).mapDefinition, typeDesign: (*importer).mapDesign, typeSite: (*importer).mapSite,
}

// foreign are types of AOSM without a counterpart, and what follows from that.
var foreign = map[string]string{
	typeSchema:                              "a configuration group schema has no counterpart: values of deployments are not kept here",
	typePrefix + "configurationgroupvalues": "a configuration group value has no counterpart: values of deployments are not kept here",
	typePrefix + "sites":                    "a site alone has no counterpart: a SiteNetworkService stands for a service at a place",
	typePrefix + "networkfunctions":         "a network function has no counterpart, and keeps nothing here: what runs is kept by its SiteNetworkService, through the design",
}

func (im *importer) mapResource(r resource) {
	t := r.id.typ()
	if m, ok := mappers[t]; ok {
		if strings.HasPrefix(t, typePublisher) && !im.knows(r.id, r.value.node) {
			return
		}
		for _, known := range []string{"type", "name", "id", "apiVersion"} {
			r.value.get(known)
		}
		m(im, im.checkVersion(r))
		return
	}
	if why, ok := foreign[t]; ok {
		im.unmapped(r.value.node, "%s", why)
		return
	}
	im.unmapped(r.value.node, "resources of type %q are not AOSM's, or not known", clip(r.id.provider+"/"+strings.Join(r.id.types, "/")))
}

var versions = []string{"2023-09-01", "2024-04-15", "2025-03-30"}

// cleanUp is the API version from which a manifest has a path of its own.
const cleanUp = "2025-03-30"

var date = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?$`)

// checkVersion returns the resource with an API version that can be compared, or none.
func (im *importer) checkVersion(r resource) resource {
	switch {
	case r.api == "" || slices.Contains(versions, r.api):
	case date.MatchString(r.api):
		im.tell(Note, r.value.node, "the API version %s is none of %s; it is read as the nearest of them", r.api, strings.Join(versions, ", "))
	default:
		im.tell(Note, r.value.node, "the API version %q is none", clip(r.api))
		r.api = ""
	}
	return r
}

// differ reports whether two parts of a scope are known, and are not the same.
func differ(a, b string) bool { return a != "" && b != "" && fold(a) != fold(b) }

// knows reports whether an id is of the one publisher of its name: a namespace stands for one.
func (im *importer) knows(id resourceID, at *node) bool {
	name := fold(id.publisher())
	seen, ok := im.scopes[name]
	if ok && im.options.Namespace == "" && (differ(seen.subscription, id.subscription) || differ(seen.group, id.group)) {
		im.unmapped(at, "its publisher %s is another one than that of subscription %q, resource group %q; import it alone, with a namespace of its own (-n)", clip(id.publisher()), clip(seen.subscription), clip(seen.group))
		return false
	}
	seen.subscription, seen.group = cmp.Or(seen.subscription, id.subscription), cmp.Or(seen.group, id.group)
	im.scopes[name] = seen
	return true
}

// order is the order in which kinds are applied: what is named comes before what names it.
var order = map[string]int{
	"Namespace": 0, v1alpha1.KindArtifactStore: 1, v1alpha1.KindArtifactManifest: 2,
	v1alpha1.KindDefinition: 3, v1alpha1.KindDesign: 4, v1alpha1.KindSite: 5,
}

func (im *importer) sort() {
	slices.SortFunc(im.objects, func(a, b client.Object) int {
		return cmp.Or(
			cmp.Compare(order[a.GetObjectKind().GroupVersionKind().Kind], order[b.GetObjectKind().GroupVersionKind().Kind]),
			cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
	level := map[Level]int{NotMapped: 0, Note: 1, Ignored: 2}
	slices.SortStableFunc(im.findings, func(a, b Finding) int { return cmp.Compare(level[a.Level], level[b.Level]) })
}
