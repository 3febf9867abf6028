package aosm

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/finding"
)

// The labels and the annotation of imported objects.
const (
	// LabelPublisher has the publisher's name, in lower case, on the publisher's objects and its Namespace.
	LabelPublisher = "nfo.dev/publisher"
	// LabelDefinitionGroup and LabelDesignGroup have the group's name, in lower case, on its versions.
	LabelDefinitionGroup = "nfo.dev/network-function-definition-group"
	LabelDesignGroup     = "nfo.dev/network-service-design-group"
	// AnnotationID has the resource's id in AOSM, as written in the input.
	AnnotationID = "nfo.dev/aosm-id"
)

const kindNamespace = "Namespace"

// link is a place for a name that is filled in once all names are known.
type link struct {
	into *string
	kind string
	id   arm.ID
	// at is the position of the object that has the name; nil for a reference to the object.
	at *document.Node
	// in, unless nil, has the object's namespace once the names of
	// namespaces are filled in. If nil, the namespace is the publisher's.
	in *string
}

func (im *importer) link(into *string, kind string, id arm.ID, at *document.Node) {
	im.links = append(im.links, link{into: into, kind: kind, id: id, at: at})
}

// raw returns the name in AOSM, and how long the name may be here.
func (l link) raw() (name string, limit int) {
	switch l.kind {
	case kindNamespace:
		return l.id.Publisher(), validation.DNS1123LabelMaxLength
	case v1alpha1.KindArtifactStore:
		return l.id.Name(), 46
	case v1alpha1.KindDefinition, v1alpha1.KindDesign:
		return l.id.Names[1] + "-" + l.id.Names[2], validation.DNS1123SubdomainMaxLength
	}
	return l.id.Name(), validation.DNS1123SubdomainMaxLength
}

// identity returns an identity that links to the same object share, and the scope in which names must differ.
func (l link) identity(place string) (identity, in string) {
	switch {
	case l.kind == kindNamespace:
		return arm.Fold(l.id.Publisher()), ""
	case place == "" && l.kind != v1alpha1.KindSite:
		place = arm.Fold(l.id.Publisher())
	}
	return l.id.Key(), place
}

// claim is the name that an object would get.
type claim struct {
	// key is the same for objects that would get the same name, identity for links to the same object.
	key, identity string
	base          string
	// changed is set if the name in AOSM is not valid in Kubernetes.
	changed bool
}

func (im *importer) claim(l link) claim {
	name, limit := l.raw()
	base, changed := objectName(name, limit, l.kind == kindNamespace)
	identity, place := l.identity(im.options.Namespace)
	return claim{key: strings.Join([]string{l.kind, place, base}, "\n"), identity: identity, base: base, changed: changed}
}

// settle gives every object its name, and fills it in at every link. Two objects that would have the same name
// both get a suffix, so that the order of the input does not matter. An existing object keeps its name, and no
// other object gets that name. Namespaces are named first, because existing objects are found by namespace.
func (im *importer) settle() {
	claims, several := map[string]string{}, map[string]bool{}
	for _, l := range im.links {
		c := im.claim(l)
		if first, ok := claims[c.key]; ok && first != c.identity {
			several[c.key] = true
		}
		claims[c.key] = c.identity
	}
	collides := func(l link) bool { return several[im.claim(l).key] }
	namespaces := map[string]string{}
	for _, l := range im.links {
		if l.kind == kindNamespace {
			im.name(l, collides(l), "")
			namespaces[arm.Fold(l.id.Publisher())] = *l.into
		}
	}
	reported := false
	made := im.madeHere()
	for _, l := range im.links {
		if l.kind == kindNamespace {
			continue
		}
		im.tellAbsent(l, l.namespace(im.options, namespaces), made)
		if im.name(l, collides(l), l.namespace(im.options, namespaces)) && !reported {
			reported = true
			im.Tell(finding.Note, l.at, "the SiteNetworkService is called %s: several resource groups can have a site of the same name, so the name of each ends in a hash of its subscription and resource group", *l.into)
		}
	}
}

// namespace returns the namespace of the object, given the names of the publishers' namespaces.
func (l link) namespace(o Options, namespaces map[string]string) string {
	if l.in != nil {
		return *l.in
	}
	return cmp.Or(o.Namespace, namespaces[arm.Fold(l.id.Publisher())])
}

// name fills in one name. It returns true for a site that got a suffix for its scope, which settle reports once.
func (im *importer) name(l link, collides bool, in string) (site bool) {
	c := im.claim(l)
	_, limit := l.raw()
	scoped := l.kind == v1alpha1.KindSite && (l.id.Subscription != "" || l.id.Group != "")
	*l.into = c.base
	if collides || scoped {
		*l.into = suffixed(c.base, c.identity, limit)
	}
	if l.kind != kindNamespace {
		if there := im.thereIn(l.kind, l.id, in); there.Name != "" {
			*l.into = there.Name
			return false
		}
		if im.isTaken(l, in, *l.into) {
			collides = true
			*l.into = suffixed(c.base, c.identity, limit)
		}
	}
	if scoped && !c.changed {
		return true
	}
	if l.at != nil && (c.changed || collides) {
		im.tellName(l, *l.into, collides)
	}
	return false
}

// madeHere returns the identities of the objects that the input has.
func (im *importer) madeHere() map[string]bool {
	made := map[string]bool{}
	for _, l := range im.links {
		if l.at != nil {
			made[im.claim(l).identity] = true
		}
	}
	return made
}

// tellAbsent reports, once, a referenced manifest that is neither in the input nor in the cluster: manifests of
// several stores can have the same name, and only the existing objects show which one has that name in Kubernetes.
func (im *importer) tellAbsent(l link, in string, made map[string]bool) {
	identity := im.claim(l).identity
	if l.kind != v1alpha1.KindArtifactManifest || made[identity] || im.thereIn(l.kind, l.id, in).Name != "" {
		return
	}
	made[identity] = true
	im.Add(finding.Finding{Level: finding.Note, Path: arm.Show(l.id.String()), Reason: "it is named, and is neither in the input nor in the cluster. If another store has a manifest of this name, import this once more when both are there"})
}

func (im *importer) tellName(l link, name string, collides bool) {
	raw, _ := l.raw()
	why := "which is not a name in Kubernetes"
	if collides {
		why = "as another one is called, too"
	}
	path := ""
	if l.kind == v1alpha1.KindArtifactManifest {
		path = "; unless it is StoreScoped, its artifacts are looked for at " + name + "/<artifactName>"
	}
	im.Tell(finding.Note, l.at, "the %s is called %s: in AOSM it is %q, %s%s", l.kind, name, arm.Clip(raw), why, path)
}

// objectName returns the name that an object gets. The name is lower-cased, because ARM ignores case, and gets a hash of the
// original if anything else must change. A namespace's name has no dots, and is not one that Kubernetes or nfo reserves.
func objectName(raw string, limit int, namespace bool) (name string, changed bool) {
	lower := arm.Fold(raw)
	if name = cleaned(lower); !namespace {
		var parts []string
		for _, part := range strings.Split(lower, ".") {
			if part = cleaned(part); part != "" {
				parts = append(parts, part)
			}
		}
		name = strings.Join(parts, ".")
	}
	reserved := namespace && (name == "default" || name == "nfo-system" || strings.HasPrefix(name, "kube-"))
	if name == lower && name != "" && len(name) <= limit && !reserved {
		return name, false
	}
	return suffixed(name, lower, limit), true
}

// cleaned replaces the characters that a name cannot contain by dashes, and trims dashes.
func cleaned(part string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, part), "-")
}

// suffixed returns a name with a hash of a text, 8 digits long, within the limit.
func suffixed(name, of string, limit int) string {
	sum := sha256.Sum256([]byte(of))
	tail := "-" + hex.EncodeToString(sum[:4])
	if room := limit - len(tail); len(name) > room {
		name = strings.TrimRight(name[:room], "-.")
	}
	if name == "" {
		name = "x"
	}
	return name + tail
}

// labelValue returns a name as a valid label value.
func labelValue(raw string) string {
	if len(validation.IsValidLabelValue(raw)) == 0 {
		return raw
	}
	name, _ := objectName(raw, validation.LabelValueMaxLength, false)
	return name
}
