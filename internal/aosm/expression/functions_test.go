package expression

import (
	"strings"
	"testing"
)

// TestForms checks the results and the errors of the functions that evaluate their arguments themselves.
func TestForms(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ expression, want, fails string }{
		"Coalesce":     {`[coalesce(null(), variables('object').nothing, 'x', reference('y'))]`, `"x"`, ""},
		"CoalesceNone": {`[coalesce(null())]`, `null`, ""},
		"ShortAnd":     {`[and(false(), reference('x'))]`, `false`, ""},
		"ShortOr":      {`[or(true(), reference('x'))]`, `true`, ""},
		"Map":          {`[map(createArray('a', 'b'), lambda('x', concat(lambdaVariables('x'), '!')))]`, `["a!","b!"]`, ""},
		"MapWithIndex": {`[map(createArray('a', 'b'), lambda('x', 'i', format('{0}{1}', lambdaVariables('x'), lambdaVariables('i'))))]`, `["a0","b1"]`, ""},
		"MapInMap":     {`[map(createArray(1, 2), lambda('x', map(createArray(10), lambda('y', add(lambdaVariables('x'), lambdaVariables('y'))))))]`, `[[11],[12]]`, ""},
		"Filter":       {`[filter(range(0, 4), lambda('x', greater(lambdaVariables('x'), 1)))]`, `[2,3]`, ""},
		"Reduce":       {`[reduce(range(0, 4), 0, lambda('sum', 'x', add(lambdaVariables('sum'), lambdaVariables('x'))))]`, `6`, ""},
		"Sort":         {`[sort(createArray(3, 1, 2), lambda('a', 'b', less(lambdaVariables('a'), lambdaVariables('b'))))]`, `[1,2,3]`, ""},
		"ToObject":     {`[toObject(createArray('a', 'b'), lambda('x', lambdaVariables('x')), lambda('x', concat(lambdaVariables('x'), '!')))]`, `{"a":"a!","b":"b!"}`, ""},
		"MapValues":    {`[mapValues(createObject('a', 1), lambda('x', add(lambdaVariables('x'), 1)))]`, `{"a":2}`, ""},
		"GroupBy":      {`[groupBy(createArray('ab', 'ac', 'b'), lambda('x', first(lambdaVariables('x'))))]`, `{"a":["ab","ac"],"b":["b"]}`, ""},
		"NoLambda":     {`[map(createArray(1), 'x')]`, "", "not a lambda"},
		"NoVariable":   {`[map(createArray(1), lambda('x', lambdaVariables('y')))]`, "", "no such lambda"},
		"BareLambda":   {`[lambda('x', 1)]`, "", "not among the functions"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := evaluated(t, tc.expression)
			switch {
			case tc.fails != "" && (err == nil || !strings.Contains(err.Error(), tc.fails)):
				t.Errorf("%s is %s, error %v, want one that says %q", tc.expression, got, err, tc.fails)
			case tc.fails == "" && (err != nil || got != tc.want):
				t.Errorf("%s is %s, error %v, want %s", tc.expression, got, err, tc.want)
			}
		})
	}
}
