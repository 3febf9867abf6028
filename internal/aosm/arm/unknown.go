package arm

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

	OwnSubscription = "\U000F0000"
	OwnGroup        = "\U000F0001"
	OwnLocation     = "\U000F0002"
	OwnTenant       = "\U000F0003"
	OwnDeployment   = "\U000F0004"
	// VaultSecret is the value of a parameter that a Key Vault has.
	VaultSecret = "\U000F0005"
)

var shown = strings.NewReplacer(OwnSubscription, "<subscription>", OwnGroup, "<resourceGroup>", OwnLocation, "<location>",
	OwnTenant, "<tenant>", OwnDeployment, "<deployment>", VaultSecret, "<a Key Vault's secret>")

// errUnknown is the reason for what cannot be decided without the deployment.
var errUnknown = errors.New("it depends on what is known at deployment only; import what `az ... show` prints after the deployment")

// ErrUnknownPart is the reason for a name or an id with such a part.
var ErrUnknownPart = errors.New("a part of it is known at deployment only; import what `az ... show` prints after the deployment")

func isUnknown(r rune) bool { return r >= firstUnknown && r <= lastUnknown }

// Undecidable reports whether a text contains what only a deployment knows.
func Undecidable(s string) bool { return strings.ContainsFunc(s, isUnknown) }

// Known returns an error for texts that contain what only a deployment knows.
func Known(texts ...string) error {
	for _, s := range texts {
		if Undecidable(s) {
			return errUnknown
		}
	}
	return nil
}

// Show replaces what only a deployment knows by its name in angle brackets.
func Show(s string) string {
	if !Undecidable(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if isUnknown(r) {
			return '?'
		}
		return r
	}, shown.Replace(s))
}

// Unknowns are the characters that stand for results of functions that only a deployment can call, by the call.
type Unknowns map[string]rune

// Of returns the character for the result of a call. The same call has the same result.
func (u Unknowns) Of(call string) (string, error) {
	r, ok := u[call]
	if !ok {
		if r = firstOther + rune(len(u)); r > lastUnknown {
			return "", errors.New("the templates call too many functions that only a deployment can answer")
		}
		u[call] = r
	}
	return string(r), nil
}
