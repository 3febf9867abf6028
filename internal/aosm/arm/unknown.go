package arm

import (
	"errors"
	"strings"
)

// An expression can contain values that only a deployment knows, such as its resource group.
// Each value is represented by one character of a private plane of Unicode: the character
// passes through every function unchanged, JSON included, and no name in AOSM can contain it.
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
	// VaultSecret is the value of a parameter that is in a Key Vault.
	VaultSecret = "\U000F0005"
)

var shown = strings.NewReplacer(OwnSubscription, "<subscription>", OwnGroup, "<resourceGroup>", OwnLocation, "<location>",
	OwnTenant, "<tenant>", OwnDeployment, "<deployment>", VaultSecret, "<a Key Vault's secret>")

// errUnknown is the error for a value that depends on the deployment.
var errUnknown = errors.New("it depends on what is known at deployment only; import what `az ... show` prints after the deployment")

// ErrUnknownPart is the error for a name or an id with a part that depends on the deployment.
var ErrUnknownPart = errors.New("a part of it is known at deployment only; import what `az ... show` prints after the deployment")

func isUnknown(r rune) bool { return r >= firstUnknown && r <= lastUnknown }

// Undecidable reports whether a text contains a value that only a deployment knows.
func Undecidable(s string) bool { return strings.ContainsFunc(s, isUnknown) }

// Known returns an error if a text contains a value that only a deployment knows.
func Known(texts ...string) error {
	for _, s := range texts {
		if Undecidable(s) {
			return errUnknown
		}
	}
	return nil
}

// Show replaces values that only a deployment knows by their names in angle brackets, or by ? if they have none.
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

// Unknowns has the character for each call of a function that only a deployment can evaluate.
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
