package gemini_test

import (
	"testing"

	"tallyroute/providers/providertest"
)

func FuzzAnswer(f *testing.F) {
	const piece = `{"candidates":[{"content":{"parts":[{"text":"a"},{"functionCall":{"name":"f","args":{"x":1}},` +
		`"thoughtSignature":"c2ln"}]},` +
		`"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":-2}}`
	providertest.FuzzAnswers(f, adapter(), piece, "data: "+piece+"\r\n\r\n", "["+piece+"\n,"+piece+"]",
		`{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}`)
}
