package function

import (
	"cmp"
	"errors"
	"math/big"
	"slices"
	"strconv"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

var numberFunctions = map[string]Function{
	"int": {1, 1, asInt}, "bool": {1, 1, asBool},
	"add": {2, 2, calculate((*big.Int).Add)}, "sub": {2, 2, calculate((*big.Int).Sub)}, "mul": {2, 2, calculate((*big.Int).Mul)},
	"div": {2, 2, divide((*big.Int).Quo)}, "mod": {2, 2, divide((*big.Int).Rem)},
	"min": {1, many, extreme(slices.Min[[]int])}, "max": {1, many, extreme(slices.Max[[]int])},
	"less": {2, 2, compare(func(c int) bool { return c < 0 })}, "lessorequals": {2, 2, compare(func(c int) bool { return c <= 0 })},
	"greater": {2, 2, compare(func(c int) bool { return c > 0 })}, "greaterorequals": {2, 2, compare(func(c int) bool { return c >= 0 })},
}

func asInt(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	all, err := KnownWords(args)
	if err != nil {
		return template.Value{}, err
	}
	n, err := strconv.ParseInt(all[0], 10, 64)
	if err != nil {
		return template.Value{}, errors.New("the argument of int() is not a number")
	}
	return s.Make(at, document.Number, strconv.FormatInt(n, 10))
}

func asBool(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	all, err := KnownWords(args)
	if err != nil {
		return template.Value{}, err
	}
	switch arm.Fold(all[0]) {
	case "true", "1":
		return s.Make(at, document.Boolean, "true")
	case "false", "0":
		return s.Make(at, document.Boolean, "false")
	}
	return template.Value{}, errors.New("the argument of bool() is neither true nor false")
}

func calculate(do func(z, x, y *big.Int) *big.Int) func(*template.Scope, *document.Node, []template.Value) (template.Value, error) {
	return func(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
		x, errX := args[0].Integer()
		y, errY := args[1].Integer()
		if err := errors.Join(errX, errY); err != nil {
			return template.Value{}, err
		}
		z := do(new(big.Int), big.NewInt(int64(x)), big.NewInt(int64(y)))
		if !z.IsInt64() {
			return template.Value{}, errors.New("the result of a calculation has more than 64 bits")
		}
		return s.Make(at, document.Number, z.String())
	}
}

func divide(do func(z, x, y *big.Int) *big.Int) func(*template.Scope, *document.Node, []template.Value) (template.Value, error) {
	calculated := calculate(do)
	return func(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
		if y, err := args[1].Integer(); err == nil && y == 0 {
			return template.Value{}, errors.New("a number is divided by zero")
		}
		return calculated(s, at, args)
	}
}

// extreme returns a function for the least or the greatest of numbers, or of an array of numbers.
func extreme(of func([]int) int) func(*template.Scope, *document.Node, []template.Value) (template.Value, error) {
	return func(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
		if args[0].IsArray() {
			args = args[0].Items()
		}
		var all []int
		for _, a := range args {
			v, err := a.Resolve()
			if err != nil {
				return template.Value{}, err
			}
			n, err := v.Integer()
			if err != nil {
				return template.Value{}, err
			}
			all = append(all, n)
		}
		if len(all) == 0 {
			return template.Value{}, errors.New("there are no numbers to compare")
		}
		return s.Number(at, of(all))
	}
}

// compare returns a function that compares two numbers, or two texts.
func compare(judge func(int) bool) func(*template.Scope, *document.Node, []template.Value) (template.Value, error) {
	return func(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
		x, errX := args[0].Integer()
		y, errY := args[1].Integer()
		order := cmp.Compare(x, y)
		if errX != nil || errY != nil {
			if args[0].Node == nil || args[1].Node == nil || args[0].Kind != document.Text || args[1].Kind != document.Text {
				return template.Value{}, errors.New("two numbers or two texts are needed to compare, and something else is there")
			}
			all, err := KnownWords(args)
			if err != nil {
				return template.Value{}, err
			}
			order = cmp.Compare(all[0], all[1])
		}
		return s.Make(at, document.Boolean, strconv.FormatBool(judge(order)))
	}
}
