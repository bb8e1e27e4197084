package authzcore

import (
	"fmt"
	"net/netip"
	"reflect"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// address is a value of the language's type ipaddress. An IPv4 address written
// as IPv6 is the IPv4 address.
type address struct{ netip.Addr }

var addressType = cel.ObjectType("IPAddress")

// addressFunctions are ipaddress(string) and address.in_cidr(string).
//
// Source: https://openfga.dev/docs/modeling/conditions.
func addressFunctions() cel.EnvOption {
	parse := cel.Function("ipaddress", cel.Overload("string_to_ipaddress",
		[]*cel.Type{cel.StringType}, addressType, cel.UnaryBinding(parseAddress)))
	within := cel.Function("in_cidr", cel.MemberOverload("ipaddress_in_cidr_string",
		[]*cel.Type{addressType, cel.StringType}, cel.BoolType, cel.BinaryBinding(inNetwork)))
	return func(env *cel.Env) (*cel.Env, error) {
		env, err := parse(env)
		if err != nil {
			return nil, err
		}
		return within(env)
	}
}

func parseAddress(text ref.Val) ref.Val {
	s, ok := text.Value().(string)
	if !ok {
		return types.MaybeNoSuchOverloadErr(text)
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return types.NewErr("not an IP address")
	}
	return address{a.Unmap()}
}

func inNetwork(of, network ref.Val) ref.Val {
	a, isAddress := of.(address)
	text, isText := network.Value().(string)
	if !isAddress || !isText {
		return types.MaybeNoSuchOverloadErr(of)
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return types.NewErr("not a network in CIDR notation")
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return types.Bool(p.Contains(a.Addr))
}

// ConvertToNative implements ref.Val.
func (a address) ConvertToNative(to reflect.Type) (any, error) {
	switch {
	case reflect.TypeFor[address]().AssignableTo(to):
		return a, nil
	case to.Kind() == reflect.String:
		return a.String(), nil
	}
	return nil, fmt.Errorf("an IP address is no %s", to)
}

// ConvertToType implements ref.Val.
func (a address) ConvertToType(to ref.Type) ref.Val {
	switch to {
	case types.StringType:
		return types.String(a.String())
	case types.TypeType:
		return addressType
	}
	return types.NewErr("an IP address is no %s", to.TypeName())
}

// Equal implements ref.Val.
func (a address) Equal(other ref.Val) ref.Val {
	b, ok := other.(address)
	return types.Bool(ok && a.Addr == b.Addr)
}

// Type implements ref.Val.
func (address) Type() ref.Type { return addressType }

// Value implements ref.Val.
func (a address) Value() any { return a }
