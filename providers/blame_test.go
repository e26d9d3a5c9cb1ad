package providers

import (
	"testing"

	"tallyroute/providers/chat"
)

// Errors about the request itself, in the providers' own words.
func TestFailuresThatTheRequestHasCausedAreItsOwn(t *testing.T) {
	const body = `{"model":"m-1","messages":[{"role":"user","content":[` +
		`{"type":"image_url","image_url":{"url":"https://storage.example/v1/pictures/9f3a.png"}},{"type":"file",` +
		`"file":{"file_id":"doc_81aa"}}]}]}`
	r, err := chat.ParseRequest([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	x := Exchange{Request: r, Target: Target{Model: "m-1", Upstream: "models/m-1-002"}}
	for _, c := range []struct {
		kind    Kind
		status  int
		message string
		want    Kind
	}{
		{KindRate, 429, "Request too large for gpt-4o in organization org-a on tokens per min (TPM): Limit 30000, Requested 43000. The " +
			"input or output tokens must be reduced in order to run successfully.", KindLarge},
		{KindRate, 413, "Request too large for model `llama` on tokens per minute (TPM): Limit 8000, Requested 32979, please reduce your " +
			"message size and try again.", KindLarge},
		{KindRate, 429, "Tokens per minute limit: 8,000. Requested: 32,979.", KindLarge},
		{KindRate, 429, "Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 25000, Requested 8000. Please try " +
			"again in 6s.", KindRate},
		{KindRate, 429, "Rate limit exceeded: limit of requests per minute reached.", KindRate},
		{KindQuota, 402, "This request requires more credits, or fewer max_tokens. You requested up to 65536 tokens, but can only " +
			"afford 2333.", KindLarge},
		{KindQuota, 402, "Your credit balance is too low.", KindQuota},
		{KindCredential, 403, "You do not have permission to access the File none or it may not exist.", KindRequest},
		{KindCredential, 403, "CachedContent not found (or permission denied)", KindRequest},
		{KindCredential, 403, "svc@p.iam does not have storage.objects.get access to the Google Cloud Storage object.", KindRequest},
		{KindUnknown, 404, "Previous response with id 'resp_1' not found.", KindRequest},
		{KindUnknown, 404, "No such File object: doc_81aa", KindRequest},
		{KindUnknown, 404, "Could not open 'https://storage.example/v1/pictures/9f3a.png'.", KindRequest},
		{KindUnknown, 404, "doc_81aa does not exist", KindRequest},
		{KindUnknown, 404, "models/m-1-002 is not found for API version v1beta", KindUnknown},
		{KindUnknown, 404, "The model `m-1` does not exist or you do not have access to it.", KindUnknown},
		{KindCredential, 403, "You don't have access to the model with the specified model ID.", KindCredential},
		{KindCredential, 403, "Project proj_123 does not have access to model m-1", KindCredential},
		{KindCredential, 401, "Incorrect API key provided for the file doc_81aa", KindCredential},
		{KindOverload, 500, "doc_81aa broke the server", KindOverload},
	} {
		e := &Error{Kind: c.kind, Status: c.status, Detail: chat.Error{Message: c.message}}
		if x.reconsider(e); e.Kind != c.want {
			t.Errorf("%d %q is %s, want %s", c.status, c.message, e.Kind, c.want)
		}
	}
}
