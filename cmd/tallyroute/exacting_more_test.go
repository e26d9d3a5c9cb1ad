package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// strictWords are the keywords of Claude's grammar, which Bedrock has as well.
var strictWords = []string{
	"type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "allOf", "title", "description", "default",
	"format", "minItems", "pattern", "$ref", "$defs", "definitions",
}

// strictGrammar holds the documented limits of strict tools and of formats of answers.
func strictGrammar(_ string, body object) string {
	said, tools, optional, unions := "", 0, 0, 0
	judge := func(s any) {
		if word := unknownWord(s, strictWords...); word != "" {
			said = "properties " + word + " are not supported"
		}
		everySchema(s, func(o object) {
			properties, _ := o["properties"].(object)
			required, _ := o["required"].([]any)
			if o["type"] == "object" && o["additionalProperties"] != false {
				said = "For 'object' type, 'additionalProperties' must be explicitly set to false"
			}
			if n, ok := o["minItems"].(float64); ok && n > 1 {
				said = "For 'array' type, 'minItems' values other than 0 or 1 are not supported"
			}
			for name, p := range properties {
				if !slices.Contains(required, any(name)) {
					optional++
				}
				if _, several := get(p, "type").([]any); several || get(p, "anyOf") != nil {
					unions++
				}
			}
		})
	}
	for _, t := range list(body["tools"]) {
		if t["strict"] == true {
			tools++
			judge(t["input_schema"])
		}
	}
	judge(get(body, "output_config", "format", "schema"))
	switch {
	case said != "":
	case tools > 20:
		said = "Too many strict tools"
	case optional > 24:
		said = "Schemas contains too many optional parameters"
	case unions > 16:
		said = "Schemas contains too many parameters with union types"
	}
	return said
}

func bedrockText(_ string, body object) string {
	for i, m := range list(body["messages"]) {
		blocks := list(m["content"])
		if len(blocks) == 0 {
			return fmt.Sprintf("The content field in the Message object at messages.%d is empty.", i)
		}
		for n, b := range blocks {
			if text, ok := b["text"].(string); ok && strings.TrimSpace(text) == "" {
				return fmt.Sprintf("The text field in the ContentBlock object at messages.%d.content.%d is blank.", i, n)
			}
			for _, r := range list(get(b, "toolResult", "content")) {
				if text, ok := r["text"].(string); ok && strings.TrimSpace(text) == "" {
					return "The text field in the ContentBlock object is blank."
				}
			}
		}
	}
	return ""
}

func bedrockTools(_ string, body object) string {
	uses, turns := false, list(body["messages"])
	for i, m := range turns {
		calls := 0
		for _, b := range list(m["content"]) {
			uses = uses || b["toolUse"] != nil || b["toolResult"] != nil
			if b["toolUse"] != nil {
				calls++
			}
		}
		results := 0
		if i+1 < len(turns) {
			for _, b := range list(turns[i+1]["content"]) {
				if b["toolResult"] != nil {
					results++
				}
			}
		}
		if calls != results {
			return "Expected toolResult blocks at messages for the toolUse blocks"
		}
	}
	if tools := list(get(body, "toolConfig", "tools")); uses && len(tools) == 0 {
		return "The toolConfig field must be defined when using toolUse and toolResult content blocks."
	}
	return ""
}

func bedrockPictures(_ string, body object) string {
	for _, m := range list(body["messages"]) {
		for _, b := range list(m["content"]) {
			kind := get(b, "image", "format")
			if b["image"] != nil && !slices.Contains([]any{"png", "jpeg", "gif", "webp"}, kind) {
				return fmt.Sprintf("Value at 'image.format' failed to satisfy constraint: %v", kind)
			}
		}
	}
	return ""
}

func bedrockSampling(model string, body object) string {
	c, _ := body["inferenceConfig"].(object)
	if strings.Contains(model, "claude") && c["temperature"] != nil && c["topP"] != nil {
		return "The model returned the following errors: `temperature` and `top_p` cannot both be specified for this model."
	}
	return ""
}

func mistralOrder(model string, body object) string {
	if !strings.Contains(model, "stral") {
		return ""
	}
	before := any("")
	messages := list(body["messages"])
	for _, m := range messages {
		if before == "tool" && m["role"] == "user" {
			return "Unexpected role 'user' after role 'tool'"
		}
		if m["role"] == "assistant" && m["content"] == nil && m["tool_calls"] == nil {
			return "Assistant message must have either content or tool_calls, but not none."
		}
		before = m["role"]
	}
	if n := len(messages); n > 0 && before == "assistant" && messages[n-1]["prefix"] != true {
		return "Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant"
	}
	return ""
}

var mistralID = regexp.MustCompile(`^[a-zA-Z0-9]{9}$`)

func mistralIDs(_ string, body object) string {
	for _, m := range list(body["messages"]) {
		ids := []any{m["tool_call_id"]}
		for _, c := range list(m["tool_calls"]) {
			ids = append(ids, c["id"])
		}
		for _, id := range ids {
			if id != nil && !mistralID.MatchString(fmt.Sprint(id)) {
				return fmt.Sprintf("Tool call id was %v but must be a-z, A-Z, 0-9, with a length of 9.", id)
			}
		}
	}
	return ""
}

func routedMistral(model string, body object) string {
	if !strings.HasPrefix(model, "mistralai/") {
		return ""
	}
	if said := mistralIDs(model, body); said != "" {
		return said
	}
	return mistralOrder(model, body)
}

// membersOf are the only members that some providers accept, in a message of the assistant.
var membersOf = map[string][]string{
	"groq":    {"role", "content", "name", "tool_calls", "tool_call_id", "reasoning", "function_call", "executed_tools"},
	"mistral": {"role", "content", "name", "tool_calls", "tool_call_id", "prefix"},
}

func onlyMembers(provider string) refusal {
	return func(_ string, body object) string {
		if body["store"] != nil {
			return "property 'store' is unsupported, did you mean 'stop'?"
		}
		for i, m := range list(body["messages"]) {
			for name := range m {
				if !slices.Contains(membersOf[provider], name) {
					return fmt.Sprintf("'messages.%d' : for 'role:%v' the following must be satisfied[property '%s' is unsupported]",
						i, m["role"], name)
				}
			}
		}
		return ""
	}
}

func noAllowedTools(_ string, body object) string {
	if get(body, "tool_choice", "type") == "allowed_tools" {
		return "tool_choice: data did not match any variant"
	}
	return ""
}

func xaiPenalties(model string, body object) string {
	for _, name := range []string{"presence_penalty", "frequency_penalty"} {
		if body[name] != nil {
			return "Model " + model + " does not support parameter " + name + "."
		}
	}
	if body["stop"] != nil {
		return "Argument not supported on this model: stop"
	}
	return ""
}

func reasoningBack(_ string, body object) string {
	if get(body["thinking"], "type") == "disabled" {
		return ""
	}
	for i, m := range list(body["messages"]) {
		if len(list(m["tool_calls"])) > 0 && m["reasoning_content"] == nil {
			return fmt.Sprintf("Missing `reasoning_content` field in the assistant message at message index %d.", i)
		}
	}
	return ""
}

func contentThere(_ string, body object) string {
	for i, m := range list(body["messages"]) {
		if _, ok := m["content"]; !ok {
			return fmt.Sprintf("Failed to deserialize the JSON body into the target type: messages[%d]: missing field `content`", i)
		}
	}
	return ""
}

func noSchemas(_ string, body object) string {
	if get(body["response_format"], "type") == "json_schema" {
		return "This response_format type is unavailable now"
	}
	return ""
}

func moonshotThinking(_ string, body object) string {
	choice := body["tool_choice"]
	_, named := choice.(object)
	switch {
	case body["thinking"] != nil && body["reasoning_effort"] != nil:
		return "cannot specify both 'thinking' and 'reasoning_effort'"
	case get(body["thinking"], "type") != "disabled" && (named || choice == "required"):
		return "tool_choice 'specified' is incompatible with thinking enabled"
	}
	return ""
}

func reasoningLimits(model string, body object) string {
	if !regexp.MustCompile(`gpt-5($|-mini|-nano|-20)`).MatchString(model) || strings.Contains(model, "chat") {
		return ""
	}
	if body["max_tokens"] != nil {
		return "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
	}
	if t := body["temperature"]; t != nil && t != 1.0 && body["reasoning_effort"] != "none" {
		return "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is supported."
	}
	return ""
}

func responsesEffort(model string, body object) string {
	if strings.Contains(model, "gpt-4") && body["reasoning"] != nil {
		return "Unsupported parameter: 'reasoning.effort' is not supported with this model."
	}
	return ""
}

func cohereCalls(_ string, body object) string {
	for i, m := range list(body["messages"]) {
		if len(list(m["tool_calls"])) == 0 {
			continue
		}
		if _, text := m["content"].(string); text {
			return fmt.Sprintf("text content is not allowed when tool_calls are provided: 'messages[%d].content'", i)
		}
		for _, p := range list(m["content"]) {
			if p["type"] == "text" {
				return fmt.Sprintf("text content is not allowed when tool_calls are provided: 'messages[%d].content[0]'", i)
			}
		}
	}
	return ""
}

func cohereSchemas(model string, body object) string {
	said, fields := "", 0
	judge := func(s any) {
		if s == nil {
			return
		}
		if get(s, "type") != "object" {
			said = "the type in the top level schema must be object"
		}
		for _, word := range []string{
			"allOf", "oneOf", "not", "minimum", "maximum", "minItems", "maxItems", "minLength", "maxLength", "uniqueItems",
		} {
			everySchema(s, func(o object) {
				if o[word] != nil {
					said = "invalid schema: " + word + " is not supported"
				}
			})
		}
		everySchema(s, func(o object) {
			if p, ok := o["pattern"].(string); ok && strings.ContainsAny(p, "^$") {
				said = "invalid schema: anchors are not supported in a pattern"
			}
			if f := o["format"]; f != nil && !slices.Contains([]any{"date-time", "uuid", "date", "time"}, f) {
				said = fmt.Sprintf("invalid schema: format %v is not supported", f)
			}
			properties, _ := o["properties"].(object)
			required, _ := o["required"].([]any)
			fields += len(properties)
			if len(properties) > 0 && len(required) == 0 {
				said = "every object must have at least one required field"
			}
		})
	}
	judge(get(body, "response_format", "json_schema"))
	if body["strict_tools"] == true {
		if strings.Contains(model, "command-a-03") {
			return "strict_tools is not supported by this model"
		}
		for _, t := range list(body["tools"]) {
			judge(get(t, "function", "parameters"))
		}
	}
	if fields > 200 {
		return "too many fields"
	}
	return said
}
