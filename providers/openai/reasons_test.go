package openai

import "testing"

// A failure to generate is not an answer, and a filtered response does not count as complete.
func TestReasonsThatAreNoGoodEnd(t *testing.T) {
	for _, reason := range []string{"error", "MALFORMED_FUNCTION_CALL", "malformed_tool_use"} {
		if !failed(reason) {
			t.Errorf("%s is taken for an answer", reason)
		}
	}
	for reason, want := range map[string]string{
		"PROHIBITED_CONTENT": "content_filter", "SAFETY": "content_filter", "stop": "stop",
		"made_up": "stop", "MAX_TOKENS": "length",
	} {
		if failed(reason) || finishReason(reason) != want {
			t.Errorf("%s is %s, want %s", reason, finishReason(reason), want)
		}
	}
}
