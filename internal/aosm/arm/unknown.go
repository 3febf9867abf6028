package arm

import (
	"errors"
	"strings"
	"unicode"
)

// An expression can contain values that only a deployment knows, such as its resource group.
// Each value is represented by one character of a private plane of Unicode: the character
// passes through every function unchanged, JSON included, and no name in AOSM can contain it.
const (
	firstUnknown = 0xF0000
	// Values below firstOther have names, which messages show.
	firstOther = firstUnknown + 0x100
	// Values from firstFree on, and VaultSecret, can be any text, or empty. The others are like
	// names: they are not empty, and have only letters, digits and the characters of inNames.
	firstFree   = firstUnknown + 0x1000
	lastUnknown = firstUnknown + 0x1FFF
	inNames     = "-_.()"

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

// Apart returns an error if a value in a text that only a deployment knows can contain a character of part. Without
// an error no occurrence of part is in such a value, or begins or ends in it.
func Apart(text, part string) error {
	if strings.ContainsFunc(text, func(r rune) bool {
		return IsFree(string(r)) || isUnknown(r) && strings.ContainsFunc(part, func(c rune) bool { return isUnknown(c) || inName(c) })
	}) {
		return errUnknown
	}
	return nil
}

func inName(c rune) bool {
	return unicode.IsLetter(c) || unicode.IsDigit(c) || strings.ContainsRune(inNames, c) || isUnknown(c) && !IsFree(string(c))
}

// IsName reports whether a text is like a name: not empty, and only of characters that names have.
func IsName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool { return !inName(c) })
}

// IsFree reports whether a text consists of values that only a deployment knows and that can be any text, or empty.
func IsFree(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return string(r) != VaultSecret && (r < firstFree || r > lastUnknown)
	})
}

// Parts splits a text into its known parts, and the values between them that only a deployment knows.
func Parts(s string) (known, unknown []string) {
	rest := s
	for {
		i := strings.IndexFunc(rest, isUnknown)
		if i < 0 {
			return append(known, rest), unknown
		}
		known, unknown = append(known, rest[:i]), append(unknown, rest[i:i+len(OwnGroup)])
		rest = rest[i+len(OwnGroup):]
	}
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

// Of returns the character for the result of a call. The same call has the same
// result. free says that the result can be any text, or empty; else it is like a name.
func (u Unknowns) Of(call string, free bool) (string, error) {
	r, ok := u[call]
	if !ok {
		first, last := rune(firstOther), rune(firstFree-1)
		if free {
			first, last = firstFree, lastUnknown
		}
		if r = first + rune(len(u)); r > last {
			return "", errors.New("the templates call too many functions that only a deployment can answer")
		}
		u[call] = r
	}
	return string(r), nil
}
