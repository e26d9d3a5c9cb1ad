package admin

import (
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/router/web"
)

// base is what the paths of all operations begin with.
const base = "/admin/v1"

var pathParameter = regexp.MustCompile(`:([a-z]+)`)

// document is the OpenAPI 3.1 document of the operations, made of the types that
// requests are read into and answers are written from.
func document(operations []operation, version string) schema {
	// What is read and what is written may be the same type; their rules differ.
	all := &schemas{byName: map[string]schema{}, types: map[string]reflect.Type{}}
	inputs := &schemas{byName: all.byName, types: all.types, closed: true}
	paths := map[string]schema{}
	for _, o := range operations {
		path := base + pathParameter.ReplaceAllString(o.path, "{$1}")
		if paths[path] == nil {
			paths[path] = schema{}
		}
		paths[path][strings.ToLower(o.method)] = o.describe(inputs, all)
	}
	failure := all.plain(reflect.TypeFor[web.ErrorAnswer]())
	return schema{
		"openapi": "3.1.0",
		"info": schema{
			"title": "Tallyroute admin API", "version": version,
			"description": "What operators can do: keys, teams, projects, budgets, spend, months of the ledger and replicas. " +
				"Money is a decimal text in US dollars; instants are RFC 3339. Lists have pages: next_cursor is the cursor of " +
				"the next one.",
		},
		"servers":  []schema{{"url": "/"}},
		"security": []schema{{"token": []string{}}},
		"paths":    paths,
		"components": schema{
			"schemas": all.byName,
			"responses": schema{"Error": schema{
				"description": "An error. Its code and what to do are explained at doc_url.",
				"content":     schema{"application/json": schema{"schema": failure}},
			}},
			"securitySchemes": schema{"token": schema{
				"type": "http", "scheme": "bearer", "description": "The admin token, made by: tallyroute admin token",
			}},
		},
	}
}

func (o operation) describe(inputs, outputs *schemas) schema {
	d := schema{"operationId": o.id, "summary": o.summary, "tags": []string{strings.Split(o.path, "/")[1]}}
	parameters := []schema{}
	for _, m := range pathParameter.FindAllStringSubmatch(o.path, -1) {
		parameters = append(parameters, schema{"name": m[1], "in": "path", "required": true, "schema": schema{"type": "string"}})
	}
	if o.inQuery() {
		for _, f := range fieldsOf(o.in) {
			p := schema{"name": f.name, "in": "query", "required": f.required, "schema": inputs.of(f.kind, field{enum: f.enum})}
			if f.doc != "" {
				p["description"] = f.doc
			}
			parameters = append(parameters, p)
		}
	} else if len(fieldsOf(o.in)) > 0 {
		d["requestBody"] = schema{
			"required": hasRequired(o.in), "content": schema{"application/json": schema{"schema": inputs.plain(o.in)}},
		}
	}
	if len(parameters) > 0 {
		d["parameters"] = parameters
	}
	responses := schema{"default": schema{"$ref": "#/components/responses/Error"}}
	for _, status := range o.statuses {
		content := schema{o.media: schema{}}
		if o.out != nil {
			content = schema{"application/json": schema{"schema": outputs.plain(o.out)}}
		}
		responses[strconv.Itoa(status)] = schema{"description": http.StatusText(status), "content": content}
	}
	d["responses"] = responses
	return d
}

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

// snippets are first calls with a new key. They take the key from the
// environment, so that it does not end up in a file or a history.
func snippets(baseURL string, k *billing.Key) map[string]string {
	model := "auto"
	if len(k.Models) > 0 && !strings.HasSuffix(k.Models[0], "*") {
		model = k.Models[0]
	}
	out := make(map[string]string, len(templates))
	fill := strings.NewReplacer("{base}", baseURL, "{model}", model)
	for language, text := range templates {
		out[language] = fill.Replace(text)
	}
	return out
}

var templates = map[string]string{
	"curl": `curl {base}/chat/completions -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" ` +
		`-d '{"model":"{model}","messages":[{"role":"user","content":"hi"}]}'`,
	"python": `from openai import OpenAI
client = OpenAI(base_url="{base}")  # reads OPENAI_API_KEY
print(client.chat.completions.create(model="{model}", messages=[{"role": "user", "content": "hi"}]).choices[0].message.content)`,
	"node": `import OpenAI from "openai";
const client = new OpenAI({ baseURL: "{base}" }); // reads OPENAI_API_KEY
const answer = await client.chat.completions.create({ model: "{model}", messages: [{ role: "user", content: "hi" }] });
console.log(answer.choices[0].message.content);`,
	"go": `config := openai.DefaultConfig(os.Getenv("OPENAI_API_KEY")) // github.com/sashabaranov/go-openai
config.BaseURL = "{base}"
answer, err := openai.NewClientWithConfig(config).CreateChatCompletion(ctx, openai.ChatCompletionRequest{
	Model:    "{model}",
	Messages: []openai.ChatCompletionMessage{{Role: "user", Content: "hi"}},
})`,
}
