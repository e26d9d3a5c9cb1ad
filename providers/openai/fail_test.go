package openai_test

import (
	"errors"
	"fmt"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/openai"
)

// Error messages in the known dialects, and whose fault they are.
func TestFailuresInDialects(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   providers.Kind
	}{
		{
			400, `{"error":{"message":"Please reduce the length of the messages or completion.","code":"context_length_exceeded"}}`,
			providers.KindContext,
		},
		{
			400, `{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}`,
			providers.KindContext,
		},
		{400, `{"code":"3051","message":"Prompt contains 40000 tokens, too large for model with 32768 maximum context length",` +
			`"object":"error","type":"invalid_request_prompt_too_long"}`, providers.KindContext},
		{400, `{"error":"This model's maximum prompt length is 131072 but the request contains 140000 tokens."}`, providers.KindContext},
		{400, `{"error":{"message":"Input validation error: ` + "`inputs` tokens + `max_new_tokens`" +
			` must be <= 4097","type":"invalid_request_error"}}`, providers.KindContext},
		{400, `[{"error":{"code":400,"message":"The input token count (1100000) exceeds the maximum number of tokens allowed (1048576).",` +
			`"status":"INVALID_ARGUMENT"}}]`, providers.KindContext},
		{413, `{"error":{"code":"tokens_limit_reached","message":"Request body too large"}}`, providers.KindContext},

		{
			400, `{"error":{"message":"filtered","code":"content_filter","innererror":{"code":"ResponsibleAIPolicyViolation"}}}`,
			providers.KindContent,
		},
		{
			400, `{"error":{"message":"Your prompt was flagged as potentially violating our usage policy.","code":"invalid_prompt"}}`,
			providers.KindContent,
		},
		{
			400, `{"error":{"message":"Content Exists Risk","type":"invalid_request_error","code":"invalid_request_error"}}`,
			providers.KindContent,
		},
		{
			400, `{"error":{"code":"data_inspection_failed","message":"Input data may contain inappropriate content."}}`,
			providers.KindContent,
		},
		{
			403, `{"error":{"message":"The chosen model requires moderation. Your input was flagged for \"violence\"","code":403}}`,
			providers.KindContent,
		},

		{402, `{"error":{"message":"Insufficient Balance","type":"unknown_error","code":"invalid_request_error"}}`, providers.KindQuota},
		{402, ``, providers.KindQuota},
		{429, `{"error":{"message":"Your account is suspended","type":"exceeded_current_quota_error"}}`, providers.KindQuota},
		{429, `{"error":{"code":"1113","message":"Insufficient balance or no resource package. Please recharge."}}`, providers.KindQuota},
		{
			400, `{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the API."}}`,
			providers.KindQuota,
		},
		{403, `{"error":{"code":"billing_not_active","message":"Your account is not active"}}`, providers.KindQuota},

		{401, ``, providers.KindCredential},
		{403, `Forbidden`, providers.KindCredential},
		{401, `{"detail":"Invalid API Key"}`, providers.KindCredential},
		{401, `{"error":{"message":"No cookie auth credentials found","code":401}}`, providers.KindCredential},
		{400, `{"code":"Client specified an invalid argument","error":"Incorrect API key provided: ab***cd."}`, providers.KindCredential},
		{
			400, `[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}]`,
			providers.KindCredential,
		},

		{429, ``, providers.KindRate},
		{429, `{"error":{"message":"Rate limit reached for gpt on requests per min. Visit billing to learn more.","type":"requests",` +
			`"code":"rate_limit_exceeded"}}`, providers.KindRate},
		{429, `[{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.",` +
			`"status":"RESOURCE_EXHAUSTED"}}]`, providers.KindRate},
		{429, `{"message":"Too many tokens, please wait before trying again."}`, providers.KindRate},
		{429, `{"object":"error","message":"Rate limit exceeded","type":"rate_limited","code":"1300"}`, providers.KindRate},
		{413, `{"error":{"message":"Request too large for model on tokens per minute (TPM): Limit 6000, Requested 12328","type":"tokens",` +
			`"code":"rate_limit_exceeded"}}`, providers.KindRate},

		{404, ``, providers.KindUnknown},
		{404, `{"error":{"code":"404","message":"Resource not found"}}`, providers.KindUnknown},
		{
			404, `{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}`,
			providers.KindUnknown,
		},
		{400, `{"code":"1500","message":"Invalid model: none","object":"error","type":"invalid_model"}`, providers.KindUnknown},
		{400, `{"error":{"message":"acme/none is not a valid model ID","code":400}}`, providers.KindUnknown},
		{
			400, `{"error":{"message":"Model Not Exist","type":"invalid_request_error","code":"invalid_request_error"}}`,
			providers.KindUnknown,
		},
		{
			400, `{"error":{"message":"The model has been decommissioned","type":"invalid_request_error","code":"model_decommissioned"}}`,
			providers.KindUnknown,
		},

		{
			404, `{"error":{"message":"No such file","param":"messages[0].content[0].file.file_id","type":"invalid_request_error"}}`,
			providers.KindRequest,
		},
		{400, `{"error":{"message":"Unsupported parameter: 'stop' is not supported with this model.","param":"stop",` +
			`"code":"unsupported_parameter","type":"invalid_request_error"}}`, providers.KindRequest},
		{400, `{"error":{"code":"tool_use_failed","message":"Tool choice is required, but model did not call a tool",` +
			`"type":"invalid_request_error"}}`, providers.KindRequest},
		{400, `{"code":400,"message":"Validation: Temperature must be between 0 and 2","type":"Bad Request"}`, providers.KindRequest},
		{413, ``, providers.KindLarge},
		{422, `{"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required"}]}`, providers.KindRequest},

		{408, ``, providers.KindOverload},
		{409, ``, providers.KindOverload},
		{424, ``, providers.KindOverload},
		{425, ``, providers.KindOverload},
		{498, `{"error":{"code":"capacity_exceeded","message":"Flex tier capacity exceeded"}}`, providers.KindOverload},
		{429, `{"error":{"type":"engine_overloaded_error","message":"The engine is currently overloaded"}}`, providers.KindOverload},
		{
			500, `{"error":{"code":500,"message":"error: cannot make GET request: context window","type":"server_error"}}`,
			providers.KindOverload,
		},
		{502, `<html>bad gateway</html>`, providers.KindOverload},
		{503, ``, providers.KindOverload},
		{520, ``, providers.KindOverload},
		{529, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, providers.KindOverload},

		{
			400, `{"error_code":"REQUEST_LIMIT_EXCEEDED","message":"Exceeded workspace input tokens per minute rate limit."}`,
			providers.KindRequest,
		},
		{401, `{"base_resp":{"status_code":1004,"status_msg":"login fail: invalid api key"}}`, providers.KindCredential},
		{302, ``, providers.KindRedirect},
		{100, ``, providers.KindBroken},
	} {
		t.Run(fmt.Sprint(c.status, " ", c.want), func(t *testing.T) {
			e := openai.New().Chat.Fail(providers.Exchange{}, c.status, nil, []byte(c.body))
			if e.Kind != c.want || e.Status != c.status || e.Err == nil {
				t.Errorf("%s becomes %s (%+v)", c.body, e.Kind, e)
			}
		})
	}
}

// An error under a success status, in MiniMax's form.
func TestFailureInBaseResp(t *testing.T) {
	_, err := openai.New().Chat.Decode(exchangeOf(t), nil,
		[]byte(`{"id":"1","choices":null,"base_resp":{"status_code":1004,"status_msg":"login fail: invalid api key"}}`))
	e := (*providers.Error)(nil)
	if !errors.As(err, &e) || e.Kind != providers.KindCredential || e.Detail.Code != "1004" {
		t.Errorf("%v", err)
	}
}

func exchangeOf(t *testing.T) providers.Exchange {
	t.Helper()
	r, err := chat.ParseRequest([]byte(`{"model":"m","messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	return providers.Exchange{Request: r}
}
