package providers

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"tallyroute/providers/chat"
)

func asked(t testing.TB, body string, q Quirks) Exchange {
	t.Helper()
	r, err := chat.ParseRequest([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return Exchange{Target: Target{Quirks: q}, Request: r, MaxOutput: 9}
}

// Most requests are not affected by any quirk. They are passed on unchanged, and if no quirks
// are declared, this costs nothing.
func TestRequestThatMeetsNoQuirkIsNotCopied(t *testing.T) {
	const body = `{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":0.5,"stream":true,"max_tokens":5}`
	all := Quirks{
		Rename: map[string]string{"seed": "random_seed"}, Drop: []string{"logprobs", "service_tier"}, Refuse: []string{"audio"},
		Known: []string{"temperature", "max_tokens"}, Bounds: map[string]Bound{"temperature": {Min: "0", Max: "1"}, "n": {Max: "1"}},
		Roles: map[string]string{"developer": "system"}, MessageRename: map[string]string{"reasoning_content": "reasoning"},
		MessageDrop: []string{"annotations"},
	}
	for name, q := range map[string]Quirks{"none": {}, "all": all} {
		x := asked(t, body, q)
		y, lost, err := x.declared()
		if y.Request != x.Request || y.MaxOutput != 9 || len(lost) > 0 || err != nil {
			t.Errorf("%s: it became %s, lost %v, %v", name, y.Request.Body(), lost, err)
		}
	}
	x := asked(t, body, Quirks{})
	if n := testing.AllocsPerRun(100, func() { _, _, _ = x.declared() }); n > 0 {
		t.Errorf("%v allocations where nothing is declared", n)
	}
	x = asked(t, body, Quirks{Drop: all.Drop, Bounds: all.Bounds, Roles: all.Roles, Known: all.Known})
	if n := testing.AllocsPerRun(100, func() { _, _, _ = x.declared() }); n > 1 { // for the list of messages
		t.Errorf("%v allocations where nothing is met", n)
	}
}

// A provider that does not accept an output limit is sent none, whatever the client calls it.
func TestBoundOfTheOutputThatTheProviderRefusesIsNotSent(t *testing.T) {
	for _, q := range []Quirks{
		{Drop: []string{"max_tokens"}},
		{Known: []string{"temperature"}},
		{MaxTokens: "max_completion_tokens", Drop: []string{"max_completion_tokens"}},
		{Rename: map[string]string{"max_tokens": "limit"}, Drop: []string{"limit"}},
	} {
		for _, name := range []string{"max_tokens", "max_completion_tokens"} {
			y, lost, err := asked(t, `{"model":"m","messages":[{"role":"user","content":"hi"}],"`+name+`":5}`, q).declared()
			if err != nil || y.MaxOutput != 0 || y.Request.MaxOutput() != 0 || !slices.Equal(lost, []string{name}) {
				t.Errorf("%+v: %s became %s with a bound of %d, lost %v, %v", q, name, y.Request.Body(), y.MaxOutput, lost, err)
			}
		}
	}
}

func TestOneOfTwoMembersThatBecomeTheSameIsLost(t *testing.T) {
	q := Quirks{Rename: map[string]string{"seed": "random_seed"}}
	y, lost, err := asked(t, `{"model":"m","messages":[{"role":"user","content":"hi"}],"seed":1,"random_seed":2}`, q).declared()
	const want = `{"model":"m","messages":[{"role":"user","content":"hi"}],"random_seed":2}`
	if err != nil || string(y.Request.Body()) != want || !slices.Equal(lost, []string{"seed"}) {
		t.Errorf("sent %s, lost %v, %v", y.Request.Body(), lost, err)
	}
}

func TestQuirksOfAModelStandOverThoseOfItsProvider(t *testing.T) {
	provider := Quirks{
		Rename: map[string]string{"seed": "random_seed"}, Drop: []string{"logprobs"}, Known: []string{"a"}, Refuse: []string{"audio"},
		Bounds: map[string]Bound{"temperature": {Max: "1"}, "n": {Max: "1"}}, MaxTokens: "max_tokens", Path: "/chat",
	}
	model := Quirks{
		Drop: []string{"temperature", "logprobs"}, Known: []string{"b"}, Bounds: map[string]Bound{"temperature": {Max: "2"}},
		MaxTokens: "max_completion_tokens", NoStreamUsage: true,
	}
	want := Quirks{
		Rename: provider.Rename, Drop: []string{"logprobs", "temperature"}, Known: []string{"b"}, Refuse: []string{"audio"},
		Bounds:    map[string]Bound{"temperature": {Max: "2"}, "n": {Max: "1"}},
		MaxTokens: "max_completion_tokens", NoStreamUsage: true, Path: "/chat",
	}
	if got := model.Over(provider); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if provider.Drop[0] != "logprobs" || len(provider.Bounds) != 2 || provider.Bounds["temperature"].Max != "1" {
		t.Errorf("the provider's own changed: %+v", provider)
	}
}

func TestSendsTellsWhetherAMemberReachesTheProvider(t *testing.T) {
	for name, c := range map[string]struct {
		q    Quirks
		want bool
	}{
		"nothing declared": {Quirks{}, true},
		"dropped":          {Quirks{Drop: []string{"service_tier"}}, false},
		"known":            {Quirks{Known: []string{"service_tier"}}, true},
		"not known":        {Quirks{Known: []string{"seed"}}, false},
		"renamed, known":   {Quirks{Rename: map[string]string{"service_tier": "tier"}, Known: []string{"tier"}}, true},
		"renamed, dropped": {Quirks{Rename: map[string]string{"service_tier": "tier"}, Drop: []string{"tier"}}, false},
	} {
		if got := (&Target{Quirks: c.q}).Sends("service_tier"); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// What a provider is declared to know are members of chat completions. An embedding model may
// have a list of its own.
func TestKnownMembersAreThoseOfTheOperation(t *testing.T) {
	provider := Quirks{Known: []string{"temperature"}, Drop: []string{"user"}}
	r, err := chat.ParseEmbedding([]byte(`{"model":"m","input":"a","dimensions":2,"truncate":true,"user":"u"}`))
	if err != nil {
		t.Fatal(err)
	}
	for want, model := range map[string]Quirks{
		`{"model":"m","input":"a","dimensions":2,"truncate":true}`: {},
		`{"model":"m","input":"a","dimensions":2}`:                 {Known: []string{"dimensions"}},
	} {
		x := Exchange{Operation: Embed, Target: Target{Quirks: model.Over(provider.Of(Embed))}, Request: r}
		if y, _, err := x.declared(); err != nil || string(y.Request.Body()) != want {
			t.Errorf("%+v: sent %s, want %s, %v", model, y.Request.Body(), want, err)
		}
	}
}

// A history that began at another provider has no reasoning for its calls. A provider that
// requires the member is sent an empty one.
func TestCallsHaveTheMembersThatTheProviderWants(t *testing.T) {
	const calls = `"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}]`
	q := Quirks{CallMembers: []string{"reasoning_content"}}
	for message, want := range map[string]string{
		`{"role":"assistant","content":null,` + calls + `}`: `{"role":"assistant","content":null,` + calls +
			`,"reasoning_content":""}`,
		`{"role":"assistant","content":null,` + calls + `,"reasoning_content":"hm"}`: "",
		`{"role":"assistant","content":"hi","tool_calls":[]}`:                        "",
		`{"role":"assistant","content":"hi"}`:                                        "",
		`{"role":"user","content":"hi"}`:                                             "",
		`{"role":"assistant","content":null,` + calls + `,"reasoning_content":null}`: `{"role":"assistant","content":null,` + calls +
			`,"reasoning_content":""}`,
	} {
		if want == "" {
			want = message
		}
		y, lost, err := asked(t, `{"model":"m","messages":[`+message+`]}`, q).declared()
		if err != nil || len(lost) > 0 || string(y.Request.Get("messages")) != "["+want+"]" {
			t.Errorf("%s became %s, lost %v, %v", message, y.Request.Get("messages"), lost, err)
		}
	}
}

// Calls that nobody signed get a marker with which the model accepts them.
func TestCallsThatNobodySignedGetTheMark(t *testing.T) {
	const call = `"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]`
	const mark = `{"type":"reasoning.encrypted","data":"skip_thought_signature_validator","format":"google-gemini-v1","id":"a","index":`
	for given, want := range map[string]string{
		`{"role":"assistant",` + call + `}`: `{"role":"assistant",` + call + `,"reasoning_details":[` + mark + `0}]}`,
		`{"role":"assistant",` + call + `,"reasoning_details":[{"type":"reasoning.text","text":"hm"}]}`: `{"role":"assistant",` + call +
			`,"reasoning_details":[{"type":"reasoning.text","text":"hm"},` + mark + `1}]}`,
		`{"role":"assistant",` + call + `,"reasoning_details":[{"type":"reasoning.encrypted","data":"x"}]}`: "",
		`{"role":"assistant","content":"hi"}`: "",
	} {
		if want == "" {
			want = given
		}
		x := asked(t, `{"model":"m","messages":[{"role":"user","content":"hi"},`+given+`]}`, Quirks{SignCalls: SignDetails})
		y, lost, err := x.declared()
		if got := `{"model":"m","messages":[{"role":"user","content":"hi"},` + want + `]}`; err != nil || len(lost) > 0 ||
			string(y.Request.Body()) != got {
			t.Errorf("%s became %s, lost %v, %v", given, y.Request.Body(), lost, err)
		}
	}
}

func TestNamesOfWhatIsLostAreFew(t *testing.T) {
	var lost []string
	for i := range 1000 {
		lost = Lose(lost, fmt.Sprintf("messages.x%d", i%500))
	}
	if len(lost) != 65 || lost[0] != "messages.x0" || lost[64] != "more" {
		t.Errorf("%d names, the last of them %q", len(lost), lost[len(lost)-1])
	}
}
