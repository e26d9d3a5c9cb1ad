package providertest

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/chat"
)

// quirk is a declared difference and a request affected by it. The call sent upstream must be
// the same as for another request, and the client must be told what was lost.
type quirk struct {
	quirks  providers.Quirks
	request string // members, apart from the model
	same    string // members of the request that results in the same call
	told    string // "" means nothing
}

const (
	hello    = `"messages":[{"role":"user","content":"hi"}]`
	tool     = `,"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}]`
	answered = `,{"role":"tool","tool_call_id":"a","content":"b"}]`
	taught   = `"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"well"`
)

var quiet = map[string]string{"thinking": `{"type":"disabled"}`}

var quirks = map[string]quirk{
	"results that are answered first": {
		providers.Quirks{Results: providers.ResultsAnswered},
		`"messages":[{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]}` +
			answered[:len(answered)-1] + `,{"role":"user","content":"so?"}]` + tool,
		`"messages":[{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]}` +
			answered[:len(answered)-1] + `,{"role":"assistant","content":"OK."},{"role":"user","content":"so?"}]` + tool, "",
	},
	"ids of nine letters": {
		providers.Quirks{CallIDs: providers.CallIDsNine},
		`"messages":[{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]}` +
			answered + tool,
		`"messages":[{"role":"assistant","tool_calls":[{"id":"GR5IGR3G2","type":"function","function":{"name":"f","arguments":"{}"}}]}` +
			strings.Replace(answered, `"a"`, `"GR5IGR3G2"`, 1) + tool, "",
	},
	"drop":         {providers.Quirks{Drop: []string{"temperature"}}, hello + `,"temperature":0.5`, hello, "temperature"},
	"drop of null": {providers.Quirks{Drop: []string{"temperature"}}, hello + `,"temperature":null`, hello, ""},
	"known": {
		providers.Quirks{Known: []string{"temperature", "max_tokens", "max_completion_tokens", "stream_options"}},
		hello + `,"temperature":0.5,"top_p":0.5`, hello + `,"temperature":0.5`, "top_p",
	},
	"clamp down": {
		providers.Quirks{Bounds: map[string]providers.Bound{"temperature": {Max: "0.5"}}},
		hello + `,"temperature":0.9`, hello + `,"temperature":0.5`, "temperature",
	},
	"clamp up": {
		providers.Quirks{Bounds: map[string]providers.Bound{"temperature": {Min: "0.5"}}},
		hello + `,"temperature":0.1`, hello + `,"temperature":0.5`, "temperature",
	},
	"within bounds": {
		providers.Quirks{Bounds: map[string]providers.Bound{"temperature": {Min: "0", Max: "1"}}},
		hello + `,"temperature":0.5`, hello + `,"temperature":0.5`, "",
	},
	"effort above": {
		providers.Quirks{Efforts: []string{"minimal", "low", "high"}},
		hello + `,"reasoning_effort":"medium"`, hello + `,"reasoning_effort":"high"`, "reasoning_effort",
	},
	"highest effort": {
		providers.Quirks{Efforts: []string{"low", "high"}},
		hello + `,"reasoning_effort":"xhigh"`, hello + `,"reasoning_effort":"high"`, "reasoning_effort",
	},
	"effort that is taken": {
		providers.Quirks{Efforts: []string{"low", "high"}},
		hello + `,"reasoning_effort":"low"`, hello + `,"reasoning_effort":"low"`, "",
	},
	"sampling never": {
		providers.Quirks{Sampling: providers.SamplingNever},
		hello + `,"temperature":0.5,"top_p":1,"presence_penalty":0`, hello, "temperature",
	},
	"sampling unreasoned": {
		providers.Quirks{Sampling: providers.SamplingUnreasoned},
		hello + `,"temperature":0.5`, hello + `,"temperature":0.5`, "",
	},
	"sampling beside an effort": {
		providers.Quirks{Sampling: providers.SamplingUnreasoned},
		hello + `,"temperature":0.5,"reasoning_effort":"low"`, hello + `,"reasoning_effort":"low"`, "temperature",
	},
	"sampling single": {
		providers.Quirks{Sampling: providers.SamplingSingle},
		hello + `,"temperature":0.5,"top_p":0.5`, hello + `,"temperature":0.5`, "top_p",
	},
	"sampling single, by top_p": {
		providers.Quirks{Sampling: providers.SamplingSingle}, hello + `,"top_p":0.5`, hello + `,"top_p":0.5`, "",
	},
	"no reasoning": {
		providers.Quirks{NoReasoning: quiet}, hello + `,"reasoning_effort":"none"`, hello + `,"thinking":{"type":"disabled"}`, "",
	},
	"no reasoning where none is wanted": {
		providers.Quirks{NoReasoning: quiet}, hello + `,"reasoning_effort":"low"`, hello + `,"reasoning_effort":"low"`, "",
	},
	"forced tool beside reasoning": {
		providers.Quirks{NoReasoning: quiet, ForcedTools: providers.ForcedUnreasoned},
		hello + tool + `,"tool_choice":"required","reasoning_effort":"high"`,
		hello + tool + `,"tool_choice":"required","thinking":{"type":"disabled"}`, "reasoning_effort",
	},
	"free tool beside reasoning": {
		providers.Quirks{NoReasoning: quiet, ForcedTools: providers.ForcedUnreasoned},
		hello + tool + `,"tool_choice":"auto","reasoning_effort":"high"`,
		hello + tool + `,"tool_choice":"auto","reasoning_effort":"high"`, "",
	},
	"forced tool beside reasoning that is only asked for": {
		providers.Quirks{ForcedTools: providers.ForcedUnreasoned},
		hello + tool + `,"tool_choice":{"type":"function","function":{"name":"f"}},"reasoning_effort":"high"`,
		hello + tool + `,"tool_choice":{"type":"function","function":{"name":"f"}}`, "reasoning_effort",
	},
	"no reasoning of a model that always does": {
		providers.Quirks{Reasons: providers.ReasonsAlways}, hello + `,"reasoning_effort":"none"`, hello, "reasoning_effort",
	},
	"forced tool of a model that reasons where it is asked to": {
		providers.Quirks{NoReasoning: quiet, ForcedTools: providers.ForcedUnreasoned, Reasons: providers.ReasonsAsked},
		hello + tool + `,"tool_choice":"required"`, hello + tool + `,"tool_choice":"required"`, "",
	},
	"prefill": {
		providers.Quirks{Prefill: providers.PrefillNever},
		taught + `}]`, taught + `},{"role":"user","content":"` + providers.GoOn + `"}]`, "messages.prefill",
	},
	"prefill where the user has the last word": {
		providers.Quirks{Prefill: providers.PrefillNever},
		taught + `},{"role":"user","content":"so?"}]`, taught + `},{"role":"user","content":"so?"}]`, "",
	},
	"rename": {
		providers.Quirks{Rename: map[string]string{"heat": "temperature"}},
		hello + `,"heat":0.5`, hello + `,"temperature":0.5`, "",
	},
	"rename and clamp": {
		providers.Quirks{Rename: map[string]string{"heat": "temperature"}, Bounds: map[string]providers.Bound{"heat": {Max: "0.5"}}},
		hello + `,"heat":0.9`, hello + `,"temperature":0.5`, "heat",
	},
	"refuse of null": {providers.Quirks{Refuse: []string{"seed"}}, hello + `,"seed":null`, hello, ""},
	"refuse of what happens anyway": {
		providers.Quirks{Refuse: []string{"n"}}, hello + `,"n":1`, hello, "",
	},
	"roles": {
		providers.Quirks{Roles: map[string]string{"developer": "user"}},
		`"messages":[{"role":"developer","content":"hi"}]`, hello, "",
	},
	"alternate": {
		providers.Quirks{Alternate: true},
		`"messages":[{"role":"user","content":"a"},{"role":"user","content":[{"type":"text","text":"b"}]},{"role":"assistant",` +
			`"content":"c"},{"role":"system","content":"d"}]`,
		`"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"assistant","content":"c"}` +
			`,{"role":"user","content":"d"}]`, "messages.role",
	},
	"alternate as it is": {
		providers.Quirks{Alternate: true},
		`"messages":[{"role":"system","content":"a"},{"role":"system","content":"b"},{"role":"user","content":"c"}]`,
		`"messages":[{"role":"system","content":"a"},{"role":"system","content":"b"},{"role":"user","content":"c"}]`, "",
	},
	"message_drop": {
		providers.Quirks{MessageDrop: []string{"mood"}},
		`"messages":[{"role":"user","content":"hi","mood":"good"}]`, hello, "messages.mood",
	},
	"message_drop of calls": {
		providers.Quirks{MessageDrop: []string{"tool_calls.mood"}},
		`"messages":[{"role":"assistant","tool_calls":[{"id":"a","type":"function","mood":1,"function":{"name":"f","arguments":"{}"}}]}` +
			answered,
		`"messages":[{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]}` + answered,
		"messages.tool_calls.mood",
	},
	"message_drop of parts": {
		providers.Quirks{MessageDrop: []string{"content.mood"}},
		`"messages":[{"role":"user","content":[{"type":"text","text":"hi","mood":1},{"type":"text","text":"you"}]}]`,
		`"messages":[{"role":"user","content":[{"type":"text","text":"hi"},{"type":"text","text":"you"}]}]`,
		"messages.content.mood",
	},
	"drop of tools": {
		providers.Quirks{Drop: []string{"tools.mood"}},
		`"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","mood":1,"function":{"name":"f",` +
			`"parameters":{"type":"object"}}}]`,
		`"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]`,
		"tools.mood",
	},
	"message_rename": {
		providers.Quirks{MessageRename: map[string]string{"thoughts": "reasoning_content"}},
		taught + `,"thoughts":"hm"},{"role":"user","content":"so?"}]`,
		taught + `,"reasoning_content":"hm"},{"role":"user","content":"so?"}]`, "",
	},
}

// quirks checks that whatever is declared for a target is honoured in every format.
func (s Subject) quirks(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(quirks)) {
		t.Run(name, func(t *testing.T) {
			q := quirks[name]
			if why := s.Skip["tools"]; why != "" && strings.Contains(q.request, "tool") {
				t.Skip(why)
			}
			plain := q.quirks
			plain.Refuse, plain.Drop, plain.Known, plain.Bounds, plain.Rename = nil, nil, nil, nil, nil
			plain.Roles, plain.MessageRename, plain.MessageDrop, plain.CallMembers = nil, nil, nil, nil
			plain.Efforts, plain.Sampling, plain.Alternate = nil, "", false
			plain.NoReasoning, plain.ForcedTools, plain.Reasons, plain.Prefill = nil, "", "", ""
			got, want := s.sent(t, q.quirks, q.request), s.sent(t, plain, q.same)
			if !reflect.DeepEqual(decoded(t, got.Body), decoded(t, want.Body)) || got.Path != want.Path {
				t.Errorf("sent %s %s, want %s %s", got.Path, got.Body, want.Path, want.Body)
			}
			lost := slices.DeleteFunc(slices.Clone(got.Dropped), func(name string) bool {
				return name != q.told && slices.Contains(want.Dropped, name) // a format may be unable to express it anyway
			})
			if told := append(lost, ""); told[0] != q.told || len(lost) > 1 {
				t.Errorf("told that %q are lost, want %q", lost, q.told)
			}
		})
	}
	t.Run("refuse", func(t *testing.T) {
		for _, member := range []string{
			`"seed":7`, `"temperature":0.5`, `"tools":[{"type":"function","function":{"name":"f"}}]`,
			`"made_up":1`,
		} {
			name := firstMember(t, member)
			_, err := providers.Encode(s.asked(t, providers.Quirks{Refuse: []string{name}}, hello+","+member))
			e := (*providers.Error)(nil)
			if !errors.As(err, &e) || e.Kind != providers.KindUnfit || e.Status != 400 {
				t.Errorf("%s: %v", name, err)
			} else if e.Detail.Param != name || e.Detail.Code != "unsupported_parameter" {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// hostileMember checks that a member name invented by a client cannot break the header that
// reports what is lost.
func (s Subject) hostileMember(t *testing.T) {
	q := providers.Quirks{Known: []string{"temperature"}, MessageDrop: []string{"mood\r\nX: 1"}}
	call := s.sent(t, q, `"messages":[{"role":"user","content":"hi","mood\r\nX: 1":"good"}],"a\r\nb,c":1`)
	told := slices.Sorted(slices.Values(call.Dropped))
	if want := []string{"a??b?c", "messages.mood??X:?1"}; !slices.Equal(told, want) {
		t.Errorf("told that %q are lost, want %q", told, want)
	}
}

func (s Subject) asked(t *testing.T, q providers.Quirks, members string) providers.Exchange {
	t.Helper()
	r, err := chat.ParseRequest([]byte(`{"model":"m",` + members + `}`))
	if err != nil {
		t.Fatal(err)
	}
	return providers.Exchange{
		Target: providers.Target{
			Provider: "provider", Model: "model", Upstream: "upstream-model", Adapter: s.Adapter, Quirks: q.Over(s.Adapter.Quirks),
		},
		Request: r,
	}
}

func (s Subject) sent(t *testing.T, q providers.Quirks, members string) providers.Call {
	t.Helper()
	call, err := providers.Encode(s.asked(t, q, members))
	if err != nil {
		t.Fatalf("%s: %v", members, err)
	}
	return call
}

func decoded(t *testing.T, body []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return v
}

// firstMember returns the name of a member.
func firstMember(t *testing.T, member string) string {
	t.Helper()
	for name := range decoded(t, []byte("{"+member+"}")).(map[string]any) {
		return name
	}
	return ""
}
