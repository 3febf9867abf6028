package function

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

// copyIndex returns the index of the loop with a name. Without a name it is the index of the enclosing
// resource's loop, as Bicep writes it, or of the innermost loop if no resource is in a loop.
func copyIndex(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	name, offset := "", 0
	for _, a := range args {
		w, err := a.Word()
		if err != nil {
			return template.Value{}, err
		}
		if a.Kind != document.Number {
			name = w
		} else if offset, err = strconv.Atoi(w); err != nil {
			return template.Value{}, errors.New("the offset of copyIndex() is not a number")
		}
	}
	l := s.Loop.Named(name)
	if l == nil {
		return template.Value{}, errors.New("copyIndex() stands in no such loop")
	}
	return s.Make(at, document.Number, strconv.Itoa(l.Index+offset))
}

// idOf implements resourceId([subscription,] [group,] type, name...).
func idOf(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	all, err := words(args)
	if err != nil {
		return template.Value{}, err
	}
	i := slices.IndexFunc(all, func(w string) bool { return strings.Contains(w, "/") })
	if i < 0 || i > 2 {
		return template.Value{}, errors.New("resourceId() names no type, or too much before it")
	}
	subscription, group := s.Template.Subscription, s.Template.Group
	switch i {
	case 1:
		group = all[0]
	case 2:
		subscription, group = all[0], all[1]
	}
	return makeID(s, at, "/subscriptions/"+subscription+"/resourceGroups/"+group, all[i], all[i+1:])
}

// extensionID implements extensionResourceId(id, type, name...).
func extensionID(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	all, err := words(args)
	if err != nil {
		return template.Value{}, err
	}
	return makeID(s, at, all[0], all[1], all[2:])
}

// subscriptionID implements subscriptionResourceId([subscription,] type, name...).
func subscriptionID(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	all, err := words(args)
	if err != nil {
		return template.Value{}, err
	}
	subscription := s.Template.Subscription
	if !strings.Contains(all[0], "/") {
		subscription, all = all[0], all[1:]
	}
	return makeID(s, at, "/subscriptions/"+subscription, all[0], all[1:])
}

// tenantID implements tenantResourceId(type, name...).
func tenantID(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	all, err := words(args)
	if err != nil {
		return template.Value{}, err
	}
	return makeID(s, at, "", all[0], all[1:])
}

func makeID(s *template.Scope, at *document.Node, base, typ string, names []string) (template.Value, error) {
	types := strings.Split(typ, "/")
	if len(types)-1 != len(names) {
		return template.Value{}, fmt.Errorf("the type %q needs %d names, and %d are given", arm.Clip(typ), len(types)-1, len(names))
	}
	var b strings.Builder
	b.WriteString(base + "/providers/" + types[0])
	for i, name := range names {
		b.WriteString("/" + types[i+1] + "/" + name)
	}
	return s.Make(at, document.Text, b.String())
}

func subscription(s *template.Scope, at *document.Node, _ []template.Value) (template.Value, error) {
	id := s.Template.Subscription
	return s.Texts(at, "subscriptionId", id, "id", "/subscriptions/"+id, "tenantId", arm.OwnTenant)
}

func resourceGroup(s *template.Scope, at *document.Node, _ []template.Value) (template.Value, error) {
	t := s.Template
	return s.Texts(at, "name", t.Group, "id", "/subscriptions/"+t.Subscription+"/resourceGroups/"+t.Group, "location", arm.OwnLocation)
}

func deployment(s *template.Scope, at *document.Node, _ []template.Value) (template.Value, error) {
	return s.Texts(at, "name", arm.OwnDeployment, "location", arm.OwnLocation)
}

func tenant(s *template.Scope, at *document.Node, _ []template.Value) (template.Value, error) {
	return s.Texts(at, "tenantId", arm.OwnTenant)
}

func deployer(s *template.Scope, at *document.Node, _ []template.Value) (template.Value, error) {
	return s.Texts(at, "tenantId", arm.OwnTenant)
}
