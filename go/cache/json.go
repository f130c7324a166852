package cache

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"

	"docache"
)

// This file finds the types that encoding/json can do nothing with before there is a value that is
// lost. In doubt it finds nothing: a field that may be empty, and is left out or written as null
// then, is left to the values.

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// jsonTakes returns a [docache.ArgumentError] for types that the [JSON] codec cannot keep.
func jsonTakes(t reflect.Type) error {
	core, why := jsonCore(t), ""
	switch {
	case core.Kind() == reflect.Interface && core.NumMethod() > 0:
		why = "encoding/json does not read interfaces with methods back"
	case core.Kind() == reflect.Struct && !marshalsItself(core) && core.NumField() > 0 && !hasJSONField(core):
		why = "encoding/json sees no field of " + core.String() + ", since none is exported"
	default:
		part := jsonRefuses(core, map[reflect.Type]bool{})
		if part == nil {
			return nil
		}
		if why = "encoding/json does not take it"; part != t {
			why = "encoding/json does not take the " + part.String() + " in it"
		}
	}
	return &docache.ArgumentError{Name: "V", Value: t, Accepted: "give a Codec of your own: " + why}
}

// jsonCore is what there must be some of for a value to be worth keeping: what pointers, slices and
// maps lead to.
func jsonCore(t reflect.Type) reflect.Type {
	for seen := map[reflect.Type]bool{}; !seen[t] && !marshalsItself(t); {
		seen[t] = true
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array:
			t = t.Elem()
		case reflect.Map:
			if !isJSONKey(t.Key()) {
				return t
			}
			t = t.Elem()
		}
	}
	return t
}

func marshalsItself(t reflect.Type) bool {
	for _, it := range []reflect.Type{t, reflect.PointerTo(t)} {
		if it.Implements(jsonMarshaler) || it.Implements(textMarshaler) {
			return true
		}
	}
	return false
}

func isJSONKey(t reflect.Type) bool {
	k := t.Kind()
	return k == reflect.String || reflect.Int <= k && k <= reflect.Uintptr || t.Implements(textMarshaler)
}

// jsonRefuses is the part of t because of which encoding/json writes no value of t at all, or nil.
func jsonRefuses(t reflect.Type, seen map[reflect.Type]bool) reflect.Type {
	if seen[t] || marshalsItself(t) {
		return nil
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
		return t
	case reflect.Map:
		if !isJSONKey(t.Key()) {
			return t
		}
	case reflect.Array:
		if t.Len() > 0 {
			return jsonRefuses(t.Elem(), seen)
		}
	case reflect.Struct:
		for i := range t.NumField() {
			field := t.Field(i)
			if _, options, _ := strings.Cut(field.Tag.Get("json"), ","); !isJSONField(field) || strings.Contains(options, "omit") {
				continue
			}
			if part := jsonRefuses(field.Type, seen); part != nil {
				return part
			}
		}
	}
	return nil
}

// isJSONField is true also for structs that are embedded, whose exported fields count as the outer
// one's.
func isJSONField(field reflect.StructField) bool {
	t := field.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	embeds := field.Anonymous && t.Kind() == reflect.Struct
	return (field.IsExported() || embeds) && field.Tag.Get("json") != "-"
}

// hasJSONField takes for granted that there is one in what is embedded.
func hasJSONField(t reflect.Type) bool {
	for i := range t.NumField() {
		if isJSONField(t.Field(i)) {
			return true
		}
	}
	return false
}
