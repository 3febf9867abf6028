package aosm

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// copyIndex is the turn of the loop of its name. Without a name it is that of the resource that it stands in, as
// Bicep writes it; only where no resource is repeated is it that of the output or property.
func copyIndex(s *scope, at *node, args []value) (value, error) {
	name, offset := "", 0
	for _, a := range args {
		w, err := a.word()
		if err != nil {
			return value{}, err
		}
		if a.kind != number {
			name = w
		} else if offset, err = strconv.Atoi(w); err != nil {
			return value{}, errors.New("the offset of copyIndex() is not a number")
		}
	}
	l := s.loop.named(name)
	if l == nil {
		return value{}, errors.New("copyIndex() stands in no such loop")
	}
	return s.make(at, number, strconv.Itoa(l.index+offset))
}

// idOf is resourceId([subscription,] [group,] type, name...).
func idOf(s *scope, at *node, args []value) (value, error) {
	all, err := words(args)
	if err != nil {
		return value{}, err
	}
	i := slices.IndexFunc(all, func(w string) bool { return strings.Contains(w, "/") })
	if i < 0 || i > 2 {
		return value{}, errors.New("resourceId() names no type, or too much before it")
	}
	subscription, group := s.template.subscription, s.template.group
	switch i {
	case 1:
		group = all[0]
	case 2:
		subscription, group = all[0], all[1]
	}
	return makeID(s, at, "/subscriptions/"+subscription+"/resourceGroups/"+group, all[i], all[i+1:])
}

// extensionID is extensionResourceId(id, type, name...).
func extensionID(s *scope, at *node, args []value) (value, error) {
	all, err := words(args)
	if err != nil {
		return value{}, err
	}
	return makeID(s, at, all[0], all[1], all[2:])
}

// subscriptionID is subscriptionResourceId([subscription,] type, name...).
func subscriptionID(s *scope, at *node, args []value) (value, error) {
	all, err := words(args)
	if err != nil {
		return value{}, err
	}
	subscription := s.template.subscription
	if !strings.Contains(all[0], "/") {
		subscription, all = all[0], all[1:]
	}
	return makeID(s, at, "/subscriptions/"+subscription, all[0], all[1:])
}

// tenantID is tenantResourceId(type, name...).
func tenantID(s *scope, at *node, args []value) (value, error) {
	all, err := words(args)
	if err != nil {
		return value{}, err
	}
	return makeID(s, at, "", all[0], all[1:])
}

func makeID(s *scope, at *node, base, typ string, names []string) (value, error) {
	types := strings.Split(typ, "/")
	if len(types)-1 != len(names) {
		return value{}, fmt.Errorf("the type %q needs %d names, and %d are given", clip(typ), len(types)-1, len(names))
	}
	var b strings.Builder
	b.WriteString(base + "/providers/" + types[0])
	for i, name := range names {
		b.WriteString("/" + types[i+1] + "/" + name)
	}
	return s.make(at, text, b.String())
}

func subscription(s *scope, at *node, _ []value) (value, error) {
	id := s.template.subscription
	return s.texts(at, "subscriptionId", id, "id", "/subscriptions/"+id, "tenantId", ownTenant)
}

func resourceGroup(s *scope, at *node, _ []value) (value, error) {
	t := s.template
	return s.texts(at, "name", t.group, "id", "/subscriptions/"+t.subscription+"/resourceGroups/"+t.group, "location", ownLocation)
}

func deployment(s *scope, at *node, _ []value) (value, error) {
	return s.texts(at, "name", ownDeployment, "location", ownLocation)
}

func tenant(s *scope, at *node, _ []value) (value, error) { return s.texts(at, "tenantId", ownTenant) }

func deployer(s *scope, at *node, _ []value) (value, error) {
	return s.texts(at, "tenantId", ownTenant)
}
