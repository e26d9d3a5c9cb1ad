package chat_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

func set(name, value string) jsonraw.Member {
	return jsonraw.Member{Name: name, Value: json.RawMessage(value)}
}

func TestEdit(t *testing.T) {
	const spaced = "{ \"model\" : \"m\",\n  \"x\": 1.0e0 ,\n\t\"messages\": [{\"role\":\"user\"}] , \"y\":{ } }\n"
	tests := []struct {
		name, body string
		set        []jsonraw.Member
		drop       []string
		want       string
	}{
		{"nothing", spaced, nil, nil, spaced},
		{
			"replace", spaced,
			[]jsonraw.Member{set("model", ` "n" `)},
			nil,
			"{ \"model\" : \"n\",\n  \"x\": 1.0e0 ,\n\t\"messages\": [{\"role\":\"user\"}] , \"y\":{ } }\n",
		},
		{
			"add", spaced,
			[]jsonraw.Member{set("max_tokens", "5"), set(`a"b`, "null")},
			nil,
			"{ \"model\" : \"m\",\n  \"x\": 1.0e0 ,\n\t\"messages\": [{\"role\":\"user\"}] , \"y\":{ " +
				"},\"max_tokens\":5,\"a\\\"b\":null }\n",
		},
		{"drop the first", spaced, nil, []string{"model"}, "{ \"x\": 1.0e0 ,\n\t\"messages\": [{\"role\":\"user\"}] , \"y\":{ } }\n"},
		{"drop one between", spaced, nil, []string{"x"}, "{ \"model\" : \"m\" ,\n\t\"messages\": [{\"role\":\"user\"}] , \"y\":{ } }\n"},
		{"drop the last", spaced, nil, []string{"y"}, "{ \"model\" : \"m\",\n  \"x\": 1.0e0 ,\n\t\"messages\": [{\"role\":\"user\"}] }\n"},
		{"drop the first two", spaced, nil, []string{"x", "model"}, "{ \"messages\": [{\"role\":\"user\"}] , \"y\":{ } }\n"},
		{"drop the last two", spaced, nil, []string{"y", "messages"}, "{ \"model\" : \"m\",\n  \"x\": 1.0e0 }\n"},
		{"drop all", spaced, nil, []string{"y", "messages", "x", "model"}, "{  }\n"},
		{"drop all, add one", spaced, []jsonraw.Member{set("z", "1")}, []string{"y", "messages", "x", "model"}, "{ \"z\":1 }\n"},
		{"drop what is not there", spaced, nil, []string{"z", "Model", ""}, spaced},
		{
			"drop and replace", spaced,
			[]jsonraw.Member{set("x", "2")},
			[]string{"x", "model"},
			"{ \"x\": 2 ,\n\t\"messages\": [{\"role\":\"user\"}] , \"y\":{ } }\n",
		},
		{
			"drop the last, add", spaced,
			[]jsonraw.Member{set("z", "1")},
			[]string{"y"},
			"{ \"model\" : \"m\",\n  \"x\": 1.0e0 ,\n\t\"messages\": [{\"role\":\"user\"}],\"z\":1 }\n",
		},
		{
			"twice", spaced,
			[]jsonraw.Member{set("x", "1"), set("z", "1"), set("x", "2"), set("z", "2")},
			[]string{"y"},
			"{ \"model\" : \"m\",\n  \"x\": 2 ,\n\t\"messages\": [{\"role\":\"user\"}],\"z\":2 }\n",
		},
		{
			"an escaped name", `{"mod\u0065l":"m",` + messages + `}`,
			[]jsonraw.Member{set("model", `"n"`)},
			nil,
			`{"mod\u0065l":"n",` + messages + `}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := parse(t, tt.body)
			next, err := r.Edit(tt.set, tt.drop...)
			if err != nil || string(next.Body()) != tt.want {
				t.Fatalf("%q, %v; want %q", next.Body(), err, tt.want)
			}
			if string(r.Body()) != tt.body {
				t.Error("the request itself was changed")
			}
			same(t, next)
		})
	}
}

// same checks that an edited request reads the same as a parsed one.
func same(t *testing.T, r *chat.Request) {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(r.Body(), &members); err != nil {
		t.Fatal(err)
	}
	for name, value := range members {
		if got := r.Get(name); string(got) != string(value) {
			t.Errorf("%q is %q in the index and %q in the body", name, got, value)
		}
	}
	if members["model"] == nil || members["messages"] == nil {
		return // it cannot be parsed again
	}
	p, err := chat.ParseRequest(r.Body())
	if err != nil {
		t.Fatal(err)
	}
	if view(p) != view(r) {
		t.Errorf("edited %+v\nparsed %+v", view(r), view(p))
	}
}

// views is everything that can be read from a request.
type views struct {
	model, user, messages string
	stream, usage         bool
	n, max                int64
	needs                 chat.Needs
}

func view(r *chat.Request) views {
	v := views{
		model: r.Model(), user: r.EndUser(), stream: r.Stream(), usage: r.WantsUsage(),
		n: r.N(), max: r.MaxOutput(), needs: r.Needs(),
	}
	for m := range r.Messages() {
		v.messages += string(m.Raw) + string(m.Role) + string(m.Name) + "\n"
	}
	return v
}

func TestEditRereads(t *testing.T) {
	body := `{"model":"m","n":3,"max_tokens":7,"stream":true,"stream_options":{"include_usage":true},"tools":[{}],"functions":[{}],` +
		`"response_format":{"type":"json_schema"},"modalities":["audio"],"messages":[{"role":"user","name":"u","content":[` +
		`{"type":"image_url","image_url":{"url":"x"}},{"type":"input_audio"},{"type":"file"}]},{"role":"user"}]}`
	tests := []struct {
		set  []jsonraw.Member
		drop []string
	}{
		{[]jsonraw.Member{set("model", `"other"`)}, []string{"n"}},
		{[]jsonraw.Member{set("max_completion_tokens", "8")}, []string{"max_tokens", "stream"}},
		{[]jsonraw.Member{set("max_tokens", "null"), set("max_completion_tokens", "8")}, nil},
		{[]jsonraw.Member{
			set("response_format", `{"type":"json_schema"}`), set("modalities", `["audio"]`),
			set("stream_options", `{"include_usage":true}`),
		}, nil},
		{nil, []string{"stream_options", "tools"}},
		{nil, []string{"tools", "functions"}},
		{[]jsonraw.Member{set("functions", "[]"), set("tools", "null")}, nil},
		{[]jsonraw.Member{set("messages", `[{"name":"x","role":"user","content":"hi"}]`)}, nil},
		{[]jsonraw.Member{set("modalities", `["text"]`), set("response_format", `{"type":"text"}`)}, nil},
		{[]jsonraw.Member{set("messages", `[{"role":"user","content":[{"type":"file"}]}]`)}, []string{"modalities"}},
	}
	for _, tt := range tests {
		r, err := parse(t, body).Edit(tt.set, tt.drop...)
		if err != nil {
			t.Fatal(err)
		}
		same(t, r)
	}
	r, err := parse(t, with(`"n":1`)).Edit([]jsonraw.Member{set("response_format", `{"type":"json_schema"}`), set("tools", `[{}]`)})
	if err != nil || !r.Needs().JSONSchema || !r.Needs().Tools {
		t.Errorf("%+v, %v", r.Needs(), err)
	}
	r = parse(t, body).Without("model", "messages", "n", "max_tokens", "stream", "stream_options", "tools", "functions", "response_format",
		"modalities")
	if got := view(r); got != (views{n: 1}) || string(r.Body()) != "{}" {
		t.Errorf("%+v %s", got, r.Body())
	}
}

func TestEditRefuses(t *testing.T) {
	r := parse(t, with(`"max_tokens":5`))
	for _, m := range []jsonraw.Member{
		set("model", `5`), set("model", ``), set("x", `{`), set("x", `1 2`), set("x", `{"a":1,"a":2}`), set("x", "\"\xff\""),
		set("n", "0"), set("MODEL", `"m"`), set("max_completion_tokens", "5"), set("api_base", `"x"`), set("\xff", "1"),
		set("messages", "[]"),
	} {
		next, err := r.Edit([]jsonraw.Member{m})
		var fe *chat.FieldError
		if next != nil || !errors.As(err, &fe) {
			t.Errorf("%s = %s: %v", m.Name, m.Value, err)
		}
	}
	deep := strings.Repeat("[", 63) + strings.Repeat("]", 63)
	if _, err := r.Edit([]jsonraw.Member{set("x", deep)}); err != nil {
		t.Error(err)
	}
	if _, err := r.Edit([]jsonraw.Member{set("x", "["+deep+"]")}); err == nil {
		t.Error("65 levels")
	}
	if _, err := parse(t, with(many(998))).With("x", 1); err == nil {
		t.Error("1,001 members")
	}
	if _, err := r.With("x", make(chan int)); err == nil {
		t.Error("a channel is no JSON")
	}
}

func TestWith(t *testing.T) {
	r, err := parse(t, with(`"n":1`)).With("model", `a"b<c>`)
	if err != nil || r.Model() != `a"b<c>` {
		t.Fatalf("%q, %v", r.Model(), err)
	}
	same(t, r)
}
