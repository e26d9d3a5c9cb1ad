package wire

import (
	"reflect"
	"strings"
	"time"
)

// Schema is a JSON Schema of draft 2020-12, as used by OpenAPI 3.1.
type Schema map[string]any

// schemer is a type that describes itself.
type schemer interface{ Schema(s *Schemas) Schema }

// Schemas makes schemas from Go types. Structs are collected by name.
type Schemas struct {
	ByName map[string]Schema
	Types  map[string]reflect.Type
	Closed bool // structs accept no other members: they are inputs
}

// Of returns the schema of a type used as member f.
func (s *Schemas) Of(t reflect.Type, f Field) Schema {
	one := s.Plain(t)
	if f.Enum != nil {
		one["enum"] = f.Enum
	}
	if f.nullable {
		one = OrNull(one)
	}
	if f.Doc != "" {
		one["description"] = f.Doc
	}
	return one
}

// Plain returns the schema of a type regardless of where it is used.
func (s *Schemas) Plain(t reflect.Type) Schema {
	if own, ok := reflect.New(t).Interface().(schemer); ok && t.Kind() != reflect.Pointer {
		return own.Schema(s)
	}
	if t == reflect.TypeFor[time.Time]() {
		return Schema{"type": "string", "format": "date-time"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return OrNull(s.Plain(t.Elem()))
	case reflect.String:
		return Schema{"type": "string"}
	case reflect.Bool:
		return Schema{"type": "boolean"}
	case reflect.Float64:
		return Schema{"type": "number"}
	case reflect.Int, reflect.Int32, reflect.Int64:
		return Schema{"type": "integer", "format": "int64"}
	case reflect.Slice:
		return Schema{"type": "array", "items": s.Plain(t.Elem())}
	case reflect.Map:
		return Schema{"type": "object", "additionalProperties": s.Plain(t.Elem())}
	case reflect.Struct:
		return s.reference(t)
	default:
		return Schema{} // anything
	}
}

// reference returns a reference to a struct by name. A generic struct has no name and is
// written inline.
func (s *Schemas) reference(t reflect.Type) Schema {
	name := nameOf(t)
	if name == "" {
		return s.object(t)
	}
	if other, taken := s.Types[name]; taken && other != t {
		return s.object(t) // another package has a type of this name
	}
	if _, known := s.ByName[name]; !known {
		s.ByName[name], s.Types[name] = Schema{}, t // ends a recursion
		s.ByName[name] = s.object(t)
	}
	return Schema{"$ref": "#/components/schemas/" + name}
}

// nameOf returns the name of a struct in the document.
func nameOf(t reflect.Type) string {
	name := strings.TrimSuffix(t.Name(), "View")
	if name == "" || strings.Contains(name, "[") {
		return ""
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

func (s *Schemas) object(t reflect.Type) Schema {
	properties, required := Schema{}, []string{}
	for _, f := range FieldsOf(t) {
		properties[f.Name] = s.Of(f.Kind, f)
		if f.Required || !s.Closed && !f.optional {
			required = append(required, f.Name)
		}
	}
	o := Schema{"type": "object", "properties": properties}
	if len(required) > 0 {
		o["required"] = required
	}
	if s.Closed {
		o["additionalProperties"] = false
	}
	return o
}

// OrNull returns a schema that also allows null.
func OrNull(one Schema) Schema {
	if kind, ok := one["type"].(string); ok && one["enum"] == nil {
		one["type"] = []string{kind, "null"}
		return one
	}
	return Schema{"anyOf": []Schema{one, {"type": "null"}}}
}
