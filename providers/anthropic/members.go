package anthropic

import (
	"tallyroute/providers"
	"tallyroute/providers/translate"
)

// Members lists what the Messages API accepts beyond the OpenAI format. Source: its
// reference, and those of its tools and betas.
func Members() providers.Members {
	return translate.Members(
		providers.Free.Of(
			"cache_control", "metadata", "anthropic_version", "diagnostics", "user_profile_id", "output_config.effort",
			"output_config.format",
			"output_config.task_budget",
			"thinking", "thinking.type", "thinking.budget_tokens", "thinking.display", "thinking.clear_thinking", "thinking.keep",
			"speed=standard", "speed=fast", "inference_geo=global", "inference_geo=us", "inference_geo=not_available",
		),
		providers.Charged.Of("speed=*", "inference_geo=*"),
		providers.Unknown.Of("thinking.*", "output_config.*"),
		Betas("anthropic_beta"),
		// Removing something from the context costs nothing. Summarising it is unbounded output.
		providers.Free.Of("context_management.edits.type=clear_tool_uses_20250919", "context_management.edits.type=clear_thinking_20251015",
			"context_management.edits.trigger", "context_management.edits.keep", "context_management.edits.clear_at_least",
			"context_management.edits.exclude_tools", "context_management.edits.clear_tool_inputs"),
		providers.Unknown.Of("context_management.*", "context_management.edits.*"),
		providers.Stored.Of("container"),
		providers.Refused.Of("mcp_servers"),
		providers.Selects.Of("fallbacks"),

		translate.HostedMembers(),
		providers.PricedBy(providers.MeterWebSearch, 0, "tools.web_search_preview"),
		providers.PricedBy(providers.MeterWebSearch, 0, "tools.google_search"),
		providers.PricedBy(providers.MeterWebSearch, 0, "tools.openrouter:web_search"),
		providers.PricedBy(providers.MeterWebFetch, 0, "tools.url_context"),
		providers.PricedBy(providers.MeterCodeExecution, 0, "tools.code_interpreter"),
		// Tools that run at the client, or only choose among those that do.
		providers.Free.Of("tools.bash", "tools.text_editor", "tools.computer", "tools.memory", "tools.tool_search_tool_regex",
			"tools.tool_search_tool_bm25"),
		providers.Free.Of(tools("bash", "text_editor", "computer", "memory", "tool_search_tool_regex", "tool_search_tool_bm25",
			"custom")...),
		providers.Free.Of("tools.text_editor.max_characters", "tools.computer.display_width_px", "tools.computer.display_height_px",
			"tools.computer.display_number", "tools.computer.enable_zoom"),
		providers.Free.Of("tools.custom.input_schema", "tools.name", "tools.description", "tools.input_schema", "tools.cache_control",
			"tools.strict", "tools.defer_loading", "tools.allowed_callers", "tools.input_examples", "tools.eager_input_streaming"),
		providers.Unknown.Of("tools.custom.*"),
		// Tools that run at the provider.
		providers.PricedBy(providers.MeterWebSearch, 0, "tools.web_search", "max_uses"),
		providers.PricedBy(providers.MeterWebFetch, 0, "tools.web_fetch", "max_uses"),
		providers.PricedBy(providers.MeterCodeExecution, 0, "tools.code_execution"),
		providers.Free.Of(tools("web_search", "web_fetch", "code_execution")...),
		providers.Free.Of("tools.web_search.max_uses", "tools.web_search.allowed_domains", "tools.web_search.blocked_domains",
			"tools.web_search.user_location", "tools.web_fetch.max_uses", "tools.web_fetch.allowed_domains",
			"tools.web_fetch.blocked_domains", "tools.web_fetch.citations", "tools.web_fetch.max_content_tokens",
			"tools.web_fetch.use_cache"),
		providers.Refused.Of("tools.mcp_toolset"),
		providers.Charged.Of("tools.advisor"), // another model

		// Members of messages that pass through unchanged.
		providers.Free.Of("messages.is_error", "messages.extra_content", "messages.tool_calls.extra_content"),
		// Content blocks in Anthropic's own form.
		providers.Content.Of("messages.content.source", "messages.content.file_id"),
		providers.Stored.Of("messages.content.file_id"),
		providers.Free.Of("messages.content.title", "messages.content.context", "messages.content.citations", "messages.content.content",
			"messages.content.id", "messages.content.input", "messages.content.name", "messages.content.tool_use_id",
			"messages.content.is_error", "messages.content.caller", "messages.content.server_name", "messages.content.tool_name",
			"messages.content.thinking", "messages.content.signature", "messages.content.data"),
		providers.Unknown.Of("messages.content.*"),
	)
}

// tools lists the settings that every tool of Anthropic's accepts besides its own.
func tools(kinds ...string) (names []string) {
	for _, kind := range kinds {
		for _, name := range []string{"defer_loading", "allowed_callers", "input_examples", "eager_input_streaming"} {
			names = append(names, "tools."+kind+"."+name)
		}
	}
	return names
}

// Betas returns the line for a member that enables betas. The betas cost nothing by
// themselves; the features that they enable are judged where they are used.
func Betas(name string) providers.Line {
	var values []string
	for _, beta := range []string{
		"message-batches-2024-09-24", "prompt-caching-2024-07-31", "computer-use-2024-10-22", "computer-use-2025-01-24",
		"computer-use-2025-11-24", "pdfs-2024-09-25", "token-counting-2024-11-01", "token-efficient-tools-2025-02-19",
		"output-128k-2025-02-19", "files-api-2025-04-14", "mcp-client-2025-04-04", "mcp-client-2025-11-20",
		"dev-full-thinking-2025-05-14", "interleaved-thinking-2025-05-14", "code-execution-2025-05-22", "code-execution-2025-08-25",
		"extended-cache-ttl-2025-04-11", "context-1m-2025-08-07", "context-management-2025-06-27",
		"model-context-window-exceeded-2025-08-26", "skills-2025-10-02", "web-fetch-2025-09-10", "web-search-2025-03-05",
		"fine-grained-tool-streaming-2025-05-14", "structured-outputs-2025-09-17", "structured-outputs-2025-11-13",
		"effort-2025-11-24", "tool-examples-2025-10-29", "advanced-tool-use-2025-11-20", "tool-search-tool-2025-10-19",
		"max-tokens-3-5-sonnet-2024-07-15", "claude-code-20250219", "oauth-2025-04-20", "redact-thinking-2026-02-12",
		"prompt-caching-scope-2026-01-05", "adaptive-thinking-2026-01-28", "task-budgets-2026-03-13",
		"fast-mode-2026-02-01",
	} {
		values = append(values, name+"="+beta)
	}
	return providers.Free.Of(values...)
}
