package authzcore

import (
	"fmt"
	"math"
	bignum "math/big"
	"net/netip"
	"time"

	"cel.dev/cel-go/cel"
)

// parameterType is a type of the language: bool, string, int, uint, double,
// duration, timestamp, ipaddress, map<T> and list<T>.
type parameterType struct {
	name string
	// of is T of map<T> and list<T>.
	of *parameterType
}

// String is the type as the language writes it.
func (t parameterType) String() string {
	if t.of != nil {
		return t.name + "<" + t.of.String() + ">"
	}
	return t.name
}

// known says whether the language has the type.
func (t parameterType) known() bool {
	if t.name == "map" || t.name == "list" {
		return t.of != nil && t.of.of == nil && t.of.known()
	}
	return t.of == nil && t.cel() != nil
}

func (t parameterType) cel() *cel.Type {
	switch t.name {
	case "bool":
		return cel.BoolType
	case "string":
		return cel.StringType
	case "int":
		return cel.IntType
	case "uint":
		return cel.UintType
	case "double":
		return cel.DoubleType
	case "duration":
		return cel.DurationType
	case "timestamp":
		return cel.TimestampType
	case "ipaddress":
		return addressType
	case "map":
		return cel.MapType(cel.StringType, t.of.cel())
	case "list":
		return cel.ListType(t.of.cel())
	default:
		return nil
	}
}

// cast turns a JSON value into one of the type. Numbers may be texts, which
// hold integers that JSON's cannot.
//
// Source: https://openfga.dev/docs/modeling/conditions, supported parameter types.
func (t parameterType) cast(value any) (any, error) {
	switch t.name {
	case "bool":
		return castTo[bool](value, "true or false")
	case "string":
		return castTo[string](value, "a text")
	case "int", "uint", "double":
		return t.castNumber(value)
	case "map":
		return t.castMap(value)
	case "list":
		return t.castList(value)
	default:
		return t.castText(value)
	}
}

func castTo[T any](value any, what string) (any, error) {
	if typed, ok := value.(T); ok {
		return typed, nil
	}
	return nil, mustBe(what)
}

func mustBe(what string) error { return fmt.Errorf("must be %s", what) }

func (t parameterType) castNumber(value any) (any, error) {
	number := new(bignum.Float)
	switch x := value.(type) {
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, mustBe("a finite number")
		}
		number.SetFloat64(x)
	case string:
		parsed, _, err := bignum.ParseFloat(x, 10, 64, bignum.ToNearestEven)
		if err != nil || len(x) > 64 || parsed.IsInf() {
			return nil, mustBe("a number")
		}
		number = parsed
	default:
		return nil, mustBe("a number")
	}
	switch t.name {
	case "int":
		if n, exact := number.Int64(); number.IsInt() && exact == bignum.Exact {
			return n, nil
		}
		return nil, mustBe("a whole number of 64 bits")
	case "uint":
		if n, exact := number.Uint64(); number.IsInt() && exact == bignum.Exact {
			return n, nil
		}
		return nil, mustBe("a whole number of 64 bits, not below 0")
	default:
		f, _ := number.Float64()
		if math.IsInf(f, 0) {
			return nil, mustBe("a number of 64 bits")
		}
		return f, nil
	}
}

// castText casts the types that are written as texts.
func (t parameterType) castText(value any) (any, error) {
	text, ok := value.(string)
	switch {
	case !ok:
	case t.name == "duration":
		if d, err := time.ParseDuration(text); err == nil {
			return d, nil
		}
	case t.name == "timestamp":
		if at, err := time.Parse(time.RFC3339, text); err == nil {
			return at, nil
		}
	default:
		if a, err := netip.ParseAddr(text); err == nil {
			return address{a.Unmap()}, nil
		}
	}
	return nil, mustBe(map[string]string{
		"duration": "a duration, as 1h30m", "timestamp": "a time as RFC 3339 has it, as 2026-01-31T12:00:00Z", "ipaddress": "an IP address",
	}[t.name])
}

func (t parameterType) castMap(value any) (any, error) {
	values, ok := value.(map[string]any)
	if !ok {
		return nil, mustBe("an object")
	}
	out := make(map[string]any, len(values))
	for name, item := range values {
		typed, err := t.of.cast(item)
		if err != nil {
			return nil, fmt.Errorf("a value %w", err)
		}
		out[name] = typed
	}
	return out, nil
}

func (t parameterType) castList(value any) (any, error) {
	values, ok := value.([]any)
	if !ok {
		return nil, mustBe("a list")
	}
	out := make([]any, len(values))
	for i, item := range values {
		typed, err := t.of.cast(item)
		if err != nil {
			return nil, fmt.Errorf("item %d %w", i, err)
		}
		out[i] = typed
	}
	return out, nil
}
