package chat_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"tallyroute/providers/chat"
)

func TestUsage(t *testing.T) {
	tests := []struct {
		name, usage string
		want        *chat.Usage
	}{
		{"null", `null`, nil},
		{"no object", `[1]`, nil},
		{"empty", `{}`, nil},
		{"only nulls", `{"prompt_tokens":null,"completion_tokens":null}`, nil},
		{"other numbers", `{"queue_time":0.1,"cost":0.2}`, nil},
		{"plain", `{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}`, &chat.Usage{Input: 10, Output: 5}},
		{"zero", `{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}`, &chat.Usage{}},
		{"no completion yet", `{"prompt_tokens":10,"completion_tokens":null,"total_tokens":null}`, &chat.Usage{Input: 10}},
		{
			"details null", `{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":null,"completion_tokens_details":null}`,
			&chat.Usage{Input: 10, Output: 5},
		},
		{
			"cache and reasoning inside", `{"prompt_tokens":1220,"completion_tokens":100,"total_tokens":1320,` +
				`"prompt_tokens_details":{"cached_tokens":20,"cache_write_tokens":1100,"audio_tokens":0},` +
				`"completion_tokens_details":{"reasoning_tokens":60,"audio_tokens":0}}`,
			&chat.Usage{Input: 100, CacheRead: 20, CacheWrite: 1100, Output: 100, Reasoning: 60},
		},
		{"names of other formats", `{"input_tokens":800,"output_tokens":90}`, &chat.Usage{Input: 800, Output: 90}},
		{
			"names of Anthropic, with a cache", `{"input_tokens":50,"output_tokens":90,"cache_read_input_tokens":9000}`,
			&chat.Usage{Input: 50, CacheRead: 9000, Output: 90},
		},
		{"names of Ollama", `{"prompt_eval_count":800,"eval_count":90}`, &chat.Usage{Input: 800, Output: 90}},
		{
			"more sound than there is", `{"prompt_tokens":8,"completion_tokens":2,"completion_tokens_details":{"audio_tokens":400}}`,
			&chat.Usage{Input: 8, Output: 402, AudioOutput: 400, Contradiction: true},
		},
		{
			"a part larger than the whole",
			`{"prompt_tokens":8,"completion_tokens":2,"completion_tokens_details":{"rejected_prediction_tokens":500}}`,
			&chat.Usage{Input: 8, Output: 502, Contradiction: true},
		},
		{
			"more text than there is", `{"prompt_tokens":8,"completion_tokens":2,"prompt_tokens_details":{"text_tokens":5000}}`,
			&chat.Usage{Input: 5008, Output: 2, Contradiction: true},
		},
		{
			"DeepSeek", `{"prompt_tokens":368,"completion_tokens":19,"total_tokens":387,"prompt_tokens_details":{"cached_tokens":256},` +
				`"prompt_cache_hit_tokens":256,"prompt_cache_miss_tokens":112}`,
			&chat.Usage{Input: 112, CacheRead: 256, Output: 19},
		},
		{
			"Moonshot", `{"prompt_tokens":20,"completion_tokens":30,"total_tokens":50,"cached_tokens":10}`,
			&chat.Usage{Input: 10, CacheRead: 10, Output: 30},
		},
		{
			"Mistral", `{"prompt_tokens":94,"completion_tokens":33,"num_cached_tokens":48,"total_tokens":127}`,
			&chat.Usage{Input: 46, CacheRead: 48, Output: 33},
		},
		{"Mistral audio", `{"prompt_tokens":11,"completion_tokens":15,"prompt_tokens_details":{"audio_tokens":375,"cached_tokens":9},` +
			`"total_tokens":401}`, &chat.Usage{Input: 377, CacheRead: 9, Output: 15, AudioInput: 375}},
		{
			"xAI: reasoning beside", `{"prompt_tokens":361,"completion_tokens":26,"total_tokens":622,` +
				`"prompt_tokens_details":{"cached_tokens":360},"completion_tokens_details":{"reasoning_tokens":235}}`,
			&chat.Usage{Input: 1, CacheRead: 360, Output: 261, Reasoning: 235},
		},
		{
			"reasoning beside, as large as the cache",
			`{"prompt_tokens":361,"completion_tokens":26,"total_tokens":622,"prompt_tokens_details":{"cached_tokens":235},` +
				`"completion_tokens_details":{"reasoning_tokens":235}}`,
			&chat.Usage{Input: 126, CacheRead: 235, Output: 261, Reasoning: 235},
		},
		{
			"reasoning counted otherwise", `{"prompt_tokens":15,"completion_tokens":256,"total_tokens":271,` +
				`"completion_tokens_details":{"reasoning_tokens":270}}`,
			&chat.Usage{Input: 15, Output: 256, Reasoning: 256},
		},
		{
			"Gemini: thoughts only in the total", `{"prompt_tokens":66,"completion_tokens":6,"total_tokens":100}`,
			&chat.Usage{Input: 66, Output: 34, Unitemised: true},
		},
		{
			"cache beside, in the total", `{"prompt_tokens":100,"completion_tokens":5,"total_tokens":185,"cache_read_input_tokens":50,` +
				`"cache_creation_input_tokens":30}`,
			&chat.Usage{Input: 100, CacheRead: 50, CacheWrite: 30, Output: 5},
		},
		{
			"cache beside, not in the total", `{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"cache_read_input_tokens":5000}`,
			&chat.Usage{Input: 10, CacheRead: 5000, Output: 5, Outside: true},
		},
		{
			"audio both ways", `{"prompt_tokens":120,"completion_tokens":90,"total_tokens":210,` +
				`"prompt_tokens_details":{"audio_tokens":100,"cached_tokens":50},"completion_tokens_details":{"audio_tokens":70,` +
				`"reasoning_tokens":15}}`,
			&chat.Usage{Input: 70, CacheRead: 50, Output: 90, Reasoning: 15, AudioInput: 70, AudioOutput: 70},
		},
		{
			"writes by how long they are kept",
			`{"prompt_tokens":1000,"completion_tokens":5,"total_tokens":1005,"cache_creation_input_tokens":900,` +
				`"cache_creation":{"ephemeral_5m_input_tokens":200,"ephemeral_1h_input_tokens":700}}`,
			&chat.Usage{Input: 100, CacheWrite: 900, CacheWrite1h: 700, Output: 5},
		},
		{
			"only how long", `{"prompt_tokens":1000,"completion_tokens":5,"cache_creation":{"ephemeral_1h_input_tokens":700}}`,
			&chat.Usage{Input: 300, CacheWrite: 700, CacheWrite1h: 700, Output: 5},
		},
		{
			"total too small", `{"prompt_tokens":10,"completion_tokens":5,"total_tokens":1}`,
			&chat.Usage{Input: 10, Output: 5, Contradiction: true},
		},
		{"cache beside, by its details", `{"prompt_tokens":29,"completion_tokens":6,"total_tokens":35,` +
			`"prompt_tokens_details":{"cached_tokens":157,"text_tokens":29}}`, &chat.Usage{Input: 29, CacheRead: 157, Output: 6}},
		{"a total and nothing else", `{"total_tokens":12}`, &chat.Usage{Lump: 12}},
		{"a total and an output", `{"completion_tokens":5,"total_tokens":12}`, &chat.Usage{Input: 7, Output: 5}},
		{"a total and a prompt", `{"prompt_tokens":7,"total_tokens":12}`, &chat.Usage{Input: 7, Output: 5}},
		{
			"much more reasoning than completion",
			`{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"completion_tokens_details":{"reasoning_tokens":90}}`,
			&chat.Usage{Input: 10, Output: 95, Reasoning: 90, Contradiction: true},
		},
		{"whole floats", `{"prompt_tokens":10.0,"completion_tokens":5e0}`, &chat.Usage{Input: 10, Output: 5}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := chat.ParseChunk([]byte(`{"choices":[],"usage":` + tt.usage + `}`))
			if err != nil {
				t.Fatal(err)
			}
			if (c.Usage == nil) != (tt.want == nil) || c.Usage != nil && !reflect.DeepEqual(*c.Usage, *tt.want) {
				t.Errorf("%+v, want %+v", c.Usage, tt.want)
			}
		})
	}
}

func TestUsageThatCannotBeIsNotBelieved(t *testing.T) {
	for v, want := range map[string]int64{
		"-1": 0, "-9223372036854775809": 0, "-1e300": 0, "1.5": 2, "-0.5": 0, "1000000000001": 1_000_000_000_000,
		"9223372036854775808": 1_000_000_000_000, "1e300": 1_000_000_000_000, `"12"`: 12, "true": 0, "{}": 0, "[]": 0,
	} {
		c, err := chat.ParseChunk([]byte(`{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":` + v + `}}`))
		if err != nil || c.Usage == nil || !c.Usage.Invalid || c.Usage.Output != want {
			t.Errorf("%s: %+v, %v", v, c.Usage, err)
		}
	}
	c, err := chat.ParseChunk([]byte(`{"usage":{"completion_tokens":1e999}}`))
	if err != nil || !c.Usage.Invalid || c.Usage.Output < 0 {
		t.Errorf("%+v, %v", c.Usage, err)
	}
}

func TestCountsAreWrittenAsClientsCanReadThem(t *testing.T) {
	for in, want := range map[string]string{
		`{"prompt_tokens":8e0,"cost":8e0,"details":{"cached_tokens":4.0,"x":1.5}}`: `{"prompt_tokens":8,"cost":8e0,` +
			`"details":{"cached_tokens":4,"x":1.5}}`,

		`{"input_tokens":1e2,"x":{"web_requests":1.0}}`: `{"input_tokens":100,"x":{"web_requests":1}}`,

		`{"input_tokens":"8","output_tokens":-3,"a_tokens":8.5,"b_tokens":true,"c_tokens":null}`: `{"input_tokens":8,"c_tokens":null}`,
	} {
		if got, changed := chat.WholeCounts([]byte(in)); string(got) != want || !changed {
			t.Errorf("%s becomes %s, want %s", in, got, want)
		}
	}
	for _, in := range []string{`{"prompt_tokens":8,"details":{"cached_tokens":null,"cost":1e-5},"queue_time":0.5}`, `{}`, `null`, ``} {
		if got, changed := chat.WholeCounts([]byte(in)); string(got) != in || changed {
			t.Errorf("%s becomes %s", in, got)
		}
	}
}

func TestUsagePath(t *testing.T) {
	data := []byte(`{"choices":[],"usage":null,"x_groq":{"usage":{"prompt_tokens":12,"completion_tokens":26}}}`)
	if c, err := chat.ParseChunk(data); err != nil || c.Usage != nil {
		t.Errorf("%+v, %v", c.Usage, err)
	}
	c, err := chat.ParseChunk(data, "x_groq", "usage")
	if want := (chat.Usage{Input: 12, Output: 26}); err != nil || !c.UsageOnly || !reflect.DeepEqual(*c.Usage, want) {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := chat.ParseChunk(data, "x_groq", "nothing"); err != nil || c.Usage != nil {
		t.Errorf("%+v, %v", c, err)
	}
	r, err := chat.ParseResponse([]byte(`{"choices":[{}],"usage":{"prompt_tokens":1},"x":{"prompt_tokens":2}}`), "x")
	if err != nil || r.Usage.Input != 1 {
		t.Errorf("usage comes first: %+v, %v", r.Usage, err)
	}
}

func TestAddUsageMembers(t *testing.T) {
	const members = `"cost":0.000123,"cost_details":{"input":0.1}`
	tests := []struct{ name, data, want string }{
		{"usual", `{"choices":[],"usage":{"prompt_tokens":1},"x":1}`, `{"choices":[],"usage":{"prompt_tokens":1,` + members + `},"x":1}`},
		{"pretty", "{\n  \"usage\": {\n    \"prompt_tokens\": 1\n  }\n}\n", "{\n  \"usage\": {\n    \"prompt_tokens\": 1," + members +
			"\n  }\n}\n"},
		{"empty usage", `{"usage":{ }}`, `{"usage":{` + members + ` }}`},
		{
			"in place of another's", `{"usage":{"cost":9, "a":1,"cost_details":null}}`,
			`{"usage":{"cost":0.000123, "a":1,"cost_details":{"input":0.1}}}`,
		},
		{"a usage elsewhere", `{"x":{"usage":{"a":1}},"usage":{"b":1}}`, `{"x":{"usage":{"a":1}},"usage":{"b":1,` + members + `}}`},
		{"null", `{"usage":null}`, `{"usage":null}`},
		{"none", `{"choices":[]}`, `{"choices":[]}`},
		{"no object", `[1]`, `[1]`},
		{"broken", `{"usage":{"a":1}`, `{"usage":{"a":1}`},
		{"empty", ``, ``},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := chat.AddUsageMembers([]byte(tt.data), []byte(members))
			if string(got) != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
	const data = `{"usage":{"a":1}}`
	for _, bad := range []string{`"cost"`, `,`, `"a":1}`, `"a":1,`} {
		if got := chat.AddUsageMembers([]byte(data), []byte(bad)); string(got) != data || !json.Valid(got) {
			t.Errorf("%s: %s", bad, got)
		}
	}
	if got := chat.AddUsageMembers([]byte(data), nil); string(got) != data {
		t.Errorf("nothing to add: %s", got)
	}
}

// If there are several reports, the larger prompt and the larger output count. If they come from
// different reports, the reports contradict each other.
func TestLargerPartsOfSeveralReportsAreTold(t *testing.T) {
	for name, tt := range map[string]struct {
		first, second chat.Usage
		want          chat.Usage
	}{
		"growing":   {chat.Usage{Input: 8, Output: 1}, chat.Usage{Input: 8, Output: 5}, chat.Usage{Input: 8, Output: 5}},
		"shrinking": {chat.Usage{Input: 8, Output: 5}, chat.Usage{Input: 8, Output: 1}, chat.Usage{Input: 8, Output: 5}},
		"crossing": {
			chat.Usage{Input: 9, Output: 1},
			chat.Usage{Input: 2, CacheRead: 3, Output: 7},
			chat.Usage{Input: 9, Output: 7, Contradiction: true},
		},
		"cached, told later": {
			chat.Usage{Input: 9, Output: 1},
			chat.Usage{Input: 2, CacheRead: 7},
			chat.Usage{Input: 2, CacheRead: 7, Output: 1},
		},
		"a cost at first": {
			chat.Usage{Input: 9, Cost: chat.Cost{Nano: 5, Stated: true}},
			chat.Usage{Input: 9, Output: 7},
			chat.Usage{Input: 9, Output: 7, Cost: chat.Cost{Nano: 5, Stated: true}},
		},
	} {
		var told chat.Told
		for _, u := range []chat.Usage{tt.first, tt.second} {
			told.Note(&chat.Chunk{Usage: &u, UsageOnly: true})
		}
		if !reflect.DeepEqual(*told.Usage, tt.want) {
			t.Errorf("%s: %+v, want %+v", name, *told.Usage, tt.want)
		}
	}
}
