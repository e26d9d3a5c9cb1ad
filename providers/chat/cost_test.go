package chat_test

import (
	"reflect"
	"testing"

	"tallyroute/providers/chat"
)

// Stated costs are read to the nano-dollar, in every form that providers use. Anything that
// is not an amount states nothing.
func TestStatedCostIsReadToTheNanoDollar(t *testing.T) {
	for _, tt := range []struct {
		name, raw string
		want      int64 // -1: nothing is stated
	}{
		{"cost", `0.00001`, 10_000},
		{"cost", `4.5e-05`, 45_000},
		{"cost", `5.952E-05`, 59_520},
		{"cost", `1.4e-7`, 140},
		{"cost", `"0.00187875"`, 1_878_750},
		{"cost", `0`, 0},
		{"cost", `0.0`, 0},
		{"cost", `12`, 12_000_000_000},
		{"cost", `1e2`, 100_000_000_000},
		{"cost", `0.0000000005`, 0},                    // half a nano-dollar, rounded to even
		{"cost", `0.0000000015`, 2},                    // the same
		{"cost", `0.00000000050000000001`, 1},          // just above half
		{"cost", `0.00010715625`, 107_156},             // a quarter over
		{"cost", `0.1234567890123456789`, 123_456_789}, // more digits than a float can hold
		{"cost", `999999.999999999`, 999_999_999_999_999},
		{"cost", `1000001`, -1},
		{"cost", `1e300`, -1},
		{"cost", `1e-300`, 0},
		{"cost", `1e99999999999`, -1},
		{"cost", `-0.01`, -1},
		{"cost", `null`, -1},
		{"cost", `true`, -1},
		{"cost", `"free"`, -1},
		{"cost", `""`, -1},
		{"cost", `[0.1]`, -1},
		{"cost", `{"input_tokens_cost":1e-05,"request_cost":0.005,"total_cost":0.00501}`, 5_010_000},
		{"cost", `{"diem":0,"usd":0.0001040625}`, 104_062},
		{"cost", `{"currency":"USD","input_cost":1.2e-08,"total_cost":1.2e-08}`, 12},
		{"cost", `{"input":1}`, -1},
		{"cost_in_usd_ticks", `1487000`, 148_700},
		{"cost_in_usd_ticks", `6767405`, 676_740}, // half, rounded to even
	} {
		got := chat.ParseCost(tt.name, []byte(tt.raw))
		if got.Stated != (tt.want >= 0) || got.Stated && got.Nano != tt.want {
			t.Errorf("%s %s: %+v, want %d", tt.name, tt.raw, got, tt.want)
		}
	}
}

func TestUsageStatesWhatTheAnswerCost(t *testing.T) {
	const counts = `"prompt_tokens":19,"completion_tokens":124,"total_tokens":143,"completion_tokens_details":{"reasoning_tokens":64}`
	for body, want := range map[string]chat.Usage{
		`"usage":{` + counts + `,"cost":0.00190375,"is_byok":false,"cost_details":{"upstream_inference_cost":0.0019}}`: {
			Beside: 64,
			Cost:   chat.Cost{Nano: 1_903_750, Stated: true},
		},
		`"usage":{` + counts + `,"cost":0.0001,"is_byok":true,"cost_details":{"upstream_inference_cost":0.00417}}`: {
			Beside: 64,
			Cost:   chat.Cost{Nano: 4_270_000, Stated: true},
		},
		`"cost":{"diem":0,"usd":0.0002},"usage":{` + counts + `}`: {
			Beside: 64,
			Cost:   chat.Cost{Nano: 200_000, Stated: true},
		},
		`"usage":{` + counts + `}`: {},
	} {
		want.Input, want.Output, want.Reasoning = 19, 124, 64
		r, err := chat.ParseResponse([]byte(`{"choices":[{"message":{"content":"x"}}],` + body + `}`))
		if err != nil || !reflect.DeepEqual(*r.Usage, want) {
			t.Errorf("%s: %+v, %v; want %+v", body, r.Usage, err, want)
		}
	}
}

func TestWorkAtTheProviderIsSeenInTheRequest(t *testing.T) {
	for member, want := range map[string]bool{
		`"n":1`: false,
		`"tools":[{"type":"function","function":{"name":"f"}}]`:                               false,
		`"tools":[{"function":{"name":"f"},"type":"function"},{"type":"custom","custom":{}}]`: false,
		`"tools":[]`: false,
		`"tools":[{"type":"function","function":{"name":"f"}},{"type":"web_search_20250305"}]`: true,
		`"tools":[{"url_context":{}}]`:                       true,
		`"tools":[{"type":"browser_search"}]`:                true,
		`"web_search_options":{}`:                            true,
		`"web_search_options":{"search_context_size":"low"}`: true,
		`"web_search_options":null`:                          false,
		`"cached_content":"cachedContents/1"`:                true,
		`"previous_response_id":"resp_1"`:                    true,
		`"plugins":[{"id":"web"}]`:                           true,
		`"enable_search":true`:                               true,
		`"enable_search":false`:                              false,
	} {
		r, err := chat.ParseRequest([]byte(`{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"1"}]}],` + member + `}`))
		if err != nil || r.Hosted() != want {
			t.Errorf("%s: %t, %v", member, r.Hosted(), err)
		}
	}
}
