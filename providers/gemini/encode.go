package gemini

import (
	"net/url"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// Encode writes a generateContent call.
func (a completions) Encode(x providers.Exchange) (providers.Call, error) {
	// A stream that is not asked for as events is one JSON array.
	format := translate.Format{Path: a.path(x), Tools: true, Effort: true, Reasoning: true, Extra: true, JSONStream: true}
	return translate.Encode(x, format, func(r *translate.Request) ([]byte, error) {
		e := encoder{completions: a, Request: r}
		return e.body()
	})
}

// path is where a model is called. Streams are asked for as events; without that
// they would be one JSON array.
func (a completions) path(x providers.Exchange) string {
	model := strings.TrimPrefix(x.Target.Upstream, "models/")
	at := a.Models + url.PathEscape(model)
	if tuned, ok := strings.CutPrefix(model, "tunedModels/"); ok {
		at = "/tunedModels/" + url.PathEscape(tuned)
	}
	if x.Request.Stream() {
		return at + ":streamGenerateContent?alt=sse"
	}
	return at + ":generateContent"
}

// encoder gathers the parts of a request.
type encoder struct {
	completions
	*translate.Request

	system, turns [][]byte
	tools         [][]byte
	top, config   jsonraw.Object // of the request, and its generationConfig
	calling       jsonraw.Object // functionCallingConfig
	thought       bool           // thinkingConfig is there in Google's own words
}

func (e *encoder) body() ([]byte, error) {
	if err := e.contents(); err != nil {
		return nil, err
	}
	if err := e.Options(e.options()); err != nil {
		return nil, err
	}
	if err := e.declare(); err != nil {
		return nil, err
	}
	if n := e.Bound(); n > 0 {
		e.config.Int("maxOutputTokens", n)
	}
	if err := e.thinking(); err != nil {
		return nil, err
	}
	var o jsonraw.Object
	o.Raw("contents", jsonraw.Array(e.turns))
	if len(e.system) > 0 {
		o.Raw("systemInstruction", jsonraw.One("parts", jsonraw.Array(e.system)))
	}
	o.Array("tools", e.tools)
	if !e.calling.Empty() && len(e.tools) > 0 {
		o.Raw("toolConfig", jsonraw.One("functionCallingConfig", e.calling.Bytes()))
	}
	o.Object("generationConfig", e.config)
	o.Join(e.top)
	return o.Bytes(), nil
}

// thinking says how much is to be thought. Since the third generation models are
// told a level, those before it a budget of tokens.
func (e *encoder) thinking() error {
	effort := e.Effort()
	if !effort.Asked || e.thought {
		return nil
	}
	budget, known := budgets[effort.Level]
	var o jsonraw.Object
	switch {
	case effort.Budget > 0:
		o.Int("thinkingBudget", effort.Budget)
	case effort.Level == "":
	case !known:
		return &chat.FieldError{Code: "unsupported_parameter", Param: "reasoning_effort", Message: "is no effort that this model can be asked for"}
	case second(e.Model()):
		o.Int("thinkingBudget", budget)
	default:
		o.Text("thinkingLevel", levels[effort.Level])
	}
	if effort.Level != "none" && !effort.Hidden {
		o.Word("includeThoughts", "true")
	}
	e.config.Object("thinkingConfig", o)
	return nil
}

// What Google's own OpenAI endpoint makes of reasoning_effort.
var (
	budgets = map[string]int64{"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576, "max": 24576}
	levels  = map[string]string{
		"none": "MINIMAL", "minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "HIGH", "max": "HIGH",
	}
)

// second reports a model of the generations that have a budget.
func second(model string) bool {
	return strings.Contains(model, "gemini-2") || strings.Contains(model, "gemini-1") || strings.Contains(model, "robotics-er")
}

// third reports a model that refuses calls of functions without a signature.
func third(model string) bool {
	_, version, ok := strings.Cut(model, "gemini-")
	return ok && version != "" && '3' <= version[0] && version[0] <= '9'
}

// options are the top-level members that have a word in the format.
func (e *encoder) options() map[string]translate.Option {
	config := func(name string) translate.Option {
		return func(value []byte) error { e.config.Raw(name, value); return nil }
	}
	top := func(name string) translate.Option {
		return func(value []byte) error { e.top.Raw(name, value); return nil }
	}
	options := map[string]translate.Option{
		"temperature": config("temperature"), "top_p": config("topP"), "top_k": config("topK"), "seed": config("seed"),
		"frequency_penalty": config("frequencyPenalty"), "presence_penalty": config("presencePenalty"),
		"n": config("candidateCount"), "logprobs": config("responseLogprobs"), "top_logprobs": config("logprobs"),
		"stop":            func(value []byte) error { e.config.Array("stopSequences", translate.Strings(value)); return nil },
		"response_format": e.responseFormat, "modalities": e.modalities, "audio": e.voice,
		"image_config": config("imageConfig"), "speech_config": config("speechConfig"),
		"tool_choice": e.toolChoice, "web_search_options": e.webSearch,
		"safety_settings": top("safetySettings"), "cached_content": top("cachedContent"),
		"google": e.google, "thinking_config": e.thinkingConfig,
	}
	if e.Vertex {
		options["labels"] = top("labels")
	} else {
		options["store"] = top("store")
	}
	return options
}

// google is what clients of Google's OpenAI endpoint say beside its format.
func (e *encoder) google(value []byte) error {
	for name, v := range jsonraw.Each(value) {
		switch string(name) {
		case "safety_settings", "safetySettings":
			e.top.Raw("safetySettings", v)
		case "cached_content", "cachedContent":
			e.top.Raw("cachedContent", v)
		case "thinking_config", "thinkingConfig":
			_ = e.thinkingConfig(v) // it takes all
		default:
			e.Lose("google." + string(name))
		}
	}
	return nil
}

// thinkingConfig passes under the names of Google's JSON.
func (e *encoder) thinkingConfig(value []byte) error {
	var o jsonraw.Object
	for name, v := range jsonraw.Each(value) {
		switch string(name) {
		case "include_thoughts":
			name = []byte("includeThoughts")
		case "thinking_budget":
			name = []byte("thinkingBudget")
		case "thinking_level":
			name = []byte("thinkingLevel")
		}
		o.Raw(string(name), v)
	}
	e.config.Object("thinkingConfig", o)
	e.thought = true
	return nil
}

func (e *encoder) responseFormat(value []byte) error {
	f, err := translate.ReadAnswerFormat(value)
	if err == nil && f.JSON {
		e.config.Raw("responseJsonSchema", f.Schema)
		e.config.Text("responseMimeType", "application/json")
	}
	return err
}

func (e *encoder) modalities(value []byte) error {
	var list [][]byte
	for m := range jsonraw.Elements(value) {
		list = append(list, jsonraw.Quote(strings.ToUpper(jsonraw.Text(m))))
	}
	e.config.Array("responseModalities", list)
	return nil
}

// voice is who speaks. In which format is Google's choice.
func (e *encoder) voice(value []byte) error {
	voice := jsonraw.Lookup(value, "voice")
	if voice == nil {
		return translate.ErrLost
	}
	prebuilt := jsonraw.One("prebuiltVoiceConfig", jsonraw.One("voiceName", voice))
	e.config.Raw("speechConfig", jsonraw.One("voiceConfig", prebuilt))
	if jsonraw.Lookup(value, "format") != nil {
		e.Lose("audio.format")
	}
	return nil
}

func (e *encoder) webSearch(value []byte) error {
	e.tools = append(e.tools, []byte(`{"googleSearch":{}}`))
	for name := range jsonraw.Each(value) {
		e.Lose("web_search_options." + string(name))
	}
	return nil
}
