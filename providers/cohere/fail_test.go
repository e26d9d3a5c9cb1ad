package cohere_test

import (
	"fmt"
	"testing"

	"tallyroute/providers"
)

// Cohere's errors are classified.
func TestFail(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   providers.Kind
	}{
		{400, `{"message":"too many tokens: total number of tokens in the prompt exceeds the limit of 4081"}`, providers.KindContext},
		{422, `{"message":"x","error_type":"TOO_MANY_TOKENS"}`, providers.KindContext},
		{400, `{"message":"invalid request: all elements in history must have a message"}`, providers.KindRequest},
		{400, `{"message":"blocked output: please adjust your prompt and try again"}`, providers.KindContent},
		{401, `{"message":"invalid api token"}`, providers.KindCredential},
		{402, `{"message":"Please add or update your payment method"}`, providers.KindQuota},
		{403, `{"message":"forbidden"}`, providers.KindCredential},
		{404, `{"message":"model 'command-r' was removed on September 15, 2025."}`, providers.KindUnknown},
		{429, `{"message":"Please wait and try again later"}`, providers.KindRate},
		{429, `{"message":"You are using a Trial key, which is limited to 1000 API calls / month."}`, providers.KindQuota},
		{498, `{"message":"invalid token"}`, providers.KindCredential},
		{499, `{"message":"request cancelled"}`, providers.KindOverload},
		{500, `{"message":"internal server error: too many tokens"}`, providers.KindOverload},
		{503, ``, providers.KindOverload},
	} {
		t.Run(fmt.Sprint(c.status, " ", c.want), func(t *testing.T) {
			e := adapter().Chat.Fail(providers.Exchange{}, c.status, nil, []byte(c.body))
			if e.Kind != c.want || e.Status != c.status || e.Err == nil {
				t.Errorf("%s becomes %s (%+v)", c.body, e.Kind, e)
			}
		})
	}
}
