package aosm

import (
	"cmp"
	"errors"
	"math/big"
	"slices"
	"strconv"
)

var numberFunctions = map[string]function{
	"int": {1, 1, asInt}, "bool": {1, 1, asBool},
	"add": {2, 2, calculate((*big.Int).Add)}, "sub": {2, 2, calculate((*big.Int).Sub)}, "mul": {2, 2, calculate((*big.Int).Mul)},
	"div": {2, 2, divide((*big.Int).Quo)}, "mod": {2, 2, divide((*big.Int).Rem)},
	"min": {1, many, extreme(slices.Min[[]int])}, "max": {1, many, extreme(slices.Max[[]int])},
	"less": {2, 2, compare(func(c int) bool { return c < 0 })}, "lessorequals": {2, 2, compare(func(c int) bool { return c <= 0 })},
	"greater": {2, 2, compare(func(c int) bool { return c > 0 })}, "greaterorequals": {2, 2, compare(func(c int) bool { return c >= 0 })},
}

func asInt(s *scope, at *node, args []value) (value, error) {
	all, err := knownWords(args)
	if err != nil {
		return value{}, err
	}
	n, err := strconv.ParseInt(all[0], 10, 64)
	if err != nil {
		return value{}, errors.New("the argument of int() is not a number")
	}
	return s.make(at, number, strconv.FormatInt(n, 10))
}

func asBool(s *scope, at *node, args []value) (value, error) {
	all, err := knownWords(args)
	if err != nil {
		return value{}, err
	}
	switch fold(all[0]) {
	case "true", "1":
		return s.make(at, boolean, "true")
	case "false", "0":
		return s.make(at, boolean, "false")
	}
	return value{}, errors.New("the argument of bool() is neither true nor false")
}

func calculate(do func(z, x, y *big.Int) *big.Int) func(*scope, *node, []value) (value, error) {
	return func(s *scope, at *node, args []value) (value, error) {
		x, errX := args[0].integer()
		y, errY := args[1].integer()
		if err := errors.Join(errX, errY); err != nil {
			return value{}, err
		}
		z := do(new(big.Int), big.NewInt(int64(x)), big.NewInt(int64(y)))
		if !z.IsInt64() {
			return value{}, errors.New("the result of a calculation has more than 64 bits")
		}
		return s.make(at, number, z.String())
	}
}

func divide(do func(z, x, y *big.Int) *big.Int) func(*scope, *node, []value) (value, error) {
	calculated := calculate(do)
	return func(s *scope, at *node, args []value) (value, error) {
		if y, err := args[1].integer(); err == nil && y == 0 {
			return value{}, errors.New("a number is divided by zero")
		}
		return calculated(s, at, args)
	}
}

// extreme is the least or the greatest of numbers, or of an array of numbers.
func extreme(of func([]int) int) func(*scope, *node, []value) (value, error) {
	return func(s *scope, at *node, args []value) (value, error) {
		if args[0].isArray() {
			args = args[0].items()
		}
		var all []int
		for _, a := range args {
			v, err := a.resolve()
			if err != nil {
				return value{}, err
			}
			n, err := v.integer()
			if err != nil {
				return value{}, err
			}
			all = append(all, n)
		}
		if len(all) == 0 {
			return value{}, errors.New("there are no numbers to compare")
		}
		return s.number(at, of(all))
	}
}

// compare compares two numbers, or two texts.
func compare(judge func(int) bool) func(*scope, *node, []value) (value, error) {
	return func(s *scope, at *node, args []value) (value, error) {
		x, errX := args[0].integer()
		y, errY := args[1].integer()
		order := cmp.Compare(x, y)
		if errX != nil || errY != nil {
			if args[0].node == nil || args[1].node == nil || args[0].kind != text || args[1].kind != text {
				return value{}, errors.New("two numbers or two texts are needed to compare, and something else is there")
			}
			all, err := knownWords(args)
			if err != nil {
				return value{}, err
			}
			order = cmp.Compare(all[0], all[1])
		}
		return s.make(at, boolean, strconv.FormatBool(judge(order)))
	}
}
