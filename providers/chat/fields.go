package chat

// kind is a set of JSON types.
type kind uint8

const (
	isObject kind = 1 << iota
	isArray
	isString
	isNumber
	isBool
	isNull
)

// rule is what a value must obey, or is read for, beyond its type.
type rule uint8

const (
	ruleNone rule = iota
	ruleRefused
	ruleModel
	ruleStream
	ruleWantsUsage
	ruleN
	ruleMaxTokens
	ruleMaxCompletion
	ruleNoNUL
	ruleMessages
	ruleMessage
	ruleRole
	ruleName
	ruleNeed     // present and not empty: the field's need
	ruleNeedWord // the string names a need
	ruleInput
	ruleDimensions
	ruleEncoding
)

// need is a set of things that a model must be able to do. The bits are finer
// than Needs, so that each belongs to one top-level member alone.
type need uint8

const (
	needTools need = 1 << iota
	needFunctions
	needVision
	needAudio
	needDocuments
	needVoice // audio as output
	needSchema
)

// field is what is known of a member of a request. Requests are scanned along a
// tree of fields; what the tree does not name passes as it is.
type field struct {
	name     string
	kinds    kind // 0 is any
	required int  // the first so many of fields must be there
	most     int  // members or elements, where there is a bound
	rule     rule
	need     need    // set by ruleNeed; of a top-level member, all that lies below it
	fields   []field // members of the object, whose names are guarded against case variants
	each     *field  // the elements of the array, or of the object where their names are free
}

// anything is a value of which nothing is known.
var anything field

// named are fields of which only the spelling of the name is guarded.
func named(names ...string) []field {
	list := make([]field, len(names))
	for i, name := range names {
		list[i].name = name
	}
	return list
}

// root is a chat completion request: the members that a router or a provider
// acts on, the ones that every request has first.
var root = field{kinds: isObject, required: 2, fields: append([]field{
	{name: "model", kinds: isString, rule: ruleModel},
	{name: "messages", kinds: isArray, most: MaxMessages, each: &message, rule: ruleMessages, need: needVision | needAudio | needDocuments},
	{name: "stream", kinds: isBool | isNull, rule: ruleStream},
	{name: "stream_options", kinds: isObject | isNull, fields: []field{
		{name: "include_usage", kinds: isBool | isNull, rule: ruleWantsUsage},
		{name: "include_obfuscation"},
	}},
	{name: "temperature", kinds: isNumber | isNull},
	{name: "top_p", kinds: isNumber | isNull},
	{name: "max_tokens", kinds: isNumber | isNull, rule: ruleMaxTokens},
	{name: "max_completion_tokens", kinds: isNumber | isNull, rule: ruleMaxCompletion},
	{name: "n", kinds: isNumber | isNull, rule: ruleN},
	{name: "tools", kinds: isArray | isNull, each: &tool, rule: ruleNeed, need: needTools},
	{name: "functions", kinds: isArray | isNull, each: &function, rule: ruleNeed, need: needFunctions},
	{name: "response_format", kinds: isObject | isNull, need: needSchema, fields: []field{
		{name: "type", kinds: isString, rule: ruleNeedWord},
		{name: "json_schema"},
	}},
	{name: "modalities", kinds: isArray | isNull, need: needVoice, each: &field{kinds: isString, rule: ruleNeedWord}},
	{name: "user", kinds: isString | isNull, rule: ruleNoNUL},
	{name: "safety_identifier", kinds: isString | isNull, rule: ruleNoNUL},
	{name: "metadata", kinds: isObject | isNull, most: MaxMetadata, each: &field{kinds: isString, rule: ruleNoNUL}},
	{name: "api_base", rule: ruleRefused},
	{name: "base_url", rule: ruleRefused},
	{name: "custom_host", rule: ruleRefused},
	{name: "extra_body", rule: ruleRefused},
	{name: "best_of", rule: ruleRefused},
}, named("tool_choice", "parallel_tool_calls", "function_call", "stop", "seed", "reasoning_effort", "reasoning",
	"frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs", "audio", "prediction",
	"service_tier", "store", "verbosity", "web_search_options", "prompt_cache_key", "prompt_cache_retention",
	"prompt_cache_options", "moderation", "thinking", "models", "provider")...)}

var message = field{kinds: isObject, required: 1, rule: ruleMessage, fields: append([]field{
	{name: "role", kinds: isString, rule: ruleRole},
	{name: "content", kinds: isString | isArray | isNull, each: &part},
	{name: "name", kinds: isString | isNull, rule: ruleName},
	{name: "tool_calls", kinds: isArray | isNull, each: &tool},
	{name: "function_call", kinds: isObject | isNull, fields: function.fields},
}, named("tool_call_id", "refusal", "audio", "reasoning", "reasoning_content", "reasoning_details", "prefix", "cache_control")...)}

var part = field{kinds: isObject, required: 1, fields: append([]field{
	{name: "type", kinds: isString, rule: ruleNeedWord},
	{name: "text", kinds: isString | isNull},
	{name: "image_url", kinds: isObject | isString | isNull, rule: ruleNeed, need: needVision, fields: named("url", "detail")},
	{name: "input_audio", kinds: isObject | isString | isNull, rule: ruleNeed, need: needAudio, fields: named("data", "format")},
	{name: "file", kinds: isObject | isNull, rule: ruleNeed, need: needDocuments, fields: named("file_data", "file_id", "filename")},
}, named("refusal", "document_url", "file_url", "video_url", "cache_control")...)}

// tool is an element of tools, and of tool_calls: both say what they are in "type"
// and hold the rest in a member of that name.
var tool = field{kinds: isObject, fields: append([]field{
	{name: "function", kinds: isObject | isNull, fields: function.fields},
	{name: "custom", kinds: isObject | isNull, fields: named("name", "description", "format", "input")},
}, named("type", "id", "index", "cache_control")...)}

var function = field{kinds: isObject, fields: named("name", "description", "parameters", "strict", "arguments")}

// words are the strings by which a content part, a modality or a response format
// asks for an ability.
var words = []struct {
	word string
	need need
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
