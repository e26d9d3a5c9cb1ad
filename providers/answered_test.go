package providers

import (
	"slices"
	"testing"
)

func TestAnswersAreKnownToBeOfTheModelThatWasAskedFor(t *testing.T) {
	for _, tt := range []struct {
		upstream, model, said string
		same                  bool
	}{
		{"gpt-4o", "gpt-4o", "", true},
		{"gpt-4o", "gpt-4o", "gpt-4o-2024-08-06", true},
		{"gpt-4o", "gpt-4o", "gpt-4o-mini", false},
		{"gpt-4o", "gpt-4o", "gpt-4o-mini-2024-07-18", false},
		{"gpt-4o-2024-05-13", "gpt-4o-2024-05-13", "gpt-4o-2024-08-06", false},
		{"gpt-4o-2024-05-13", "gpt-4o", "gpt-4o-2024-08-06", false},
		{"gpt-4", "gpt-4", "gpt-4-0613", true},
		{"gpt-4", "gpt-4", "gpt-4.1", false},
		{"o1", "o1", "o1-2024-12-17", true},
		{"o1", "o1", "o3-2025-04-16", false},
		{"our-deployment", "gpt-5", "gpt-5-2025-08-07", true},
		{"our-deployment", "gpt-5", "gpt-5-mini-2025-08-07", false},
		{"claude-sonnet-4-5", "claude-sonnet-4.5", "claude-sonnet-4-5-20250929", true},
		{"claude-sonnet-4-5@20250929", "claude-sonnet-4.5", "claude-sonnet-4-5-20250929", true},
		{"eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4.5", "claude-sonnet-4-5-20250929", true},
		{"eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4.5", "claude-opus-4-1-20250805", false},
		{"anthropic/claude-opus-4.6", "claude-opus-4.6", "anthropic/claude-4.6-opus-20260205", true},
		{"anthropic/claude-opus-4.6", "claude-opus-4.6", "anthropic/claude-4.6-sonnet-20260205", false},
		{"us.anthropic.claude-opus-4-6-v1", "claude-opus-4.6", "claude-opus-4-6", true},
		{"claude-3-5-haiku-latest", "claude-3.5-haiku", "claude-3-5-haiku-20241022", true},
		{"claude-3-5-sonnet-20241022", "claude-3.5-sonnet", "claude-3-5-sonnet-20240620", false},
		{"text-embedding-ada-002", "text-embedding-ada-002", "text-embedding-ada-002-v2", true},
		{"gpt-4-vision-preview", "gpt-4-vision", "gpt-4-1106-vision-preview", true},
		{"gpt-5.6", "gpt-5.6", "gpt-5.6-sol", false},
		{"llama3.3-70b", "llama-3.3-70b", "llama-3.3-70b", true},
		{"llama3.3-70b", "llama-3.3-70b", "llama-3.3-8b", false},
		{"Qwen3-1.7B-Q4_K_M", "qwen3", "/models/Qwen3-1.7B-Q4_K_M.gguf", true},
		{"Qwen3-1.7B-Q4_K_M", "qwen3", "/models/Qwen3-8B-Q4_K_M.gguf", false},
		{"moonshotai/kimi-k2.5", "kimi-k2.5", "moonshotai/kimi-k2.5-0127", true},
		{"deepseek-v3", "deepseek-v3", "deepseek-v2", false},
		{"deepseek-chat", "deepseek-chat", "deepseek-v4-flash", false},
		{"grok-4-0709", "grok-4", "grok-4.3", false},
		{"pixtral-12b", "pixtral-12b", "ministral-14b-latest", false},
		{"models/gemini-2.5-flash", "gemini-2.5-flash", "gemini-2.5-flash-preview-05-20", true},
		{"gemini-2.0-flash", "gemini-2.0-flash", "gemini-2.0-flash-001", true},
		{"gemini-2.5-flash", "gemini-2.5-flash", "gemini-2.5-flash-lite", false},
		{"gemini-2.5-pro", "gemini-2.5-pro", "models/gemini-2.5-flash", false},
		{"mistral-large-latest", "mistral-large", "mistral-large-2411", true},
		{"command-r-08-2024", "command-r", "command-r-08-2024", true},
		{"command-r", "command-r", "command-r-plus", false},
		{"grok-4", "grok-4", "grok-4-0709", true},
		{"grok-3", "grok-3", "grok-4-0709", false},
		{"accounts/fireworks/models/llama-v3p1-8b-instruct", "llama-3.1-8b", "accounts/fireworks/models/llama-v3p1-8b-instruct", true},
		{"meta-llama/Llama-3.3-70B-Instruct", "llama-3.3-70b", "meta-llama/llama-3.3-70b-instruct", true},
		{"openai/gpt-oss-20b", "gpt-oss-20b", "openai/gpt-oss-120b", false},
		{"openai/gpt-oss-20b:free", "gpt-oss-20b-free", "openai/gpt-oss-20b", false},
		{"llama3.2", "llama-3.2", "llama3.2:latest", true},
		{"llama3.2", "llama-3.2", "llama3.2:1b", false},
	} {
		target := Target{Upstream: tt.upstream, Model: tt.model}
		if got := target.Answered(tt.said); got != tt.same {
			t.Errorf("%s (%s) answered as %q: %t, want %t", tt.upstream, tt.model, tt.said, got, tt.same)
		}
	}
	dated := Target{Upstream: "gpt-4o", Model: "gpt-4o"}
	if n := testing.AllocsPerRun(100, func() { dated.Answered("gpt-4o-2024-08-06") }); n > 0 {
		t.Errorf("%g allocations", n)
	}
}

func TestNamesOfModelsAreTriedWithoutTheirVersion(t *testing.T) {
	for said, want := range map[string][]string{
		"gpt-4o":                  {"gpt-4o"},
		"gpt-4o-mini-2024-07-18":  {"gpt-4o-mini-2024-07-18", "gpt-4o-mini-2024-07", "gpt-4o-mini-2024", "gpt-4o-mini"},
		"models/gemini-2.5-flash": {"models/gemini-2.5-flash", "gemini-2.5-flash"},
		"mistral-large-latest":    {"mistral-large-latest", "mistral-large"},
		"claude-3:v1":             {"claude-3:v1", "claude-3", "claude"},
		"":                        {""}, "-": {"-"}, "a-": {"a-"}, "/": {"/"},
	} {
		if got := slices.Collect(NamesOf(said)); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", said, got, want)
		}
	}
}
