package chat

import (
	"slices"

	"tallyroute/providers/jsonraw"
)

type field = jsonraw.Field

// The types of values.
const (
	isObject = jsonraw.ObjectKind
	isArray  = jsonraw.ArrayKind
	isString = jsonraw.StringKind
	isNumber = jsonraw.NumberKind
	isBool   = jsonraw.BoolKind
	isNull   = jsonraw.NullKind
)

// The rules: what a value must obey, or is read for, beyond its type.
const (
	ruleRefused = 1 + iota
	ruleModel
	ruleStream
	ruleWantsUsage
	ruleN
	ruleMaxTokens
	ruleMaxCompletion
	ruleMessages
	ruleMessage
	rulePart
	ruleRole
	ruleName
	ruleTool     // an element of tools: one that is not a function runs at the provider
	ruleOwnTool  // the tool is a function, or free text, that runs at the client
	ruleToolType // the string says so
	ruleNeed     // present and not empty: the field's need
	ruleNeedWord // the string names a need
	ruleInput
	ruleDimensions
	ruleEncoding
	ruleNoted     // what it means differs between models: see Noted
	ruleModality  // text and audio mean the same everywhere
	ruleReference // noted where it is neither bytes nor an address of the open web
	ruleBytes     // the same, where bytes need no scheme
	ruleVoice     // noted where it is a stored one
	ruleStore
	ruleOddTool // a member that tools of the client do not have
)

// The needs are a set of things that a model must be able to do. The bits are finer
// than Needs, so that each belongs to one top-level member alone: a top-level field
// has all that lie below it, others what ruleNeed sets.
const (
	needTools = 1 << iota
	needFunctions
	needVision
	needAudio
	needDocuments
	needVoice // audio as output
	needSchema
	needHosted // a tool that runs at the provider
)

// other is a member that only some models know, or none.
var other = field{Rule: ruleNoted, Placed: true}

// noted are such members whose spelling is guarded.
func noted(names ...string) []field {
	list := named(names...)
	for i := range list {
		list[i].Rule, list[i].Placed = other.Rule, true
	}
	return list
}

// named are fields of which only the spelling of the name is guarded.
func named(names ...string) []field {
	list := make([]field, len(names))
	for i, name := range names {
		list[i].Name = name
	}
	return list
}

// root is a chat completion request: the members that a router or a provider
// acts on, the ones that every request has first.
var root = field{Kinds: isObject, Required: 2, Other: &other, Fields: slices.Concat([]field{
	{Name: "model", Kinds: isString, Rule: ruleModel},
	{Name: "messages", Kinds: isArray, Each: &message, Rule: ruleMessages, Need: needVision | needAudio | needDocuments},
	{Name: "stream", Kinds: isBool | isNull, Rule: ruleStream},
	{Name: "stream_options", Kinds: isObject | isNull, Fields: []field{
		{Name: "include_usage", Kinds: isBool | isNull, Rule: ruleWantsUsage},
		{Name: "include_obfuscation"},
		{Name: "continuous_usage_stats"},
	}, Other: &other},
	{Name: "temperature", Kinds: isNumber | isNull},
	{Name: "top_p", Kinds: isNumber | isNull},
	{Name: "max_tokens", Kinds: isNumber | isNull, Rule: ruleMaxTokens},
	{Name: "max_completion_tokens", Kinds: isNumber | isNull, Rule: ruleMaxCompletion},
	{Name: "n", Kinds: isNumber | isNull, Rule: ruleN},
	{Name: "tools", Kinds: isArray | isNull, Each: &tool, Rule: ruleNeed, Need: needTools | needHosted},
	{
		Name: "functions", Kinds: isArray | isNull, Each: &field{
			Kinds: isObject, Rule: rulePart,
			Fields: function.Fields,
		}, Rule: ruleNeed, Need: needFunctions,
	},
	{
		Name: "tool_choice", Fields: []field{{
			Name:   "allowed_tools",
			Fields: []field{{Name: "mode"}, {Name: "tools", Each: &field{Rule: rulePart}}},
		}},
	},
	{Name: "response_format", Kinds: isObject | isNull, Need: needSchema, Fields: []field{
		{Name: "type", Kinds: isString, Rule: ruleNeedWord},
		{Name: "json_schema"},
	}},
	{Name: "modalities", Kinds: isArray | isNull, Need: needVoice, Each: &field{Kinds: isString, Rule: ruleModality}},
	{Name: "user", Kinds: isString | isNull, NoNUL: true},
	{Name: "safety_identifier", Kinds: isString | isNull, NoNUL: true},
	{Name: "metadata", Kinds: isObject | isNull, Most: MaxMetadata, Each: &field{Kinds: isString, NoNUL: true}},
	{Name: "api_base", Rule: ruleRefused},
	{Name: "base_url", Rule: ruleRefused},
	{Name: "custom_host", Rule: ruleRefused},
	{Name: "extra_body", Rule: ruleRefused},
	{Name: "best_of", Rule: ruleRefused},
	{Name: "audio", Kinds: isObject | isNull, Other: &other, Fields: []field{{Name: "voice", Rule: ruleVoice}, {Name: "format"}}},
	{Name: "store", Kinds: isBool | isNull, Rule: ruleStore},
	{Name: "reasoning", Fields: named("effort", "max_tokens", "exclude", "enabled", "summary", "generate_summary"), Other: &other},
	{Name: "thinking", Fields: named("type", "budget_tokens", "display", "clear_thinking", "keep"), Other: &other},
}, named("parallel_tool_calls", "function_call", "stop", "seed", "reasoning_effort", "frequency_penalty",
	"presence_penalty", "logit_bias", "logprobs", "top_logprobs", "service_tier", "verbosity", "prompt_cache_key",
	"prompt_cache_retention", "prompt_cache_options", "session_id", "top_k", "min_p", "cache_control"),
	noted("prediction", "web_search_options", "moderation", "models", "provider", "route", "plugins", "preset",
		"previous_response_id", "prompt", "conversation", "container", "cached_content", "mcp_servers"))}

var message = field{Kinds: isObject, Required: 1, Rule: ruleMessage, Other: &other, Fields: append([]field{
	{Name: "role", Kinds: isString, Rule: ruleRole},
	{Name: "content", Kinds: isString | isArray | isNull, Each: &part},
	{Name: "name", Kinds: isString | isNull, Rule: ruleName},
	{Name: "tool_calls", Kinds: isArray | isNull, Each: &call},
	{Name: "function_call", Kinds: isObject | isNull, Fields: function.Fields},
	{Name: "audio", Kinds: isObject | isNull, Fields: noted("id"), Other: &other},
	{Name: "reasoning_details", Each: &field{Rule: rulePart}},
}, named("tool_call_id", "refusal", "reasoning", "reasoning_content", "prefix", "cache_control", "annotations")...)}

var part = field{Kinds: isObject, Required: 1, Rule: rulePart, Other: &other, Fields: append([]field{
	{Name: "type", Kinds: isString, Rule: ruleNeedWord},
	{Name: "text", Kinds: isString | isNull},
	{
		Name: "image_url", Kinds: isObject | isString | isNull, Rule: ruleNeed, Need: needVision,
		Fields: append(location, field{Name: "detail"}), Other: &other,
	},
	{
		Name: "input_audio", Kinds: isObject | isString | isNull, Rule: ruleNeed, Need: needAudio,
		Fields: named("data", "format"), Other: &other,
	},
	{Name: "file", Kinds: isObject | isNull, Rule: ruleNeed, Need: needDocuments, Other: &other, Fields: []field{
		{Name: "file_data", Rule: ruleBytes}, {Name: "file_id", Rule: ruleNoted, Placed: true}, {Name: "filename"}, {
			Name: "file_url",
			Rule: ruleReference,
		},
	}},
	{Name: "document_url", Rule: ruleReference, Fields: location, Other: &other},
	{Name: "file_url", Rule: ruleReference, Fields: location, Other: &other},
	{Name: "video_url", Rule: ruleReference, Fields: location, Other: &other},
	{Name: "prompt_cache_breakpoint", Fields: named("mode"), Other: &other},
}, named("refusal", "cache_control")...)}

var location = []field{{Name: "url", Rule: ruleReference}}

// tool is an element of tools, and call of tool_calls: both say what they are in
// "type" and hold the rest in a member of that name.
var (
	tool = field{Kinds: isObject, Rule: ruleTool, Fields: append([]field{
		{Name: "type", Rule: ruleToolType},
		{Name: "function", Kinds: isObject | isNull, Rule: ruleOwnTool, Fields: function.Fields, Other: &other},
		{Name: "custom", Kinds: isObject | isNull, Rule: ruleOwnTool, Fields: custom, Other: &other},
	}, named("id", "index", "cache_control", "name", "description", "parameters", "strict")...), Other: &field{Rule: ruleOddTool}}
	call = field{Kinds: isObject, Rule: rulePart, Other: &other, Fields: append([]field{
		{Name: "function", Kinds: isObject | isNull, Fields: function.Fields, Other: &other},
		{Name: "custom", Kinds: isObject | isNull, Fields: custom, Other: &other},
	}, named("type", "id", "index", "cache_control", "extra_content")...)}
)

var function = field{Kinds: isObject, Fields: named("name", "description", "parameters", "strict", "arguments"), Other: &other}

var custom = named("name", "description", "format", "input")

// words are the strings by which a content part, a modality or a response format
// asks for an ability.
var words = []struct {
	word string
	need uint8
}{
	{"image_url", needVision},
	{"input_audio", needAudio},
	{"file", needDocuments},
	{"video_url", needVision},
	{"document_url", needDocuments},
	{"file_url", needDocuments},
	{"audio", needVoice},
	{"json_schema", needSchema},
}
