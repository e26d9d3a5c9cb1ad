package admin

import (
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"

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
