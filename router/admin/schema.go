package admin

import (
	"reflect"
	"strings"
	"time"
)

// schema is a JSON Schema of draft 2020-12, as OpenAPI 3.1 has it.
type schema map[string]any

// schemer is a type that describes itself.
type schemer interface{ schema(s *schemas) schema }

// schemas makes schemas of Go types. Structs are collected by name.
type schemas struct {
	byName map[string]schema
	types  map[string]reflect.Type
	closed bool // structs take no other members: they are inputs
}

// of is the schema of a type where it stands as member f.
func (s *schemas) of(t reflect.Type, f field) schema {
	one := s.plain(t)
	if f.enum != nil {
		one["enum"] = f.enum
	}
	if f.nullable {
		one = orNull(one)
	}
	if f.doc != "" {
		one["description"] = f.doc
	}
	return one
}

func (s *schemas) plain(t reflect.Type) schema {
	if own, ok := reflect.New(t).Interface().(schemer); ok && t.Kind() != reflect.Pointer {
		return own.schema(s)
	}
	if t == reflect.TypeFor[time.Time]() {
		return schema{"type": "string", "format": "date-time"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return orNull(s.plain(t.Elem()))
	case reflect.String:
		return schema{"type": "string"}
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Float64:
		return schema{"type": "number"}
	case reflect.Int, reflect.Int32, reflect.Int64:
		return schema{"type": "integer", "format": "int64"}
	case reflect.Slice:
		return schema{"type": "array", "items": s.plain(t.Elem())}
	case reflect.Map:
		return schema{"type": "object", "additionalProperties": s.plain(t.Elem())}
	case reflect.Struct:
		return s.reference(t)
	default:
		return schema{} // anything
	}
}

// reference is a struct by its name. A generic one has none and stands where it is.
func (s *schemas) reference(t reflect.Type) schema {
	name := nameOf(t)
	if name == "" {
		return s.object(t)
	}
	if other, taken := s.types[name]; taken && other != t {
		return s.object(t) // another package has one of this name
	}
	if _, known := s.byName[name]; !known {
		s.byName[name], s.types[name] = schema{}, t // which ends a recursion
		s.byName[name] = s.object(t)
	}
	return schema{"$ref": "#/components/schemas/" + name}
}

// nameOf is how a struct is called in the document.
func nameOf(t reflect.Type) string {
	name := strings.TrimSuffix(t.Name(), "View")
	if name == "" || strings.Contains(name, "[") {
		return ""
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

func (s *schemas) object(t reflect.Type) schema {
	properties, required := schema{}, []string{}
	for _, f := range fieldsOf(t) {
		properties[f.name] = s.of(f.kind, f)
		if f.required || !s.closed && !f.optional {
			required = append(required, f.name)
		}
	}
	o := schema{"type": "object", "properties": properties}
	if len(required) > 0 {
		o["required"] = required
	}
	if s.closed {
		o["additionalProperties"] = false
	}
	return o
}

// orNull lets a value be null, too.
func orNull(one schema) schema {
	if kind, ok := one["type"].(string); ok && one["enum"] == nil {
		one["type"] = []string{kind, "null"}
		return one
	}
	return schema{"anyOf": []schema{one, {"type": "null"}}}
}
