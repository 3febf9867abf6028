package aosm

import (
	"errors"
	"strings"
)

// An expression can contain what only a deployment knows, such as its resource group. Each such value is one
// character of a private plane of Unicode: it passes through every function unbroken, JSON included, and no
// name of AOSM can contain it.
const (
	firstUnknown = 0xF0000
	// Values below firstOther have names, which messages show.
	firstOther  = firstUnknown + 0x100
	lastUnknown = firstUnknown + 0xFFF

	ownSubscription = "\U000F0000"
	ownGroup        = "\U000F0001"
	ownLocation     = "\U000F0002"
	ownTenant       = "\U000F0003"
	ownDeployment   = "\U000F0004"
	// vaultSecret is the value of a parameter that a Key Vault has.
	vaultSecret = "\U000F0005"
)

var shown = strings.NewReplacer(ownSubscription, "<subscription>", ownGroup, "<resourceGroup>", ownLocation, "<location>",
	ownTenant, "<tenant>", ownDeployment, "<deployment>", vaultSecret, "<a Key Vault's secret>")

// errUnknown is the reason for what cannot be decided without the deployment.
var errUnknown = errors.New("it depends on what is known at deployment only; import what `az ... show` prints after the deployment")

// errUnknownPart is the reason for a name or an id with such a part.
var errUnknownPart = errors.New("a part of it is known at deployment only; import what `az ... show` prints after the deployment")

func isUnknown(r rune) bool { return r >= firstUnknown && r <= lastUnknown }

// undecidable reports whether a text contains what only a deployment knows.
func undecidable(s string) bool { return strings.ContainsFunc(s, isUnknown) }

// known returns an error for texts that contain what only a deployment knows.
func known(texts ...string) error {
	for _, s := range texts {
		if undecidable(s) {
			return errUnknown
		}
	}
	return nil
}

// show replaces what only a deployment knows by its name in angle brackets.
func show(s string) string {
	if !undecidable(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if isUnknown(r) {
			return '?'
		}
		return r
	}, shown.Replace(s))
}

// unknowns are the characters that stand for results of functions that only a deployment can call, by the call.
type unknowns map[string]rune

// of returns the character for the result of a call. The same call has the same result.
func (u unknowns) of(call string) (string, error) {
	r, ok := u[call]
	if !ok {
		if r = firstOther + rune(len(u)); r > lastUnknown {
			return "", errors.New("the templates call too many functions that only a deployment can answer")
		}
		u[call] = r
	}
	return string(r), nil
}
