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

// The rules: what a value must satisfy, or what is read from it, apart from its type.
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
	ruleTool     // an element of tools: unless it is a function, it runs at the provider
	ruleOwnTool  // the tool is a function or a custom tool, which runs at the client
	ruleToolType // the string gives the tool's type
	ruleNeed     // if present and not empty, sets the field's need
	ruleNeedWord // the string names a need
	ruleInput
	ruleDimensions
	ruleEncoding
	ruleNoted     // its meaning differs between models: see Noted
	ruleModality  // text and audio mean the same everywhere
	ruleReference // noted unless it is a public web address or the bytes themselves
	ruleBytes     // the same, for bytes that need no scheme
	ruleVoice     // noted if it is a stored voice
	ruleStore
	ruleOddTool // a member that the client's own tools do not have
)

// The needs are a set of abilities that a request requires of a model. The bits are finer
// than Needs, so that each belongs to only one top-level member. The need of a top-level
// field is the union of those below it; the need of any other field is what its ruleNeed
// sets.
const (
	needTools = 1 << iota
	needFunctions
	needVision
	needAudio
	needDocuments
	needVoice // audio output
	needSchema
	needHosted // a tool that runs at the provider
)

// other stands for a member that only some models know, or none.
var other = field{Rule: ruleNoted, Placed: true}

// noted returns fields for such members, with the spelling of their names guarded.
func noted(names ...string) []field {
	list := named(names...)
	for i := range list {
		list[i].Rule, list[i].Placed = other.Rule, true
	}
	return list
}

// named returns fields of which only the spelling of the name is guarded.
func named(names ...string) []field {
	list := make([]field, len(names))
	for i, name := range names {
		list[i].Name = name
	}
	return list
}

// root describes a chat completion request: the members that a router or a provider acts on,
// starting with those that every request has.
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

// tool is an element of tools, and call an element of tool_calls. Both state their kind in
// "type" and hold everything else in a member of that name.
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

// words lists the strings with which a content part, a modality or a response format asks for
// an ability.
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
