package chat_test

import (
	"testing"

	"tallyroute/providers/chat"
)

func TestIdleTellsWhatAsksForNothingMore(t *testing.T) {
	for name, values := range map[string]map[string]bool{
		"n":                 {"1": true, "1.0": true, "2": false, "null": true},
		"frequency_penalty": {"0": true, "0.0": true, "-0": true, "0.1": false},
		"logprobs":          {"false": true, "true": false},
		"service_tier":      {`"auto"`: true, `"default"`: true, `"flex"`: false},
		"stop":              {"[ ]": true, `["a"]`: false, `"a"`: false},
		"metadata":          {"{}": true, "{ }": true, `{"a":"b"}`: false},
		"temperature":       {"null": true, "1": false},
		"made_up":           {"null": true, "0": false, "false": false},
	} {
		for value, want := range values {
			if got := chat.Idle([]byte(name), []byte(value)); got != want {
				t.Errorf("%s %s: %t", name, value, got)
			}
		}
	}
}
