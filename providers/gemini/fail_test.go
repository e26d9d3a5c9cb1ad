package gemini_test

import (
	"fmt"
	"testing"
	"time"

	"tallyroute/providers"
)

// Google's errors are classified.
func TestFail(t *testing.T) {
	const rpc = `"@type":"type.googleapis.com/google.rpc.`
	for _, c := range []struct {
		status int
		body   string
		want   providers.Kind
		after  time.Duration
	}{
		{400, `{"error":{"code":400,"message":"The input token count exceeds the maximum number of tokens allowed 1048576.",` +
			`"status":"INVALID_ARGUMENT"}}`, providers.KindContext, 0},
		{400, `{"error":{"code":400,"message":"Unable to submit request because it violates our Responsible AI practices.",` +
			`"status":"INVALID_ARGUMENT"}}`, providers.KindContent, 0},
		{400, `{"error":{"code":400,"message":"Function calling config is set without function_declarations.",` +
			`"status":"INVALID_ARGUMENT"}}`, providers.KindRequest, 0},
		{
			400, `{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}`,
			providers.KindCredential, 0,
		},
		{
			400, `{"error":{"code":400,"message":"Please enable billing on project 1.","status":"FAILED_PRECONDITION"}}`,
			providers.KindQuota, 0,
		},
		{400, `{"error":{"code":400,"message":"x","status":"INVALID_ARGUMENT","details":[{` + rpc +
			`ErrorInfo","reason":"API_KEY_INVALID"}]}}`, providers.KindCredential, 0},
		{
			401, `{"error":{"code":401,"message":"Request had invalid authentication credentials.","status":"UNAUTHENTICATED"}}`,
			providers.KindCredential, 0,
		},
		{403, `{"error":{"code":403,"message":"Generative Language API has not been used in project 1 before or it is disabled.",` +
			`"status":"PERMISSION_DENIED","details":[{` + rpc + `ErrorInfo","reason":"SERVICE_DISABLED"}]}}`, providers.KindCredential, 0},
		{403, `{"error":{"code":403,"message":"x","status":"PERMISSION_DENIED","details":[{` + rpc +
			`ErrorInfo","reason":"BILLING_DISABLED"}]}}`, providers.KindQuota, 0},
		{
			404, `{"error":{"code":404,"message":"models/none is not found for API version v1beta.","status":"NOT_FOUND"}}`,
			providers.KindUnknown, 0,
		},
		{404, `<html>not found</html>`, providers.KindUnknown, 0},
		{429, `{"error":{"code":429,"message":"Resource exhausted.","status":"RESOURCE_EXHAUSTED"}}`, providers.KindRate, 0},
		{429, `[{"error":{"code":429,"message":"You exceeded your current quota.","status":"RESOURCE_EXHAUSTED","details":[{` + rpc +
			`RetryInfo","retryDelay":"48.9s"}]}}]`, providers.KindRate, 48900 * time.Millisecond},
		{429, `{"error":{"code":429,"message":"x","status":"RESOURCE_EXHAUSTED","details":[{` + rpc +
			`QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel"}]},{` + rpc +
			`RetryInfo","retryDelay":"3s"}]}}`, providers.KindQuota, 3 * time.Second},
		{
			429, `{"error":{"code":429,"message":"Your prepayment credits are depleted.","status":"RESOURCE_EXHAUSTED"}}`,
			providers.KindQuota, 0,
		},
		{
			429, `{"error":{"code":429,"message":"x","status":"RESOURCE_EXHAUSTED","details":[{` + rpc +
				`RetryInfo","retryDelay":"soon"}]}}`,
			providers.KindRate, 0,
		},
		{499, `{"error":{"code":499,"message":"The operation was cancelled.","status":"CANCELLED"}}`, providers.KindOverload, 0},
		{500, `{"error":{"code":500,"message":"An internal error has occurred. API key","status":"INTERNAL"}}`, providers.KindOverload, 0},
		{503, `{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}`, providers.KindOverload, 0},
		{
			504, `{"error":{"code":504,"message":"Deadline expired before operation could complete.","status":"DEADLINE_EXCEEDED"}}`,
			providers.KindOverload, 0,
		},
		{502, ``, providers.KindOverload, 0},
	} {
		t.Run(fmt.Sprint(c.status, " ", c.want), func(t *testing.T) {
			e := adapter().Chat.Fail(providers.Exchange{}, c.status, nil, []byte(c.body))
			if e.Kind != c.want || e.Status != c.status || e.RetryAfter != c.after || e.Err == nil {
				t.Errorf("%s becomes %s after %s (%+v)", c.body, e.Kind, e.RetryAfter, e)
			}
		})
	}
}
