package translate_test

import (
	"errors"
	"strings"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/translate"
)

func TestOptionsTellWhatIsLost(t *testing.T) {
	r, err := chat.ParseRequest([]byte(`{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":1.50,"n":1,"seed":null,"stop":[ ],
		"user":"u","logprobs":false,"made_up":1,"top_p":2,"parallel_tool_calls":true,"service_tier":"auto","max_tokens":3,"frequency_penalty":-0.0,"presence_penalty":0.5}`))
	if err != nil {
		t.Fatal(err)
	}
	x := providers.Exchange{Request: r}
	var took []string
	take := func(value []byte) error { took = append(took, string(value)); return nil }
	call, err := translate.Encode(x, translate.Format{Path: "/p"}, func(r *translate.Request) ([]byte, error) {
		return []byte("{}"), r.Options(map[string]translate.Option{
			"temperature": take, "top_p": take, "n": take, "seed": take,
			"user": func([]byte) error { return translate.ErrLost },
		})
	})
	if got := strings.Join(call.Dropped, " "); err != nil || got != "user made_up presence_penalty" ||
		strings.Join(took, " ") != "1.50 2" || call.Path != "/p" {
		t.Errorf("lost %q, took %q, %v", got, took, err)
	}
}

// A member without which the response would not be the one asked for is refused by every
// format that cannot express it.
func TestOptionsRefuseWhatWouldChangeTheAnswer(t *testing.T) {
	for member, code := range map[string]string{
		`"temperature":2`: "unsupported_parameter", `"n":2`: "unsupported_parameter", `"functions":[{}]`: "unsupported_parameter",
		`"tools":[{"type":"function","function":{"name":"f"}}]`: "unsupported_parameter",
		`"modalities":["text","audio"]`:                         "unsupported_parameter",
		`"web_search_options":{}`:                               "unsupported_parameter",
	} {
		r, err := chat.ParseRequest([]byte(`{"model":"m","messages":[{"role":"user","content":"hi"}],` + member + `}`))
		if err != nil {
			t.Fatal(err)
		}
		_, err = translate.Encode(providers.Exchange{Request: r}, translate.Format{}, func(r *translate.Request) ([]byte, error) {
			if r.Member("temperature") == nil {
				return nil, nil // for a format that forgets to read it
			}
			return nil, r.Options(map[string]translate.Option{"temperature": func([]byte) error { return translate.Unsupported("is too warm") }})
		})
		if e := (*chat.FieldError)(nil); !errors.As(err, &e) || !strings.HasPrefix(member, `"`+e.Param+`"`) || e.Code != code {
			t.Errorf("%s: %v", member, err)
		}
	}
}

func TestReadEffort(t *testing.T) {
	for members, want := range map[string]translate.Effort{
		`"seed":1`:                 {},
		`"reasoning_effort":"low"`: {Asked: true, Level: "low"},
		`"reasoning_effort":"low","reasoning":{"effort":"high"},"thinking":{"type":"disabled"}`: {Asked: true, Level: "low"},
		`"reasoning":{"effort":"high"},"thinking":{"type":"disabled"}`:                          {Asked: true, Level: "high"},
		`"reasoning":{"max_tokens":5}`:                                                          {Asked: true, Budget: 5},
		`"reasoning":{"max_tokens":0}`:                                                          {Asked: true, Level: "none"},
		`"reasoning":{"enabled":true}`:                                                          {Asked: true},
		`"reasoning":{"enabled":false}`:                                                         {Asked: true, Level: "none"},
		`"reasoning":{"effort":"high","exclude":true}`:                                          {Asked: true, Level: "high", Hidden: true},
		`"thinking":{"type":"enabled","budget_tokens":7}`:                                       {Asked: true, Budget: 7},
		`"thinking":{"type":"disabled"}`:                                                        {Asked: true, Level: "none"},
		`"thinking":null,"reasoning":null`:                                                      {},
	} {
		r, err := chat.ParseRequest([]byte(`{"model":"m","messages":[{"role":"user","content":"hi"}],` + members + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := translate.ReadEffort(r); got != want {
			t.Errorf("%s: %+v, want %+v", members, got, want)
		}
	}
}

func TestToolChoice(t *testing.T) {
	for value, want := range map[string]string{
		`"auto"`: "auto", `"none"`: "none", `"required"`: "required", `"any"`: "required", `{"type":"any"}`: "required",
		`{"type":"auto"}`: "auto",
		`{"type":"function","function":{"name":"f"}}`: "required f",
		`{"type":"function","name":"f"}`:              "required f",
		`{"type":"tool","name":"f"}`:                  "required f",
		`{"type":"custom","custom":{"name":"f"}}`:     "required f",
		`{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"f"}},{"type":"function",` +
			`"function":{"name":"g"}}]}}`: "auto f g",
		`"perhaps"`: "refused", `{}`: "refused", `{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}}`: "refused",
		"null": "",
	} {
		r, err := request(t, translate.Format{}, `"messages":[{"role":"user","content":"hi"}],"tool_choice":`+value)
		if err != nil {
			t.Fatal(err)
		}
		c, err := r.Choice()
		got := strings.TrimSpace(strings.Join(append([]string{c.Mode}, c.Names...), " "))
		if err != nil {
			got = "refused"
		}
		if got != want {
			t.Errorf("%s: %q, want %q", value, got, want)
		}
	}
}

func TestCounter(t *testing.T) {
	for raw, want := range map[string]struct {
		n              int64
		found, invalid bool
	}{
		"": {}, "null": {}, "7": {7, true, false}, "7.0": {7, true, false}, "7.5": {0, true, true}, "-1": {0, true, true},
		"1e30": {1e12, true, true}, `"7"`: {0, true, true},
	} {
		var c translate.Counter
		if n := c.Take([]byte(raw)); n != want.n || c.Found != want.found || c.Invalid != want.invalid {
			t.Errorf("%q: %d, %+v", raw, n, c)
		}
	}
}
