package aosm

import (
	"cmp"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
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
	// Registries are the URLs of stores by the store's name in AOSM, or PUBLISHER/STORE, in any case.
	Registries map[string]string
	// APIVersion is the one that answers are of, which do not say it; "" where it is not known.
	APIVersion string
	// APIVersions are those of a store's manifests by STORE or PUBLISHER/STORE, or of one manifest by
	// PUBLISHER/STORE/MANIFEST, in lower case. They go before APIVersion.
	APIVersions map[string]string
	// There are the objects of earlier imports, whose names are kept.
	There []There
}

// Result is what an import makes.
type Result struct {
	// Objects in the order in which they can be applied.
	Objects []client.Object
	// Assumed has the stores whose URL was not given, but follows from the input.
	Assumed map[client.Object]bool
	// Namespaces are those in which its objects are, or would be, sorted.
	Namespaces []string
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
	return ImportAll([]Source{{Data: data}}, o)
}

// ImportAll is Import of several files, which are read as one input: their order does not matter.
func ImportAll(sources []Source, o Options) (*Result, error) {
	documents, err := readInput(sources)
	if err != nil {
		return nil, err
	}
	im := newImporter(o)
	im.found, im.apis = collect(documents, inputOptions{Parameters: o.Parameters, APIVersion: o.APIVersion, APIVersions: o.APIVersions}, im.session, im.report)
	if len(im.found) == 0 && len(im.findings) == 0 {
		im.tell(Note, documents[0].node, "there is no resource in it, so that nothing is imported")
	}
	for _, manifests := range []bool{false, true} { // last: they are what references made them
		for _, r := range im.found {
			if (r.id.typ() == typeManifest) == manifests {
				im.mapAll(r)
			}
		}
	}
	im.tellQuestions()
	im.unused()
	im.settle()
	for _, d := range documents {
		im.leftovers(d.node)
	}
	if im.session.fatal != nil {
		return nil, im.session.fatal
	}
	im.sort()
	return &Result{Objects: im.objects, Assumed: im.assumed, Namespaces: im.everyNamespace(), Findings: im.findings}, nil
}

// everyNamespace is where objects are, and where those of resources that were left out would be.
func (im *importer) everyNamespace() []string {
	all := map[string]bool{im.options.Namespace: true, im.options.SiteNamespace: true}
	for _, o := range im.objects {
		all[o.GetNamespace()] = true
	}
	for _, r := range im.found {
		if im.options.Namespace == "" && strings.HasPrefix(r.id.typ(), typePublisher) {
			name, _ := objectName(r.id.publisher(), validation.DNS1123LabelMaxLength, true)
			all[name] = true
		}
	}
	delete(all, "")
	return slices.Sorted(maps.Keys(all))
}

// importer is one import under way.
type importer struct {
	*report
	options Options
	session *session

	found      []resource
	scopes     map[string]resourceID     // of publishers, by folded name: the fullest id seen
	registries map[string]bool           // those given that a store took
	apis       map[string]bool           // API versions given that a manifest took
	namespaces map[string]bool           // those made, by the publisher's folded name
	manifests  map[string]bool           // named by a definition or design, by key
	forms      map[string]referenceForms // of references, by the key of their store
	locations  map[string][]located      // of stores, by host
	questions  []*question
	asked      map[string]*question // by the key of their store
	grouped    map[string]bool      // keys of the groups with a version; nil until it is needed
	owners     map[string][]string  // publishers of stores, by the store's folded name; nil until it is needed
	made       []string             // of namespaces, in order
	links      []link
	earlier    map[string][]There
	taken      map[string]resourceID

	objects []client.Object
	assumed map[client.Object]bool
}

func newImporter(o Options) *importer {
	s := newSession(evaluate)
	return &importer{
		report: newReport(s), options: o, session: s, scopes: map[string]resourceID{},
		registries: map[string]bool{}, namespaces: map[string]bool{}, manifests: map[string]bool{},
		forms: map[string]referenceForms{}, asked: map[string]*question{}, locations: map[string][]located{}, earlier: earlier(o.There), taken: taken(o.There), assumed: map[client.Object]bool{},
	}
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
	typeDeployment:                          "what a deployment answers does not have what it deployed; import its template, or what `az ... show` prints of its resources",
	typeSchema:                              "a configuration group schema has no counterpart: values of deployments are not kept here",
	typePrefix + "configurationgroupvalues": "a configuration group value has no counterpart: values of deployments are not kept here",
	typePrefix + "sites":                    "a site alone has no counterpart: a SiteNetworkService stands for a service at a place",
	typePrefix + "networkfunctions":         "a network function has no counterpart, and keeps nothing here: what runs is kept by its SiteNetworkService, through the design",
}

// mapResource makes the object that a resource becomes, or tells why there is none.
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
		im.tell(Note, r.value.node, "the API version %q is not one", clip(r.api))
		r.api = ""
	}
	return r
}

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
