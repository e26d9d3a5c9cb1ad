package chat_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

var requests = []string{
	`{"model":"m","messages":[{"role":"user","content":"hi"}]}`,
	`{ "model" : "m\u00e9" , "messages":[{"role":"system","content":null,"name":"n"},{"role":"user","content":[{"type":"text",` +
		`"text":"a\n\ud83d\ude00"}]}],"stream":true }`,
	`{"stream_options":{"include_usage":true},"n":2,"max_tokens":5,"temperature":1e-3,"model":"m","messages":[{"role":"user"}],` +
		`"tools":[{"function":{"name":"f"}}]}`,
	`{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:x","detail":"low"}}]}],` +
		`"metadata":{"a":"b"},"user":"u"}`,
	`{"model":"m","messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}],"max_completion_tokens":7,` +
		`"response_format":{"type":"json_schema"}}`,
	`{"model":"m","model":"n","messages":[{"role":"user"}]}`, `{"MODEL":"m","max_tokenſ":1}`, `[1,2`, `{"a":1e999}`, "\xef\xbb\xbf{}",
	`{"x":"\ud800"}`,
}

// loose reads a request as encoding/json does, with all its tolerance.
type loose struct {
	Model         string
	Stream        *bool
	N             *json.Number
	MaxTokens     *json.Number `json:"max_tokens"`
	MaxCompletion *json.Number `json:"max_completion_tokens"`
	StreamOptions *struct {
		IncludeUsage *bool `json:"include_usage"`
	} `json:"stream_options"`
	Messages []struct {
		Role    string
		Content any
		Name    *string
	}
}

// FuzzParseRequest checks that encoding/json reads every accepted body the same way. Its
// tolerance could otherwise give a body two meanings.
func FuzzParseRequest(f *testing.F) {
	for _, r := range requests {
		f.Add([]byte(r))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		r, err := chat.ParseRequest(body)
		if !bytes.Equal(before, body) {
			t.Fatal("the body was changed")
		}
		if err != nil {
			var fe *chat.FieldError
			if !errors.As(err, &fe) || fe.Code == "" || len(fe.Message)+len(fe.Param) > 400 {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		if !json.Valid(body) {
			t.Fatal("accepted what is no JSON")
		}
		unique(t, body)
		agree(t, r)
		index(t, r)
	})
}

// agree compares the views with what encoding/json reads.
func agree(t *testing.T, r *chat.Request) {
	var want loose
	if err := json.Unmarshal(r.Body(), &want); err != nil {
		t.Fatal(err)
	}
	usage := want.StreamOptions != nil && want.StreamOptions.IncludeUsage != nil && *want.StreamOptions.IncludeUsage
	if r.Model() != want.Model || r.Stream() != (want.Stream != nil && *want.Stream) || r.WantsUsage() != usage {
		t.Fatalf("%+v, want %+v", view(r), want)
	}
	if r.N() != max(number(t, want.N), 1) || r.MaxOutput() != max(number(t, want.MaxTokens), number(t, want.MaxCompletion)) {
		t.Fatalf("%+v, want %+v", view(r), want)
	}
	i := 0
	for m := range r.Messages() {
		w := want.Messages[i]
		if m.Role.String() != w.Role || w.Name != nil && m.Name.String() != *w.Name || !json.Valid(m.Raw) {
			t.Fatalf("message %d: %s %s, want %+v", i, m.Role, m.Name, w)
		}
		for p := range m.Pieces() {
			if !json.Valid(p.Raw) || p.Text != nil && !json.Valid(p.Text) {
				t.Fatalf("piece %+v", p)
			}
			if text, ok := w.Content.(string); ok && p.Type == "content" && p.Text.String() != text {
				t.Fatalf("%q, want %q", p.Text, text)
			}
		}
		i++
	}
	if i != len(want.Messages) {
		t.Fatalf("%d messages, want %d", i, len(want.Messages))
	}
}

func number(t *testing.T, n *json.Number) int64 {
	if n == nil {
		return 0
	}
	v, err := n.Int64()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// index compares the members with what encoding/json reads.
func index(t *testing.T, r *chat.Request) {
	var want map[string]json.RawMessage
	if err := json.Unmarshal(r.Body(), &want); err != nil {
		t.Fatal(err)
	}
	for name, value := range want {
		if !bytes.Equal(r.Get(name), value) {
			t.Fatalf("%q is %q, want %q", name, r.Get(name), value)
		}
	}
}

// unique fails if an object has two members with the same name.
func unique(t *testing.T, body []byte) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var open []map[string]bool // nil for arrays
	name := false
	for {
		token, err := d.Token()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		inObject := len(open) > 0 && open[len(open)-1] != nil
		switch token {
		case json.Delim('{'):
			open, name = append(open, map[string]bool{}), true
			continue
		case json.Delim('['):
			open, name = append(open, nil), false
			continue
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
			name = len(open) > 0 && open[len(open)-1] != nil
			continue
		}
		if inObject && name {
			if seen := open[len(open)-1]; seen[token.(string)] {
				t.Fatalf("%q stands twice", token)
			} else {
				seen[token.(string)] = true
			}
		}
		name = inObject && !name
	}
}

// FuzzWith checks that an edit does what it says and nothing else.
func FuzzWith(f *testing.F) {
	for _, r := range requests {
		f.Add([]byte(r), "model", `"n"`, "max_tokens", uint8(0))
		f.Add([]byte(r), `a"\b`, ` {"x": [1]} `, "n", uint8(5))
		f.Add([]byte(r), "response_format", `{"type":"json_schema"}`, "stream", uint8(3))
		f.Add([]byte(r), "messages", `[{"role":"user","content":"new"}]`, "messages", uint8(255))
	}
	f.Fuzz(func(t *testing.T, body []byte, name, value, other string, drop uint8) {
		r, err := chat.ParseRequest(body)
		if err != nil {
			return
		}
		var names, dropped []string
		for n := range jsonraw.Each(body) {
			if names = append(names, string(n)); drop&(1<<(len(names)%8)) != 0 {
				dropped = append(dropped, string(n))
			}
		}
		next, err := r.Edit([]jsonraw.Member{{Name: name, Value: json.RawMessage(value)}}, append(dropped, other)...)
		if err != nil {
			return
		}
		if !bytes.Equal(body, r.Body()) {
			t.Fatal("the request itself was changed")
		}
		if got, want := next.Get(name), strings.TrimSpace(value); string(got) != want {
			t.Fatalf("%q is %q, want %q", name, got, want)
		}
		for _, n := range names {
			switch gone := n == other || slices.Contains(dropped, n); {
			case n == name:
			case gone && next.Get(n) != nil:
				t.Fatalf("%q is still there", n)
			case !gone && !bytes.Equal(next.Get(n), r.Get(n)):
				t.Fatalf("%q became %q", r.Get(n), next.Get(n))
			}
		}
		unique(t, next.Body())
		index(t, next)
		reparse(t, next)
	})
}

func reparse(t *testing.T, r *chat.Request) {
	if r.Get("model") == nil || r.Get("messages") == nil {
		return
	}
	p, err := chat.ParseRequest(r.Body())
	if err != nil {
		t.Fatalf("%s: %v", r.Body(), err)
	}
	if !reflect.DeepEqual(view(p), view(r)) {
		t.Fatalf("edited %+v\nparsed %+v", view(r), view(p))
	}
}

var answers = []string{
	delta, last, `{"id":"1","model":"m","choices":[{"message":{"content":[{"type":"text","text":"a"}],"audio":{"transcript":"b"}},` +
		`"finish_reason":"stop"}],"usage":{"prompt_tokens":-1.5,"total_tokens":1e99}}`,
	`{"error":{"message":"no","code":5}}`, `[{"error":"x"}]`, `{"detail":[{"msg":"x"}]}`, `<html>`, ``,
	`{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":"{"}}]}}]}`,
	`{"choices":[],"x_groq":{"usage":{"prompt_tokens":1}}}`, `{"usage":{"cost":1,"c\u006fst":2}}`,
}

// FuzzParseChunk checks that any bytes are read without harm, and that valid JSON is told
// apart from invalid JSON as encoding/json does.
func FuzzParseChunk(f *testing.F) {
	for _, a := range answers {
		f.Add([]byte(a))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := chat.ParseChunk(data, "x_groq", "usage")
		isObject := json.Valid(data) && bytes.TrimSpace(data)[0] == '{'
		if malformed := errors.Is(err, chat.ErrMalformed); malformed == isObject && bytes.Count(data, []byte("{"))+bytes.Count(data,
			[]byte("[")) < 200 {
			t.Fatalf("%q: %v", data, err)
		}
		believable(t, c.Usage)
		if c.UsageOnly && c.Usage == nil || c.Text != "" && !c.Content {
			t.Fatalf("%+v", c)
		}
	})
}

// FuzzParseResponse does the same for complete responses, and adds a cost to them.
func FuzzParseResponse(f *testing.F) {
	for _, a := range answers {
		f.Add([]byte(a))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := chat.ParseResponse(body, "x_groq", "usage")
		chat.ParseError(body)
		added := chat.AddUsageMembers(body, []byte(`"cost":0.5,"x":{}`))
		if err != nil {
			return
		}
		believable(t, r.Usage)
		if !json.Valid(added) {
			t.Fatalf("%s", added)
		}
		usage := jsonraw.Lookup(body, "usage")
		if len(usage) > 0 && usage[0] == '{' && string(jsonraw.Lookup(added, "usage", "cost")) != "0.5" {
			t.Fatalf("%s", added)
		}
	})
}

func believable(t *testing.T, u *chat.Usage) {
	if u == nil {
		return
	}
	for _, v := range []int64{u.Input, u.CacheRead, u.CacheWrite, u.Output, u.Reasoning} {
		if v < 0 || v > 5_000_000_000_000 {
			t.Fatalf("%+v", u)
		}
	}
}
