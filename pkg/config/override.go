package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Prefix of the environment variables that override settings.
const Prefix = "MERIDIAN_"

// Override sets fields from environment variables (as of os.Environ): the yaml
// path in upper case, joined with underscores, after MERIDIAN_. The setting
// database.max_conns is MERIDIAN_DATABASE_MAX_CONNS. A list is separated by
// commas. An empty variable counts.
//
// Secrets have no place here: settings name the files that hold them.
//
// It returns the variables that are no setting, to be logged: Kubernetes and
// shells set some that only look like ours. Errors name the variables whose
// values do not fit, and never a value.
func Override[T any](into *T, environment []string) (unknown []string, err error) {
	fields := make(map[string]reflect.Value)
	collect(fields, Prefix, reflect.ValueOf(into).Elem())
	var problems []error
	for _, pair := range environment {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || !strings.HasPrefix(name, Prefix) {
			continue
		}
		field, known := fields[name]
		if !known {
			unknown = append(unknown, name)
			continue
		}
		if set(field, value) != nil {
			problems = append(problems, fmt.Errorf("%s: want a %s", name, field.Type()))
		}
	}
	return unknown, errors.Join(problems...)
}

// collect finds the settings below a struct, by the variable that sets them.
func collect(into map[string]reflect.Value, prefix string, of reflect.Value) {
	for i := range of.NumField() {
		field := of.Type().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if !field.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = field.Name
		}
		variable := prefix + strings.ToUpper(name)
		if field.Type.Kind() == reflect.Struct {
			collect(into, variable+"_", of.Field(i))
			continue
		}
		into[variable] = of.Field(i)
	}
}

func set(field reflect.Value, value string) error {
	target := field
	if field.Kind() == reflect.Pointer {
		target = reflect.New(field.Type().Elem()).Elem()
	}
	switch target.Kind() {
	case reflect.String:
		target.SetString(value)
	case reflect.Slice:
		parts := strings.Split(value, ",")
		list := reflect.MakeSlice(target.Type(), len(parts), len(parts))
		for i, part := range parts {
			if err := set(list.Index(i), strings.TrimSpace(part)); err != nil {
				return err
			}
		}
		target.Set(list)
	default:
		if err := yaml.Unmarshal([]byte(value), target.Addr().Interface()); err != nil {
			return fmt.Errorf("decode: %w", err)
		}
	}
	if field.Kind() == reflect.Pointer {
		field.Set(target.Addr())
	}
	return nil
}
