package openai

import "strings"

// reasons maps other providers' finish reasons to those of the format.
var reasons = map[string]string{
	"eos": "stop", "eos_token": "stop", "end_turn": "stop", "stop_sequence": "stop", "end": "stop", "complete": "stop",
	"completed": "stop", "finished": "stop",
	"max_tokens": "length", "model_length": "length", "max_length": "length", "max_output_tokens": "length",
	"model_context_window_exceeded": "length", "context_length_exceeded": "length", "abort": "length",
	"insufficient_system_resource": "length",
	"tool_use":                     "tool_calls", "tool_call": "tool_calls", "function_calls": "tool_calls",
	"safety": "content_filter", "sensitive": "content_filter", "refusal": "content_filter", "recitation": "content_filter",
	"content_filtered": "content_filter", "prohibited_content": "content_filter", "blocklist": "content_filter", "spii": "content_filter",
	"image_safety": "content_filter", "moderation": "content_filter", "guardrail_intervened": "content_filter",
}

// finishReason returns a reason by its name in the format. An unknown reason is taken as a
// normal end.
func finishReason(said string) string {
	switch said {
	case "stop", "length", "tool_calls", "content_filter", "function_call":
		return said
	}
	if to := reasons[strings.ToLower(said)]; to != "" {
		return to
	}
	return "stop"
}

// failed reports whether a reason means that there is no answer.
func failed(reason string) bool {
	switch strings.ToLower(reason) {
	case "error", "network_error", "server_error", "malformed_function_call", "malformed_tool_use", "malformed_model_output",
		"malformed_response":
		return true
	}
	return false
}
