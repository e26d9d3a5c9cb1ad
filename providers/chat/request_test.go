package chat_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/providers/chat"
)

const messages = `"messages":[{"role":"user","content":"hi"}]`

// with returns a request with more members in front.
func with(members string) string { return `{` + members + `,"model":"m",` + messages + `}` }

// inMessage returns a request with more members in its one message.
func inMessage(members string) string {
	return `{"model":"m","messages":[{"role":"user",` + members + `}]}`
}

func parse(t *testing.T, body string) *chat.Request {
	t.Helper()
	r, err := chat.ParseRequest([]byte(body))
	if err != nil {
		t.Fatalf("%.200s: %v", body, err)
	}
	return r
}

// refusal is a body that must be refused, and how.
type refusal struct {
	name, body, code, param string
}

func refused(t *testing.T, tests []refusal) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := chat.ParseRequest([]byte(tt.body))
			var fe *chat.FieldError
			if r != nil || !errors.As(err, &fe) {
				t.Fatalf("accepted, %v", err)
			}
			if fe.Code != tt.code || fe.Param != tt.param {
				t.Errorf("%s at %q (%s), want %s at %q", fe.Code, fe.Param, fe.Message, tt.code, tt.param)
			}
			if fe.Message == "" || len(fe.Message)+len(fe.Param) > 400 {
				t.Errorf("message of %d bytes", len(fe.Message))
			}
		})
	}
}

func TestBodyThatIsNotJSONIsRefused(t *testing.T) {
	refused(t, []refusal{
		{"empty", ``, "invalid_json", ""},
		{"white space", " \n", "invalid_json", ""},
		{"an array", `[` + with(`"n":1`) + `]`, "invalid_json", ""},
		{"a string", `"model"`, "invalid_json", ""},
		{"null", `null`, "invalid_json", ""},
		{"trailing object", with(`"n":1`) + `{}`, "invalid_json", ""},
		{"trailing comma", `{"model":"m",` + messages + `,}`, "invalid_json", ""},
		{"trailing comma in an array", with(`"stop":["a",]`), "invalid_json", "stop[1]"},
		{"two commas", `{"model":"m",,` + messages + `}`, "invalid_json", ""},
		{"byte order mark", "\xef\xbb\xbf" + with(`"n":1`), "invalid_json", ""},
		{"comment", with(`"n":1/* one */`), "invalid_json", ""},
		{"line comment", "// hi\n" + with(`"n":1`), "invalid_json", ""},
		{"single quotes", `{'model':"m"}`, "invalid_json", ""},
		{"no quotes", `{model:"m"}`, "invalid_json", ""},
		{"NaN", with(`"temperature":NaN`), "invalid_json", "temperature"},
		{"Infinity", with(`"temperature":-Infinity`), "invalid_json", "temperature"},
		{"1e999", with(`"temperature":1e999`), "invalid_value", "temperature"},
		{"-1e999 deep down", with(`"x":{"y":[0,-1e999]}`), "invalid_value", "x.y[1]"},
		{"a number of 400 digits", with(`"x":` + strings.Repeat("9", 400)), "invalid_value", "x"},
		{"leading zero", with(`"seed":01`), "invalid_json", "seed"},
		{"leading plus", with(`"seed":+1`), "invalid_json", "seed"},
		{"no digits before the point", with(`"seed":.5`), "invalid_json", "seed"},
		{"no digits behind the point", with(`"seed":1.`), "invalid_json", "seed"},
		{"no digits in the exponent", with(`"seed":1e+`), "invalid_json", "seed"},
		{"hexadecimal", with(`"seed":0x1`), "invalid_json", ""},
		{"minus alone", with(`"seed":-`), "invalid_json", "seed"},
		{"True", with(`"stream":True`), "invalid_json", "stream"},
		{"tru", with(`"stream":tru`), "invalid_json", "stream"},
		{"raw line feed in a string", with("\"user\":\"a\nb\""), "invalid_json", "user"},
		{"raw NUL in a string", with("\"user\":\"a\x00b\""), "invalid_json", "user"},
		{"unknown escape", with(`"user":"\x41"`), "invalid_json", "user"},
		{"short escape", with(`"user":"\u12"`), "invalid_json", "user"},
		{"invalid UTF-8", with("\"user\":\"a\xffb\""), "invalid_json", ""},
		{"overlong UTF-8", with("\"user\":\"\xc0\xaf\""), "invalid_json", ""},
		{"UTF-8 of a surrogate", with("\"user\":\"\xed\xa0\x80\""), "invalid_json", ""},
		{"invalid UTF-8 deep down", inMessage("\"content\":\"\xf5\""), "invalid_json", ""},
		{"lone high surrogate", with(`"user":"\ud800"`), "invalid_json", "user"},
		{"lone low surrogate", inMessage(`"content":"\uDC00 "`), "invalid_json", "messages[0].content"},
		{"two high surrogates", with(`"x":{"y":"\ud83d\ud83d"}`), "invalid_json", "x.y"},
		{"two low surrogates", with(`"user":"\udc00\udc00"`), "invalid_json", "user"},
		{"lone surrogate in a name", with(`"\ud83d":1`), "invalid_json", ""},
		{"cut in a string", with(`"n":1`)[:30], "invalid_json", "messages"},
		{"cut behind a colon", `{"model":`, "invalid_json", "model"},
		{"cut behind a name", `{"model"`, "invalid_json", ""},
		{"cut in an array", `{"model":"m","messages":[`, "invalid_json", "messages"},
		{"UTF-16", "{\x00\"\x00", "invalid_json", ""},
		{
			"depth 65", with(`"x":` + strings.Repeat("[", 64) + strings.Repeat("]", 64)), "invalid_json",
			"x" + strings.Repeat("[0]", 42) + "[",
		},
		{"depth 10,001", strings.Repeat(`{"a":`, 10_001), "invalid_json", strings.Repeat("a.", 63) + "a"},
		{"depth 10,001 of arrays", with(`"x":` + strings.Repeat("[", 10_000)), "invalid_json", "x" + strings.Repeat("[0]", 42) + "["},
		{"1,001 members", with(`"x":{` + many(1001) + `}`), "invalid_value", "x"},
		{"1,001 members at the top", with(many(999)), "invalid_value", ""},
		{
			"16,385 messages", `{"model":"m","messages":[{"role":"user"}` + strings.Repeat(`,{"role":"user"}`, 16384) + `]}`,
			"invalid_value",
			"messages[16384]",
		},
		{"parts of a message", inMessage(`"content":[{"type":"text","text":"a"}` + strings.Repeat(`,{"type":"text","text":"a"}`, 16384) +
			`]`), "invalid_value", "messages[0].content[16384]"},
		{
			"calls of tools", inMessage(`"tool_calls":[{}` + strings.Repeat(`,{}`, 16384) + `]`), "invalid_value",
			"messages[0].tool_calls[16384]",
		},
		{
			"details of reasoning", inMessage(`"reasoning_details":[{}` + strings.Repeat(`,{}`, 16384) + `]`), "invalid_value",
			"messages[0].reasoning_details[16384]",
		},
		{
			"tools", `{"model":"m","messages":[{"role":"user"}],"tools":[{}` + strings.Repeat(`,{}`, 16384) + `]}`, "invalid_value",
			"tools[16384]",
		},
		{
			"functions", `{"model":"m","messages":[{"role":"user"}],"functions":[{}` + strings.Repeat(`,{}`, 16384) + `]}`, "invalid_value",
			"functions[16384]",
		},
		{
			"parts of all messages", `{"model":"m","messages":[{"role":"user","content":[{"type":"text"}` +
				strings.Repeat(`,{"type":"text"}`,
					9999) + `]},{"role":"user","content":[{"type":"text"}` + strings.Repeat(`,{"type":"text"}`, 9999) + `]}]}`,
			"invalid_value",
			"messages[1].content[6384]",
		},
	})
}

// many returns n members with different names.
func many(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`"k%d":%d`, i, i)
	}
	return strings.Join(list, ",")
}

// texts returns n members with string values.
func texts(n int) string {
	return strings.NewReplacer(":", `:"`, ",", `",`).Replace(many(n)) + `"`
}

func TestDuplicateMembersAreRefused(t *testing.T) {
	refused(t, []refusal{
		{"model", with(`"model":"dear"`), "duplicate_field", "model"},
		{"model, escaped", with(`"\u006dodel":"dear"`), "duplicate_field", "model"},
		{"unknown member", with(`"x":1,"x":1`), "duplicate_field", "x"},
		{"in a message", inMessage(`"role":"system"`), "duplicate_field", "messages[0].role"},
		{
			"in a tool schema", with(`"tools":[{"function":{"parameters":{"a":1,"b":2,"a":3}}}]`), "duplicate_field",
			"tools[0].function.parameters.a",
		},
		{"in an array", with(`"x":[[{"a":1},{"b":1,"b":1}]]`), "duplicate_field", "x[0][1].b"},
		{"the empty name", with(`"x":{"":1,"":1}`), "duplicate_field", "x"},
		{"among many", with(`"x":{` + many(500) + `,"k250":0}`), "duplicate_field", "x.k250"},
		{"among many, escaped", with(`"x":{` + many(500) + `,"\u006b7":0}`), "duplicate_field", "x.k7"},
		{"surrogates and bytes", with(`"x":{"😀":1,"\ud83d\ude00":1}`), "duplicate_field", "x.?"},
	})
}

func TestMembersInAnotherCaseAreRefused(t *testing.T) {
	refused(t, []refusal{
		{"MODEL", with(`"MODEL":"dear"`), "duplicate_field", "MODEL"},
		{"MODEL alone", `{"MODEL":"m",` + messages + `}`, "duplicate_field", "MODEL"},
		{"Model, escaped", with(`"\u004dodel":"dear"`), "duplicate_field", "Model"},
		{"long s", with(`"max_tokenſ":1`), "duplicate_field", "max_token?"},
		{"long s, escaped", with(`"max_token\u017f":1`), "duplicate_field", "max_token?"},
		{"Kelvin sign", with(`"max_to` + "\u212a" + `ens":1`), "duplicate_field", "max_to?ens"},
		{"what is not acted upon here but there", with(`"Seed":1`), "duplicate_field", "Seed"},
		{"in a message", inMessage(`"Content":"x"`), "duplicate_field", "messages[0].Content"},
		{
			"in a content part", inMessage(`"content":[{"type":"text","Type":"image_url"}]`), "duplicate_field",
			"messages[0].content[0].Type",
		},
		{
			"in an image", inMessage(`"content":[{"type":"image_url","image_url":{"URL":"x"}}]`), "duplicate_field",
			"messages[0].content[0].image_url.URL",
		},
		{"in stream_options", with(`"stream_options":{"Include_Usage":true}`), "duplicate_field", "stream_options.Include_Usage"},
		{"in a tool", with(`"tools":[{"Function":{}}]`), "duplicate_field", "tools[0].Function"},
		{"in a function", with(`"tools":[{"function":{"NAME":"x"}}]`), "duplicate_field", "tools[0].function.NAME"},
		{"of a refused member", with(`"API_BASE":"x"`), "duplicate_field", "API_BASE"},
	})
}

func TestMembersOfAnotherTypeAreRefused(t *testing.T) {
	refused(t, []refusal{
		{"no model", `{` + messages + `}`, "missing_field", "model"},
		{"no messages", `{"model":"m"}`, "missing_field", "messages"},
		{"model a number", `{"model":5,` + messages + `}`, "invalid_value", "model"},
		{"model null", `{"model":null,` + messages + `}`, "invalid_value", "model"},
		{"model empty", `{"model":"",` + messages + `}`, "invalid_value", "model"},
		{"model with NUL", `{"model":"m\u0000",` + messages + `}`, "invalid_value", "model"},
		{"model with a line feed", `{"model":"m\n",` + messages + `}`, "invalid_value", "model"},
		{"model with C1", `{"model":"m\u0085",` + messages + `}`, "invalid_value", "model"},
		{"model too long", `{"model":"` + strings.Repeat("m", 257) + `",` + messages + `}`, "invalid_value", "model"},
		{"user with NUL", with(`"user":"a\u0000"`), "invalid_value", "user"},
		{"user a number", with(`"user":5`), "invalid_value", "user"},
		{"safety_identifier with NUL", with(`"safety_identifier":"\u0000"`), "invalid_value", "safety_identifier"},
		{"metadata with NUL", with(`"metadata":{"a":"\u0000"}`), "invalid_value", "metadata.a"},
		{"metadata with NUL in a name", with(`"metadata":{"a\u0000":"x"}`), "invalid_value", "metadata.a?"},
		{"metadata of numbers", with(`"metadata":{"a":1}`), "invalid_value", "metadata.a"},
		{"metadata of 17", with(`"metadata":{` + texts(17) + `}`), "invalid_value", "metadata"},
		{"messages an object", `{"model":"m","messages":{}}`, "invalid_value", "messages"},
		{"messages empty", `{"model":"m","messages":[ ]}`, "invalid_value", "messages"},
		{"a message a string", `{"model":"m","messages":["hi"]}`, "invalid_value", "messages[0]"},
		{"no role", `{"model":"m","messages":[{"content":"hi"}]}`, "missing_field", "messages[0].role"},
		{"role a number", `{"model":"m","messages":[{"role":1}]}`, "invalid_value", "messages[0].role"},
		{"content a number", inMessage(`"content":5`), "invalid_value", "messages[0].content"},
		{"content an object", inMessage(`"content":{}`), "invalid_value", "messages[0].content"},
		{"a part a string", inMessage(`"content":["hi"]`), "invalid_value", "messages[0].content[0]"},
		{"a part without type", inMessage(`"content":[{"type":"text"},{"text":"hi"}]`), "missing_field", "messages[0].content[1].type"},
		{"text a number", inMessage(`"content":[{"type":"text","text":1}]`), "invalid_value", "messages[0].content[0].text"},
		{"stream a string", with(`"stream":"true"`), "invalid_value", "stream"},
		{"stream a number", with(`"stream":1`), "invalid_value", "stream"},
		{"stream_options an array", with(`"stream_options":[]`), "invalid_value", "stream_options"},
		{"include_usage a string", with(`"stream_options":{"include_usage":"yes"}`), "invalid_value", "stream_options.include_usage"},
		{"temperature a string", with(`"temperature":"5"`), "invalid_value", "temperature"},
		{"top_p an array", with(`"top_p":[1]`), "invalid_value", "top_p"},
		{"tools an object", with(`"tools":{}`), "invalid_value", "tools"},
		{"a tool a string", with(`"tools":["x"]`), "invalid_value", "tools[0]"},
		{"response_format a string", with(`"response_format":"json_schema"`), "invalid_value", "response_format"},
		{"modalities a string", with(`"modalities":"audio"`), "invalid_value", "modalities"},
	})
}

func TestClientsCannotNameTheUpstream(t *testing.T) {
	var tests []refusal
	for _, name := range []string{"api_base", "base_url", "custom_host", "extra_body"} {
		tests = append(tests, refusal{name, with(`"` + name + `":null`), "unknown_parameter", name})
	}
	refused(t, tests)
	parse(t, with(`"x":{"base_url":"http://here"}`))
}

func TestBoundsOfTheOutputAreChecked(t *testing.T) {
	bad := []string{"0", "-5", "9223372036854775807", "9223372036854775808", "9007199254740993", "1e3", "1.0", `"5"`, "true", "-0", "[1]"}
	var tests []refusal
	for _, name := range []string{"max_tokens", "max_completion_tokens", "n"} {
		for _, v := range bad {
			tests = append(tests, refusal{name + "=" + v, with(`"` + name + `":` + v), "invalid_value", name})
		}
	}
	refused(t, append(tests,
		refusal{"n = 129", with(`"n":129`), "invalid_value", "n"},
		refusal{"n = 10^6", with(`"n":1000000`), "invalid_value", "n"},
		refusal{"n above the default", with(`"n":9`), "invalid_value", "n"},
		refusal{"best_of", with(`"best_of":2`), "unknown_parameter", "best_of"},
		refusal{"both bounds", with(`"max_tokens":5,"max_completion_tokens":6`), "invalid_value", "max_tokens"},
		refusal{"both bounds, equal", with(`"max_tokens":5,"max_completion_tokens":5`), "invalid_value", "max_tokens"},
		refusal{"temperature NaN", with(`"temperature":NaN`), "invalid_json", "temperature"},
	))
	good := []struct {
		members string
		max, n  int64
	}{
		{`"max_tokens":null`, 0, 1},
		{`"max_tokens":1`, 1, 1},
		{`"max_tokens":9007199254740992`, 1 << 53, 1},
		{`"max_completion_tokens":7,"n":8`, 7, 8},
		{`"max_completion_tokens":7,"max_tokens":null,"n":null`, 7, 1},
	}
	for _, tt := range good {
		if r := parse(t, with(tt.members)); r.MaxOutput() != tt.max || r.N() != tt.n {
			t.Errorf("%s: %d tokens, %d choices", tt.members, r.MaxOutput(), r.N())
		}
	}
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	for body, want := range map[string]string{
		"\xef\xbb\xbf{}":                "byte order mark",
		with(`"user":"` + "\xff" + `"`): "UTF-8",
		with(`"MODEL":"x"`):             `read this name as "model"`,
		with(`"n":9`):                   "from 1 to 8",
		with(`"stream":1`):              "must be true, false or null",
		inMessage(`"content":1`):        "an array, a string or null",
	} {
		if _, err := chat.ParseRequest([]byte(body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", body, err, want)
		}
	}
}

func TestLimits(t *testing.T) {
	body := []byte(with(`"n":128`))
	if r, err := (chat.Limits{N: 128}).Parse(body); err != nil || r.N() != 128 {
		t.Error(err)
	}
	if _, err := (chat.Limits{N: 127}).Parse(body); err == nil {
		t.Error("n beyond the operator's bound")
	}
	two := []byte(`{"model":"m","messages":[{"role":"user","content":[{"type":"text"}]},{"role":"user","content":[{"type":"text"}]}]}`)
	if _, err := (chat.Limits{Messages: 2, Parts: 2}).Parse(two); err != nil {
		t.Error(err)
	}
	for name, l := range map[string]chat.Limits{"messages": {Messages: 1}, "parts": {Parts: 1}} {
		if _, err := l.Parse(two); err == nil {
			t.Errorf("%s beyond the operator's bound", name)
		}
	}
}

func TestRequestTellsWhatItNeeds(t *testing.T) {
	part := func(p string) string { return inMessage(`"content":[{"type":"text","text":"x"},` + p + `]`) }
	tests := []struct {
		name, body string
		want       chat.Needs
	}{
		{"text", with(`"n":1`), chat.Needs{}},
		{"stream", with(`"stream":true`), chat.Needs{Stream: true}},
		{"stream null", with(`"stream":null`), chat.Needs{}},
		{"tools", with(`"tools":[{"type":"function","function":{"name":"f"}}]`), chat.Needs{Tools: true}},
		{"200 tools", with(`"tools":[{}` + strings.Repeat(`,{}`, 199) + `]`), chat.Needs{Tools: true}},
		{"no tools", with(`"tools":[ ],"functions":null`), chat.Needs{}},
		{"functions", with(`"functions":[{"name":"f"}]`), chat.Needs{Tools: true}},
		{"response_format text", with(`"response_format":{"type":"text"}`), chat.Needs{}},
		{"response_format json_object", with(`"response_format":{"type":"json_object"}`), chat.Needs{}},
		{
			"response_format json_schema", with(`"response_format":{"type":"json_schema","json_schema":{"name":"x"}}`),
			chat.Needs{JSONSchema: true},
		},
		{"json_schema, escaped", with(`"response_format":{"type":"json\u005fschema"}`), chat.Needs{JSONSchema: true}},
		{"image", part(`{"type":"image_url","image_url":{"url":"https://x","detail":"high"}}`), chat.Needs{Vision: true}},
		{"image of another name", part(`{"type":"text","image_url":"https://x"}`), chat.Needs{Vision: true}},
		{"image null", part(`{"type":"text","image_url":null}`), chat.Needs{}},
		{
			"image of 20 MB", part(`{"type":"image_url","image_url":{"url":"data:image/png;base64,` + strings.Repeat("A", 20<<20) + `"}}`),
			chat.Needs{Vision: true},
		},
		{"video", part(`{"type":"video_url","video_url":{"url":"https://x"}}`), chat.Needs{Vision: true}},
		{"audio", part(`{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}`), chat.Needs{Audio: true}},
		{"audio as output", with(`"modalities":["text","audio"],"audio":{"voice":"x","format":"wav"}`), chat.Needs{Audio: true}},
		{"text as output", with(`"modalities":["text"]`), chat.Needs{}},
		{"file", part(`{"type":"file","file":{"file_id":"x"}}`), chat.Needs{Documents: true}},
		{"document", part(`{"type":"document_url","document_url":"https://x"}`), chat.Needs{Documents: true}},
		{"a word in the wrong place", part(`{"type":"audio"},{"type":"json_schema"}`), chat.Needs{}},
		{"a word elsewhere", with(`"stop":"image_url","user":"json_schema","x":{"type":"input_audio"}`), chat.Needs{}},
		{"predicted output and effort", with(`"prediction":{"type":"content","content":"x"},"reasoning_effort":"high"`), chat.Needs{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := parse(t, tt.body).Needs(); got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestAccepted(t *testing.T) {
	for name, body := range map[string]string{
		"schema with Name and name": with(`"tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"Name":{},` +
			`"name":{},"MODEL":{}}}}}]`),
		"unknown members":     with(`"Foo":1,"foo":2,"x-y":{"a":null}`),
		"metadata of 16":      with(`"metadata":{` + texts(16) + `}`),
		"metadata with Model": with(`"metadata":{"Model":"x","model":"y"}`),
		"every escape":        with(`"x":"\"\\\/\b\f\n\r\t\u0041\ud83d\ude00"`),
		"every number":        with(`"x":[0,-0,1.5,-1.5e-7,1E+3,123456789012345678901234567890]`),
		"tiny numbers":        with(`"x":1e-999`),
		"depth 64":            with(`"x":` + strings.Repeat("[", 63) + strings.Repeat("]", 63)),
		"1,000 members":       with(`"x":{` + many(1000) + `}`),
		"2,048 messages":      `{"model":"m","messages":[{"role":"user"}` + strings.Repeat(`,{"role":"user"}`, 2047) + `]}`,
		"white space":         " {\t\"model\" :\r\n\"m\" , \"messages\":[ {\"role\":\"user\" } ] }\n ",
		"nulls": with(`"stream":null,"stream_options":null,"temperature":null,"top_p":null,"n":null,"tools":null,` +
			`"user":null,"metadata":null,"response_format":null`),
		"content null": inMessage(`"content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f",` +
			`"arguments":"{}"}}]`),
		"NUL in a prompt":            inMessage(`"content":"\u0000"`),
		"U+FFFD":                     with(`"user":"�"`),
		"a model of 256 bytes":       `{"model":"` + strings.Repeat("m", 256) + `",` + messages + `}`,
		"empty messages of any role": `{"model":"m","messages":[{"role":"alien"},{"role":""}]}`,
	} {
		t.Run(name, func(t *testing.T) { parse(t, body) })
	}
}

func TestAccessors(t *testing.T) {
	r := parse(t, `{"\u006dodel":"gpt\u002d4o","stream":true,"stream_options":{"include_usage":true},`+
		`"user":"u\n1","n":2,"max_tokens":9,"tools":null,"response_format":{"type":"text"},"a\"b":1,`+messages+`}`)
	if r.Model() != "gpt-4o" || !r.Stream() || !r.WantsUsage() || r.N() != 2 || r.MaxOutput() != 9 || r.EndUser() != "u 1" {
		t.Errorf("%q %v %v %d %d %q", r.Model(), r.Stream(), r.WantsUsage(), r.N(), r.MaxOutput(), r.EndUser())
	}
	for name, want := range map[string]string{
		"model": `"gpt\u002d4o"`, "n": "2", "tools": "null", `a"b`: "1", "Model": "", `a\`: "", "": "",
		"messages": messages[len(`"messages":`):],
	} {
		if got := string(r.Get(name)); got != want {
			t.Errorf("%q is %s, want %s", name, got, want)
		}
	}
	if r.Tools() != nil || string(r.ResponseFormat()) != `{"type":"text"}` {
		t.Errorf("%s %s", r.Tools(), r.ResponseFormat())
	}
}

func TestMembers(t *testing.T) {
	const object = `{"model":"m","x\n":{"a":1} ,` + messages + `,"y":null}`
	var got []string
	for name, value := range parse(t, object).Without("x\n").Members() {
		if got = append(got, string(name)+"="+string(value)); string(name) == "messages" {
			break
		}
	}
	if want := []string{`model="m"`, messages[1:9] + "=" + messages[11:]}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for name := range parse(t, object).Members() {
		got = append(got, string(name))
	}
	if want := []string{"model", "x\n", "messages", "y"}; !slices.Equal(got[2:], want) {
		t.Errorf("%q, want %q", got[2:], want)
	}
}

func TestEndUser(t *testing.T) {
	for members, want := range map[string]string{
		`"n":1`:                                      "",
		`"user":null`:                                "",
		`"user":"a","safety_identifier":"b"`:         "b",
		`"user":"a","safety_identifier":null`:        "a",
		`"user":"\u001b[31m\u2028x"`:                 " [31m\u2028x",
		`"user":"` + strings.Repeat("é", 200) + `"`:  strings.Repeat("é", 128),
		`"user":"x` + strings.Repeat("é", 200) + `"`: "x" + strings.Repeat("é", 127),
	} {
		if got := parse(t, with(members)).EndUser(); got != want {
			t.Errorf("%s: %q, want %q", members, got, want)
		}
	}
}

// A body made of objects with as many members as allowed must not take time quadratic in
// their number.
func TestManyNamesAreCheap(t *testing.T) {
	body := []byte(with(`"x":[{` + many(1000) + `}` + strings.Repeat(`,{`+many(1000)+`}`, 300) + `]`))
	start := time.Now()
	if _, err := chat.ParseRequest(body); err != nil {
		t.Fatal(err)
	}
	prove.Within(t, fmt.Sprintf("a body of %d bytes", len(body)), time.Since(start), 2*time.Second)
}
