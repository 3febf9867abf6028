package aosm

import (
	"errors"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/finding"
	"github.com/nfo-operator/nfo/internal/aosm/input"
	"github.com/nfo-operator/nfo/internal/aosm/mention"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

// setReference is the remedy where an import cannot know which definition a template deploys.
const setReference = "set networkFunctionDefinitionVersionRef, or the design does not keep it"

// definitionOf finds the definition that a template deploys. In AOSM the template itself refers to the
// definition, by values that the operator gives at deployment; sometimes the fixed values contain the whole id.
func (im *importer) definitionOf(c, t template.Value, r input.Resource, e *v1alpha1.ResourceElementTemplate) {
	parameters := c.Get("parameterValues")
	var named mention.Mentions
	if parameters.There() {
		word, err := im.valuesOf(parameters)
		if im.session.Fail(err) {
			return
		}
		if err != nil {
			im.Unmapped(parameters.Node, "which definition it deploys cannot be decided: %v; %s", err, setReference)
			return
		}
		named.Scan(word)
		parameters.Close()
		if named.Unread() == nil && len(named.IDs) < 2 {
			im.Ignore(parameters.Node, finding.Values)
		}
	}
	switch {
	case len(named.IDs) > 1:
		im.Tell(finding.NotMapped, parameters.Node, "it names several definitions, %s and %s among them, and a template deploys one here; %s", arm.Clip(named.IDs[0].String()), arm.Clip(named.IDs[1].String()), setReference)
		return
	case len(named.IDs) == 1 && im.near(r, named.IDs[0], parameters.Node):
		ref := &v1alpha1.LocalReference{}
		e.Configuration.NetworkFunctionDefinitionVersionRef = ref
		im.link(&ref.Name, v1alpha1.KindDefinition, named.IDs[0], nil)
	}
	switch unread := named.Unread(); {
	case errors.Is(unread, arm.ErrFilledIn), errors.Is(unread, arm.ErrUnknownPart):
		im.Tell(finding.NotMapped, parameters.Node, "which definition it deploys is decided at deployment: %v; %s", unread, setReference)
	case unread != nil:
		im.Tell(finding.NotMapped, parameters.Node, "it may name a definition, and which one cannot be read: %v; %s", unread, setReference)
	case len(named.IDs) == 0 && e.Type == v1alpha1.NetworkFunctionDefinition:
		im.Tell(finding.NotMapped, t.Node, "which definition it deploys is decided at deployment; %s", setReference)
	}
}

// valuesOf returns the values that a template is given, as JSON.
func (im *importer) valuesOf(v template.Value) (string, error) {
	v, err := v.Resolve()
	if err != nil {
		return "", err
	}
	word := v.AsText()
	if v.There() && v.Kind != document.Text {
		if word, err = v.Rendered(); err != nil {
			return "", err
		}
	}
	return word, v.Scope.Spend(1+len(word)/64, 0)
}
