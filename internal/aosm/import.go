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
	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/expression"
	"github.com/nfo-operator/nfo/internal/aosm/finding"
	"github.com/nfo-operator/nfo/internal/aosm/input"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

// Options are what the input does not say. The zero Options are the defaults.
type Options struct {
	// Parameters are the values of the templates' parameters, in place of their defaults.
	Parameters input.Parameters
	// Namespace, unless it is "", is the namespace of all publishers' objects.
	Namespace string
	// SiteNamespace is the namespace of sites; "" is that of their designs.
	SiteNamespace string
	// Registries are the URLs of stores by the store's name in AOSM or PUBLISHER/STORE, in any case.
	Registries map[string]string
	// APIVersion is the API version of answers, which do not contain it; "" if it is not known.
	APIVersion string
	// APIVersions are the API versions of a store's manifests by STORE or PUBLISHER/STORE, or
	// of one manifest by PUBLISHER/STORE/MANIFEST, in lower case. They override APIVersion.
	APIVersions map[string]string
	// There are the objects of earlier imports, which keep their names.
	There []There
}

// Result is the result of an import.
type Result struct {
	// Objects are in the order in which they can be applied.
	Objects []client.Object
	// Assumed has the stores whose URL was not given, but derived from the input.
	Assumed map[client.Object]bool
	// Namespaces are the namespaces of the objects, and of those that were left out, sorted.
	Namespaces []string
	// Findings begin with what was not mapped.
	Findings []finding.Finding
}

// Import reads AOSM's JSON and makes objects from it. What it understands but cannot map
// is in the findings. An error wraps ErrInput or comes from r; then nothing is made.
func Import(r io.Reader, o Options) (*Result, error) {
	data, err := document.Read(r)
	if err != nil {
		return nil, err
	}
	return ImportAll([]input.Source{{Data: data}}, o)
}

// ImportAll imports several files as one input: their order does not matter.
func ImportAll(sources []input.Source, o Options) (*Result, error) {
	documents, err := input.Read(sources)
	if err != nil {
		return nil, err
	}
	im := newImporter(o)
	im.found, im.apis = input.Collect(documents, input.Options{Parameters: o.Parameters, APIVersion: o.APIVersion, APIVersions: o.APIVersions}, im.session, im.Report)
	if len(im.found) == 0 && len(im.Findings) == 0 {
		im.Tell(finding.Note, documents[0].Node, "it has no resource, so nothing is imported")
	}
	for _, manifests := range []bool{false, true} { // manifests last: references to them decide their paths
		for _, r := range im.found {
			if (r.ID.Type() == arm.TypeManifest) == manifests {
				im.mapAll(r)
			}
		}
	}
	im.tellQuestions()
	im.unused()
	im.settle()
	for _, d := range documents {
		im.Leftovers(d.Node)
	}
	if im.session.Fatal != nil {
		return nil, im.session.Fatal
	}
	im.sort()
	return &Result{Objects: im.objects, Assumed: im.assumed, Namespaces: im.everyNamespace(), Findings: im.Findings}, nil
}

// everyNamespace returns the namespaces of the objects, and those of resources that were left out.
func (im *importer) everyNamespace() []string {
	all := map[string]bool{im.options.Namespace: true, im.options.SiteNamespace: true}
	for _, o := range im.objects {
		all[o.GetNamespace()] = true
	}
	for _, r := range im.found {
		if im.options.Namespace == "" && strings.HasPrefix(r.ID.Type(), arm.TypePublisher) {
			name, _ := objectName(r.ID.Publisher(), validation.DNS1123LabelMaxLength, true)
			all[name] = true
		}
	}
	delete(all, "")
	return slices.Sorted(maps.Keys(all))
}

// importer has the state of one import.
type importer struct {
	*finding.Report
	options Options
	session *template.Session

	found      []input.Resource
	scopes     map[string]arm.ID         // of publishers, by folded name: the most complete id seen
	registries map[string]bool           // the given registries that a store has used
	apis       map[string]bool           // the given API versions that a manifest has used
	namespaces map[string]bool           // added to the objects, by the publisher's folded name
	manifests  map[string]bool           // referenced by a definition or design, by key
	forms      map[string]referenceForms // of references, by the key of their store
	locations  map[string][]located      // of stores, by host
	questions  []*question
	asked      map[string]*question // by the key of their store
	grouped    map[string]bool      // keys of the groups with a version; nil until first used
	owners     map[string][]string  // publishers of stores, by the store's folded name; nil until first used
	made       []string             // the publishers in namespaces, in order
	links      []link
	earlier    map[string][]There
	taken      map[string]arm.ID

	objects []client.Object
	assumed map[client.Object]bool
}

func newImporter(o Options) *importer {
	s := template.NewSession(expression.Evaluate)
	return &importer{
		Report: finding.NewReport(s), options: o, session: s, scopes: map[string]arm.ID{},
		registries: map[string]bool{}, namespaces: map[string]bool{}, manifests: map[string]bool{},
		forms: map[string]referenceForms{}, asked: map[string]*question{}, locations: map[string][]located{}, earlier: earlier(o.There), taken: taken(o.There), assumed: map[client.Object]bool{},
	}
}

// mapper makes objects from resources of one type.
type mapper func(im *importer, r input.Resource)

var mappers = map[string]mapper{
	arm.TypePublisher: (*importer).mapPublisher, arm.TypeStore: (*importer).mapStore, arm.TypeManifest: (*importer).mapManifest,
	arm.TypeDefinitionGroup: (*importer).mapGroup, arm.TypeDesignGroup: (*importer).mapGroup,
	arm.TypeDefinition: (*importer).mapDefinition, arm.TypeDesign: (*importer).mapDesign, arm.TypeSite: (*importer).mapSite,
}

// foreign are types of AOSM without a counterpart, and the consequences.
var foreign = map[string]string{
	arm.TypeDeployment: "what a deployment answers does not have what it deployed; import its template, or what `az ... show` prints of its resources",
	arm.TypeSchema:     "a configuration group schema has no counterpart: values of deployments are not kept here",
	arm.TypePrefix + "configurationgroupvalues": "a configuration group value has no counterpart: values of deployments are not kept here",
	arm.TypePrefix + "sites":                    "a site alone has no counterpart: a SiteNetworkService stands for a service at a place",
	arm.TypePrefix + "networkfunctions":         "a network function has no counterpart, and keeps nothing here: what runs is kept by its SiteNetworkService, through the design",
}

// mapResource makes the object for a resource, or reports why none is made.
func (im *importer) mapResource(r input.Resource) {
	t := r.ID.Type()
	if m, ok := mappers[t]; ok {
		if strings.HasPrefix(t, arm.TypePublisher) && !im.isFirstPublisher(r.ID, r.Value.Node) {
			return
		}
		for _, known := range []string{"type", "name", "id", "apiVersion"} {
			r.Value.Get(known)
		}
		m(im, im.checkVersion(r))
		return
	}
	if why, ok := foreign[t]; ok {
		im.Unmapped(r.Value.Node, "%s", why)
		return
	}
	im.Unmapped(r.Value.Node, "resources of type %q are not AOSM's, or not known", arm.Clip(r.ID.Provider+"/"+strings.Join(r.ID.Types, "/")))
}

var versions = []string{"2023-09-01", "2024-04-15", "2025-03-30"}

// manifestScopedVersion is the first API version with ManifestScoped manifests.
const manifestScopedVersion = "2025-03-30"

var date = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?$`)

// checkVersion returns the resource with an API version that can be compared, or with "".
func (im *importer) checkVersion(r input.Resource) input.Resource {
	switch {
	case r.API == "" || slices.Contains(versions, r.API):
	case date.MatchString(r.API):
		im.Tell(finding.Note, r.Value.Node, "the API version %s is not one of %s; it is read as the nearest of them", r.API, strings.Join(versions, ", "))
	default:
		im.Tell(finding.Note, r.Value.Node, "the API version %q is not one", arm.Clip(r.API))
		r.API = ""
	}
	return r
}

// isFirstPublisher reports whether an id belongs to the publisher that was seen first by
// this name: a namespace is for one publisher. It returns true if Options.Namespace is set.
func (im *importer) isFirstPublisher(id arm.ID, at *document.Node) bool {
	name := arm.Fold(id.Publisher())
	seen, ok := im.scopes[name]
	if ok && im.options.Namespace == "" && (arm.Differ(seen.Subscription, id.Subscription) || arm.Differ(seen.Group, id.Group)) {
		im.Unmapped(at, "its publisher %s is another one than that of subscription %q, resource group %q; import it alone, with a namespace of its own (-n)", arm.Clip(id.Publisher()), arm.Clip(seen.Subscription), arm.Clip(seen.Group))
		return false
	}
	seen.Subscription, seen.Group = cmp.Or(seen.Subscription, id.Subscription), cmp.Or(seen.Group, id.Group)
	im.scopes[name] = seen
	return true
}

// order is the order in which kinds are applied: referenced objects come before those that reference them.
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
	level := map[finding.Level]int{finding.NotMapped: 0, finding.Note: 1, finding.Ignored: 2}
	slices.SortStableFunc(im.Findings, func(a, b finding.Finding) int { return cmp.Compare(level[a.Level], level[b.Level]) })
}
