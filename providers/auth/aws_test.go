package auth

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

func gives(text string) Source {
	return func(context.Context) (string, error) { return text, nil }
}

// TestAWSSignsAsDocumented computes a signature step by step as AWS documents it, and compares.
func TestAWSSignsAsDocumented(t *testing.T) {
	const body = `{"messages":[]}`
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		"https://bedrock-runtime.eu-west-1.amazonaws.com/model/us.amazon.nova-micro-v1%3A0/converse", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	s := signature{
		keys:   Keys{Access: gives("AKID"), Secret: gives("SECRET"), Session: gives("TOKEN")},
		signer: v4.NewSigner(), now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) },
	}
	if err := s.Sign(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return hex.EncodeToString(sum[:])
	}
	canonical := strings.Join([]string{
		"POST", "/model/us.amazon.nova-micro-v1%253A0/converse", "",
		"content-length:15", "content-type:application/json", "host:bedrock-runtime.eu-west-1.amazonaws.com",
		"x-amz-date:20260102T030405Z", "x-amz-security-token:TOKEN", "",
		"content-length;content-type;host;x-amz-date;x-amz-security-token", hash(body),
	}, "\n")
	scope := "20260102/eu-west-1/bedrock/aws4_request"
	toSign := "AWS4-HMAC-SHA256\n20260102T030405Z\n" + scope + "\n" + hash(canonical)
	key := []byte("AWS4SECRET")
	for _, part := range append(strings.Split(scope, "/"), toSign) {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(part))
		key = m.Sum(nil)
	}
	want := "AWS4-HMAC-SHA256 Credential=AKID/" + scope +
		", SignedHeaders=content-length;content-type;host;x-amz-date;x-amz-security-token, Signature=" + hex.EncodeToString(key)
	if got := r.Header.Get("Authorization"); got != want {
		t.Errorf("signed\n%s, want\n%s", got, want)
	}
	if r.Header.Get("X-Amz-Security-Token") != "TOKEN" {
		t.Error("the session token is not sent")
	}
}

func TestAWSRefusesACallItCannotSign(t *testing.T) {
	for name, c := range map[string]struct {
		host string
		keys Keys
		want error
	}{
		"no keys":   {"bedrock-runtime.us-east-1.amazonaws.com", Keys{Access: gives(""), Secret: gives("x")}, errNoKeys},
		"no region": {"127.0.0.1", Keys{Access: gives("a"), Secret: gives("x")}, errNoRegion},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+c.host+"/model/m/converse", bytes.NewReader(nil))
			if err != nil {
				t.Fatal(err)
			}
			if err := AWS(c.keys).Sign(t.Context(), r); err != c.want { //nolint:errorlint // returned bare
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestRegionOf(t *testing.T) {
	for host, want := range map[string]string{
		"bedrock-runtime.us-east-1.amazonaws.com":               "us-east-1",
		"bedrock-runtime-fips.us-gov-west-1.amazonaws.com":      "us-gov-west-1",
		"vpce-1-2.bedrock-runtime.eu-west-3.vpce.amazonaws.com": "eu-west-3",
		"bedrock.example.com":                                   "",
		"localhost":                                             "",
	} {
		if got := regionOf(host); got != want {
			t.Errorf("%s: %q, want %q", host, got, want)
		}
	}
}
