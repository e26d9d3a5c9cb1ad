package gemini

import (
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// declare writes the tools: functions in one declaration, and Google's own tools as the
// client gives them.
func (e *encoder) declare() error {
	tools, err := e.Tools()
	if err != nil {
		return err
	}
	var functions [][]byte
	for _, t := range tools {
		if t.Type == "function" && t.Function != nil {
			functions = append(functions, e.function(t))
			continue
		}
		own, ok := native(t.Raw)
		if !ok {
			own, ok = e.hosted(t)
		}
		if !ok {
			return translate.RefuseTool()
		}
		e.tools = append(e.tools, own)
	}
	if e.functions = len(functions) > 0; e.functions {
		declared := jsonraw.One("functionDeclarations", jsonraw.Array(functions))
		e.tools = append([][]byte{declared}, e.tools...)
	}
	return nil
}

// hosted converts a tool in another provider's format. Gemini can't restrict domains, so tools
// that do are refused.
func (e *encoder) hosted(t translate.Tool) ([]byte, bool) {
	h, ok := t.Hosted()
	if !ok || h.Allowed != nil || h.Blocked != nil {
		return nil, false
	}
	h.Lost(e.Request)
	to := map[string]string{
		translate.WebSearch: "googleSearch", translate.WebFetch: "urlContext", translate.CodeExecution: "codeExecution",
	}
	return jsonraw.One(to[h.Kind], []byte("{}")), true
}

// function writes a declaration. Its parameters are JSON Schema, as far as Google supports it.
func (e *encoder) function(t translate.Tool) []byte {
	var o jsonraw.Object
	o.Raw("name", t.Name)
	o.Raw("description", t.Description)
	if len(t.Parameters) > len("{}") {
		o.Raw("parametersJsonSchema", e.Schema("tools", functions(), t.ObjectSchema()))
	}
	if t.Strict {
		e.Lose("tools.strict")
	}
	return o.Bytes()
}

// natives maps clients' names for Google's own tools to Google's.
var natives = map[string]string{
	"google_search": "googleSearch", "googleSearch": "googleSearch",
	"google_search_retrieval": "googleSearchRetrieval", "googleSearchRetrieval": "googleSearchRetrieval",
	"code_execution": "codeExecution", "codeExecution": "codeExecution",
	"url_context": "urlContext", "urlContext": "urlContext",
	"google_maps": "googleMaps", "googleMaps": "googleMaps",
	"file_search": "fileSearch", "fileSearch": "fileSearch",
	"computer_use": "computerUse", "computerUse": "computerUse",
	"retrieval": "retrieval",
}

// native reads one of Google's own tools, written as {"google_search":{}} or as
// {"type":"google_search"}.
func native(tool []byte) ([]byte, bool) {
	for name, value := range jsonraw.Each(tool) {
		if to := natives[string(name)]; to != "" && jsonraw.IsObject(value) {
			return jsonraw.One(to, value), true
		}
	}
	if to := natives[jsonraw.Text(jsonraw.Lookup(tool, "type"))]; to != "" {
		return jsonraw.One(to, []byte("{}")), true
	}
	return nil, false
}

func (e *encoder) toolChoice([]byte) error {
	c, err := e.Choice()
	if err != nil {
		return err
	}
	mode := map[string]string{"auto": "AUTO", "none": "NONE", "required": "ANY"}[c.Mode]
	if len(c.Names) > 0 && c.Mode == "auto" {
		mode = "VALIDATED" // the only mode that limits which functions may be called without requiring a call
	}
	e.calling.Text("mode", mode)
	var names [][]byte
	for _, n := range c.Names {
		names = append(names, jsonraw.Quote(n))
	}
	e.calling.Array("allowedFunctionNames", names)
	return nil
}
