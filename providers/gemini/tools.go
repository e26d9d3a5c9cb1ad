package gemini

import (
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// declare writes the tools: functions in one declaration, and Google's own tools
// as the client gives them.
func (e *encoder) declare() error {
	var functions [][]byte
	for _, tool := range translate.Tools(e.x) {
		if f := jsonraw.Lookup(tool, "function"); jsonraw.IsObject(f) {
			functions = append(functions, e.function(f))
			continue
		}
		own, ok := native(tool)
		if !ok {
			return &chat.FieldError{
				Code: "unsupported_parameter", Param: "tools",
				Message: "holds a tool that is no function, nor one that this model has by itself",
			}
		}
		e.tools = append(e.tools, own)
	}
	if len(functions) > 0 {
		declared := jsonraw.One("functionDeclarations", jsonraw.Array(functions))
		e.tools = append([][]byte{declared}, e.tools...)
	}
	return nil
}

// function is a declaration. Its parameters pass as the JSON Schema that they are.
func (e *encoder) function(f []byte) []byte {
	var o jsonraw.Object
	for name, value := range jsonraw.Each(f) {
		switch value = jsonraw.Present(value); string(name) {
		case "name", "description":
			o.Raw(string(name), value)
		case "parameters":
			if jsonraw.IsObject(value) && string(value) != "{}" {
				o.Raw("parametersJsonSchema", value)
			}
		case "strict":
			if string(value) == "true" {
				e.c.Lose("tools.strict")
			}
		}
	}
	return o.Bytes()
}

// natives are Google's own tools under the names that clients have for them.
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

// native is a tool of Google's own, written as {"google_search":{}} or as
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

func (e *encoder) toolChoice(value []byte) error {
	c, err := translate.ReadToolChoice(value)
	if err != nil {
		return err
	}
	mode := map[string]string{"auto": "AUTO", "none": "NONE", "required": "ANY"}[c.Mode]
	if len(c.Names) > 0 && c.Mode == "auto" {
		mode = "VALIDATED" // the only one in which some functions may be called and none must
	}
	e.calling.Text("mode", mode)
	var names [][]byte
	for _, n := range c.Names {
		names = append(names, jsonraw.Quote(n))
	}
	e.calling.Array("allowedFunctionNames", names)
	return nil
}
