package input

import (
	"errors"
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/internal/aosm/document"
)

func TestParameterFile(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason, file, says string
		names              int
	}{
		"File":   {reason: "as Azure writes it", file: `{"$schema": "deploymentParameters.json#", "parameters": {"a": {"value": 1}, "b": {"value": [2]}}}`, names: 2},
		"Short":  {reason: "as az takes it, too", file: `{"a": {"value": 1}}`, names: 1},
		"Secret": {reason: "a secret elsewhere is a value that is not known here", file: `{"a": {"reference": {"keyVault": {}}}}`, names: 1},
		"Values": {reason: "names and values, as az aosm writes them", file: `{"a": 1, "b": "x", "c": {"d": 1}}`, names: 3},
		"Mixed":  {reason: "a value alone has no place in ARM's form", file: `{"parameters": {"a": 1}}`, says: "$.parameters.a has neither"},
		"Cases":  {reason: "one name, two values", file: `{"a": {"value": 1}, "A": {"value": 2}}`, says: "differ in case only"},
		"Array":  {reason: "not an object", file: `[]`, says: "not a parameter file"},
		"Broken": {reason: "no JSON", file: `{`, says: "unexpected EOF"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p Parameters
			err := p.Read(strings.NewReader(tc.file))
			if (err == nil) != (tc.says == "") || (err != nil && (!strings.Contains(err.Error(), tc.says) || !errors.Is(err, document.ErrInput))) {
				t.Errorf("%s: error %v", tc.reason, err)
			}
			if len(p.names()) != tc.names && err == nil {
				t.Errorf("%s: %v", tc.reason, p.names())
			}
		})
	}
	var p Parameters
	if err := p.Set("novalue"); err == nil {
		t.Error("a parameter without a value was taken")
	}
}
