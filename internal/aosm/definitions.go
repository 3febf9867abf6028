package aosm

import (
	"errors"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// setReference is what remains to do where an import cannot know which definition a template deploys.
const setReference = "set networkFunctionDefinitionVersionRef, or the design does not keep it"

// definitionOf finds the definition that a template deploys. AOSM names it in the template itself, with
// values that the operator gives at deployment; sometimes its whole id is among the fixed values.
func (im *importer) definitionOf(c, t value, r resource, e *v1alpha1.ResourceElementTemplate) {
	parameters := c.get("parameterValues")
	var named mentions
	if parameters.there() {
		word, err := im.valuesOf(parameters)
		if im.session.fail(err) {
			return
		}
		if err != nil {
			im.unmapped(parameters.node, "which definition it deploys cannot be decided: %v; %s", err, setReference)
			return
		}
		named.scan(word)
		parameters.close()
		if named.unread() == nil && len(named.ids) < 2 {
			im.ignore(parameters.node, values)
		}
	}
	switch {
	case len(named.ids) > 1:
		im.tell(NotMapped, parameters.node, "it names several definitions, %s and %s among them, and a template deploys one here; %s", clip(named.ids[0].String()), clip(named.ids[1].String()), setReference)
		return
	case len(named.ids) == 1 && im.near(r, named.ids[0], parameters.node):
		ref := &v1alpha1.LocalReference{}
		e.Configuration.NetworkFunctionDefinitionVersionRef = ref
		im.link(&ref.Name, v1alpha1.KindDefinition, named.ids[0], nil)
	}
	switch unread := named.unread(); {
	case errors.Is(unread, errFilledIn), errors.Is(unread, errUnknownPart):
		im.tell(NotMapped, parameters.node, "which definition it deploys is decided at deployment: %v; %s", unread, setReference)
	case unread != nil:
		im.tell(NotMapped, parameters.node, "it may name a definition, and which one cannot be read: %v; %s", unread, setReference)
	case len(named.ids) == 0 && e.Type == v1alpha1.NetworkFunctionDefinition:
		im.tell(NotMapped, t.node, "which definition it deploys is decided at deployment; %s", setReference)
	}
}

// valuesOf are the values that a template is given, as JSON.
func (im *importer) valuesOf(v value) (string, error) {
	v, err := v.resolve()
	if err != nil {
		return "", err
	}
	word := v.text1()
	if v.there() && v.kind != text {
		if word, err = v.rendered(); err != nil {
			return "", err
		}
	}
	return word, v.scope.spend(1+len(word)/64, 0)
}
