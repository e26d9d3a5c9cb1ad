package gemini

import (
	"net/url"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// Encode writes a generateContent call.
func (a completions) Encode(x providers.Exchange) (providers.Call, error) {
	// A stream that is not requested as events is one JSON array.
	format := translate.Format{Path: a.path(x), Tools: true, Effort: true, Reasoning: true, Extra: true, Images: true, JSONStream: true}
	return translate.Encode(x, format, func(r *translate.Request) ([]byte, error) {
		e := encoder{completions: a, Request: r}
		return e.body()
	})
}

// path returns the path to call a model. Streams are requested as events; otherwise they
// would be one JSON array.
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

// encoder collects the parts of a request.
type encoder struct {
	completions
	*translate.Request

	system, turns [][]byte
	tools         [][]byte
	top, config   jsonraw.Object // of the request, and its generationConfig
	calling       jsonraw.Object // functionCallingConfig
	thought       []byte         // thinkingConfig, as the client wrote it in Google's own terms
	answer        translate.AnswerFormat
	functions     bool // some are declared
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
	e.answerFormat()
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

// options returns the handlers of the top-level members that the format can express.
func (e *encoder) options() map[string]translate.Option {
	config := func(name string) translate.Option {
		return func(value []byte) error { e.config.Raw(name, value); return nil }
	}
	top := func(name string) translate.Option {
		return func(value []byte) error { e.top.Raw(name, value); return nil }
	}
	options := map[string]translate.Option{
		"temperature": config("temperature"), "top_p": config("topP"), "top_k": config("topK"), "seed": config("seed"),
		"frequency_penalty": e.penalty("frequencyPenalty"), "presence_penalty": e.penalty("presencePenalty"),
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

// penalty applies only to models before 2.5; later ones refuse it.
func (e *encoder) penalty(name string) translate.Option {
	return func(value []byte) error {
		if versionOf(e.Model()) >= 205 {
			return translate.ErrLost
		}
		e.config.Raw(name, value)
		return nil
	}
}

// google reads the extensions that Google's own OpenAI endpoint accepts.
func (e *encoder) google(value []byte) error {
	for name, v := range jsonraw.Each(value) {
		switch string(name) {
		case "safety_settings", "safetySettings":
			e.top.Raw("safetySettings", v)
		case "cached_content", "cachedContent":
			e.top.Raw("cachedContent", v)
		case "thinking_config", "thinkingConfig":
			_ = e.thinkingConfig(v) // it accepts everything
		default:
			e.Lose("google." + string(name))
		}
	}
	return nil
}

// thinkingConfig only stores the value; it is evaluated once everything else is known.
func (e *encoder) thinkingConfig(value []byte) error {
	e.thought = value
	return nil
}

func (e *encoder) responseFormat(value []byte) (err error) {
	e.answer, err = translate.ReadAnswerFormat(value)
	return err
}

// answerFormat writes the format of the answer. Models before 3 refuse it beside functions, and
// are told it in words.
func (e *encoder) answerFormat() {
	if !e.answer.JSON {
		return
	}
	if e.functions && versionOf(e.Model()) < 300 {
		e.Lose("response_format")
		words := translate.OnlyJSON
		if e.answer.Schema != nil {
			words += " It must match this JSON Schema: " + string(e.answer.Schema)
		}
		e.system = append(e.system, jsonraw.One("text", jsonraw.Quote(words)))
		return
	}
	if e.answer.Schema != nil {
		e.config.Raw("responseJsonSchema", e.Schema("response_format", subset(), e.answer.Schema))
	}
	e.config.Text("responseMimeType", "application/json")
}

func (e *encoder) modalities(value []byte) error {
	var list [][]byte
	for m := range jsonraw.Elements(value) {
		list = append(list, jsonraw.Quote(strings.ToUpper(jsonraw.Text(m))))
	}
	e.config.Array("responseModalities", list)
	return nil
}

// voice sets the voice. Google chooses the audio format.
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
