package ollama_test

import (
	"fmt"
	"testing"

	"tallyroute/providers"
)

// Ollama's errors are classified.
func TestFail(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   providers.Kind
	}{
		{400, `{"error":"the input length exceeds the context length"}`, providers.KindContext},
		{400, `{"error":"registry.ollama.ai/library/gemma does not support tools"}`, providers.KindRequest},
		{400, `{"error":"invalid format"}`, providers.KindRequest},
		{401, `{"error":"unauthorized"}`, providers.KindCredential},
		{404, `{"error":"model 'none' not found"}`, providers.KindUnknown},
		{404, `{"error":"model \"none\" not found, try pulling it first"}`, providers.KindUnknown},
		{429, `{"error":"too many concurrent requests"}`, providers.KindRate},
		{429, `{"error":"you've reached your hourly usage limit, please upgrade to continue"}`, providers.KindQuota},
		{500, `{"error":"llama runner process has terminated: invalid model"}`, providers.KindOverload},
		{500, `{"error":"model requires more system memory (8 GiB) than is available"}`, providers.KindOverload},
		{503, `{"error":"server busy, please try again.  maximum pending requests exceeded"}`, providers.KindOverload},
		{502, `<html>`, providers.KindOverload},
	} {
		t.Run(fmt.Sprint(c.status, " ", c.want), func(t *testing.T) {
			e := adapter().Chat.Fail(providers.Exchange{}, c.status, nil, []byte(c.body))
			if e.Kind != c.want || e.Status != c.status || e.Err == nil {
				t.Errorf("%s becomes %s (%+v)", c.body, e.Kind, e)
			}
		})
	}
}
